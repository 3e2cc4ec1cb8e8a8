// Fully connected layers.
#pragma once

#include <cstdint>

#include "kernels/flow_ops.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// y = f(x W^T + b), row by row; f is ReLU or nothing. Row-major and dense.
struct LinearShape {
  int64_t n = 0, in = 0, out = 0;
  bool relu = false;
  Precision precision = Precision::float32;  ///< of a GPU's products; bf16 computes as tf32 does
};
/// x [n, in], weight [out, in], bias [out], y [n, out]. Sums are float32.
void linear_forward(Stream& stream, const LinearShape& shape, Array<const float> x, Array<const float> weight,
                    Array<const float> bias, Array<float> y);
struct LinearGradients {
  Array<float> weight, bias;  ///< added to
};
/// From dy [n, out], which becomes the gradient before the ReLU, and forward's x and y: dx [n, in], overwritten, or
/// empty where nobody asks for it.
void linear_backward(Stream& stream, const LinearShape& shape, Array<const float> x, Array<const float> y,
                     Array<float> dy, Array<const float> weight, Array<float> dx, const LinearGradients& d);

}  // namespace evenflow::kernels
