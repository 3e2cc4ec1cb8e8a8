// Fully connected layers.
#pragma once

#include <cstdint>

#include "kernels/cost.h"
#include "kernels/precision.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// Row-major and dense. A GPU's bf16 computes as tf32 does.
struct LinearShape {
  int64_t n = 0, in = 0, out = 0;  ///< each 1 or more
  bool relu = false;
  Precision precision = Precision::float32;
};

/// y = f(x weight^T + bias), row by row; f is ReLU or nothing. Sums are float32: in that precision within
/// 2^-23 (4 + 2 sqrt(in + 1)) of the magnitudes. NaN passes. ShapeError.
struct LinearForward {
  LinearShape shape;
  Array<const float> x;       ///< [n, in]
  Array<const float> weight;  ///< [out, in]
  Array<const float> bias;    ///< [out]
  Array<float> y;             ///< [n, out]
};
void linear_forward(Stream& stream, const LinearForward& task);
Cost cost(const LinearForward& task);

struct LinearGradients {
  Array<float> weight, bias;  ///< [out, in], [out], added to
};
/// From dy, which becomes the gradient before the ReLU, and forward's x and y. In float32 within
/// 2^-23 (4 + 2 sqrt(length of the sum)) of the magnitudes.
struct LinearBackward {
  LinearShape shape;
  Array<const float> x, y;    ///< [n, in], [n, out]
  Array<float> dy;            ///< [n, out], overwritten
  Array<const float> weight;  ///< [out, in]
  Array<float> dx;            ///< [n, in], overwritten; or empty where nobody asks for it
  LinearGradients gradients;
};
void linear_backward(Stream& stream, const LinearBackward& task);
Cost cost(const LinearBackward& task);

}  // namespace evenflow::kernels
