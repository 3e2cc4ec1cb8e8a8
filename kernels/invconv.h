// The invertible 1x1 convolution: y = W x over the channels of each pixel (Kingma & Dhariwal 2018, Glow). Where W comes
// from is invconv_weight.h's matter.
//
// eps = 2^-23: float32's.
#pragma once

#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// y = weight x per pixel of maps [n, c, h, w]; the inverse is the same with W^-1. y is other memory than x. Within
/// eps (4 + 2 sqrt(c)) |weight| |x|. ShapeError.
struct InvconvApply {
  ConstMap x;
  Array<const float> weight;  ///< [c, c], row-major
  Map y;
};
void invconv_apply(Stream& stream, const InvconvApply& task);
Cost cost(const InvconvApply& task);

/// dx = W^T dy, dweight += dy x^T. dx is other memory than dy. dx as InvconvApply, dweight within
/// eps (4 + 2 sqrt(n h w)) of the magnitudes it is a sum of, and eps of what it held per sample.
struct InvconvBackward {
  ConstMap x, dy;
  Array<const float> weight;  ///< [c, c]
  Map dx;
  Array<float> dweight;  ///< [c, c]
};
void invconv_backward(Stream& stream, const InvconvBackward& task);
Cost cost(const InvconvBackward& task);

}  // namespace evenflow::kernels
