// Grid: a grid-stride loop over all rows, a thread each; a row is 8 to 32 floats.
// Traffic: 4 bytes per element, 8 per row. Neighbouring threads read neighbouring rows, so that a line is used whole,
// if not at once.
// Sums: in float64, a row's elements in order.
#include "kernels/row_moments.h"

#include "kernels/cuda/grid.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

__global__ void row_moments_kernel(const float* __restrict__ z, int64_t sample_stride, int64_t samples, int64_t rows,
                                   int64_t width, float* __restrict__ moments, int64_t stride) {
  after_predecessor();
  for (int64_t i = first_item(); i < samples * rows; i += item_stride()) {
    const int64_t sample = i / rows, row = i - sample * rows;
    const float* mine = z + sample * sample_stride + row * width;
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < width; ++k) {
      const double value = mine[k];
      sum += value;
      squares += value * value;
    }
    float* to = moments + sample * stride + row;
    to[0] = static_cast<float>(sum / static_cast<double>(width));
    to[rows] = static_cast<float>(sqrt(squares / static_cast<double>(width)));
  }
}

}  // namespace

void run(Stream& stream, const RowMoments& task) {
  const ConstMap& z = task.z;
  const int64_t rows = z.c * z.h;
  launch(stream, {"row_moments", blocks_for(z.n * rows), block_threads}, row_moments_kernel, z.data, z.sample_stride,
         z.n, rows, z.w, task.moments.data, task.stride);
}

}  // namespace evenflow::kernels::cuda
