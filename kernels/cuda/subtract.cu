// Grid: a grid-stride loop, an element at a time.
// Traffic: 12 bytes per element.
// Sums: none.
#include "kernels/subtract.h"

#include "kernels/cuda/grid.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

// out may be a or b.
__global__ void subtract_kernel(const float* a, const float* b, int64_t size, float* out) {
  after_predecessor();
  for (int64_t i = first_item(); i < size; i += item_stride()) {
    out[i] = a[i] - b[i];
  }
}

}  // namespace

void run(Stream& stream, const Subtract& task) {
  launch(stream, {"subtract", blocks_for(task.out.size), block_threads}, subtract_kernel, task.a.data, task.b.data,
         task.out.size, task.out.data);
}

}  // namespace evenflow::kernels::cuda
