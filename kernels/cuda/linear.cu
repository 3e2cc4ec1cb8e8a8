#include "kernels/cuda/blas.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/ops.h"

namespace evenflow::kernels::cuda {
namespace {

// What no library call does to the product: bias and ReLU, and their way back. Memory-bound; NaN passes.
__global__ void linear_bias_kernel(const float* __restrict__ bias, int64_t columns, int64_t size, bool relu, float* y) {
  for (int64_t i = first_item(); i < size; i += item_stride()) {
    const float value = y[i] + bias[i % columns];
    y[i] = relu && value < 0.0F ? 0.0F : value;
  }
}

// A thread per column walks down the rows: neighbours read neighbours, and the sum's order is fixed.
__global__ void linear_bias_backward_kernel(const float* __restrict__ y, int64_t rows, int64_t columns, bool relu,
                                            float* dy, float* __restrict__ dbias) {
  const int64_t column = first_item();
  if (column >= columns) return;
  float sum = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = i * columns + column;
    const float gradient = relu && y[at] <= 0.0F ? 0.0F : dy[at];
    if (relu) dy[at] = gradient;
    sum += gradient;
  }
  dbias[column] += sum;
}

constexpr int columns_per_block = 64;

}  // namespace

void linear_forward(Stream& stream, const LinearShape& s, Array<const float> x, Array<const float> weight,
                    Array<const float> bias, Array<float> y) {
  multiply(stream,
           {.batch = 1, .rows = s.n, .columns = s.out, .inner = s.in, .transpose_b = true, .precision = s.precision},
           x.data, weight.data, y.data);
  launch(stream, {"linear_bias", blocks_for(y.size), block_threads}, linear_bias_kernel, bias.data, s.out, y.size,
         s.relu, y.data);
}

void linear_backward(Stream& stream, const LinearShape& s, Array<const float> x, Array<const float> y, Array<float> dy,
                     Array<const float> weight, Array<float> dx, const LinearGradients& d) {
  launch(stream,
         {"linear_bias_backward", {static_cast<unsigned>(divide_up(s.out, columns_per_block))}, columns_per_block},
         linear_bias_backward_kernel, y.data, s.n, s.out, s.relu, dy.data, d.bias.data);
  multiply(stream,
           {.batch = 1,
            .rows = s.out,
            .columns = s.in,
            .inner = s.n,
            .transpose_a = true,
            .add = true,
            .precision = s.precision},
           dy.data, x.data, d.weight.data);
  if (dx.size == 0) return;
  multiply(stream, {.batch = 1, .rows = s.n, .columns = s.in, .inner = s.out, .precision = s.precision}, dy.data,
           weight.data, dx.data);
}

}  // namespace evenflow::kernels::cuda
