// Products by cuBLAS (blas.cu); here what no library call does to them, bias and ReLU, and their way back.
// Grid: forward a grid-stride loop over y; backward a thread per column that walks down the rows, neighbours reading
// neighbours.
// Traffic: forward 8 bytes per element of y, backward 4 (12 with a ReLU).
// Sums: the bias's gradient down the rows in order, float32; products in cuBLAS's order, the same every time (its
// workspace is fixed). NaN passes.
#include "kernels/linear.h"

#include "kernels/cuda/blas.h"
#include "kernels/cuda/grid.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

__global__ void linear_bias_kernel(const float* __restrict__ bias, int64_t columns, int64_t size, bool relu, float* y) {
  after_predecessor();
  for (int64_t i = first_item(); i < size; i += item_stride()) {
    const float value = y[i] + bias[i % columns];
    y[i] = relu && value < 0.0F ? 0.0F : value;
  }
}

__global__ void linear_bias_backward_kernel(const float* __restrict__ y, int64_t rows, int64_t columns, bool relu,
                                            float* dy, float* __restrict__ dbias) {
  after_predecessor();
  const int64_t column = first_item();
  if (column >= columns) {
    return;
  }
  float sum = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = i * columns + column;
    const float gradient = relu && y[at] <= 0.0F ? 0.0F : dy[at];
    if (relu) {
      dy[at] = gradient;
    }
    sum += gradient;
  }
  dbias[column] += sum;
}

constexpr int columns_per_block = 64;

}  // namespace

void run(Stream& stream, const LinearForward& task) {
  const LinearShape& s = task.shape;
  const Array<float>& y = task.y;
  multiply(stream,
           {.batch = 1, .rows = s.n, .columns = s.out, .inner = s.in, .transpose_b = true, .precision = s.precision},
           task.x.data, task.weight.data, y.data);
  launch(stream, {"linear_bias", blocks_for(y.size), block_threads}, linear_bias_kernel, task.bias.data, s.out, y.size,
         s.relu, y.data);
}

void run(Stream& stream, const LinearBackward& task) {
  const LinearShape& s = task.shape;
  const Array<float>& dy = task.dy;
  launch(stream,
         {"linear_bias_backward", {static_cast<unsigned>(divide_up(s.out, columns_per_block))}, columns_per_block},
         linear_bias_backward_kernel, task.y.data, s.n, s.out, s.relu, dy.data, task.gradients.bias.data);
  multiply(stream,
           {.batch = 1,
            .rows = s.out,
            .columns = s.in,
            .inner = s.n,
            .transpose_a = true,
            .add = true,
            .precision = s.precision},
           dy.data, task.x.data, task.gradients.weight.data);
  if (task.dx.size == 0) {
    return;
  }
  multiply(stream, {.batch = 1, .rows = s.n, .columns = s.in, .inner = s.out, .precision = s.precision}, dy.data,
           task.weight.data, task.dx.data);
}

}  // namespace evenflow::kernels::cuda
