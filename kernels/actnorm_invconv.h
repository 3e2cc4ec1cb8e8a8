// Actnorm and the 1x1 convolution behind it, as a flow step runs them: what actnorm.h's and invconv.h's tasks give one
// after the other, with one reading of the maps where a backend can.
#pragma once

#include <span>

#include "kernels/actnorm.h"
#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// normalised = (x + bias) exp(log_scale), y = weight normalised, of maps [n, c, h, w]: the bits of ActnormForward and
/// InvconvApply. normalised may be x's memory, y is other memory than both. ShapeError.
struct ActnormInvconvForward {
  ConstMap x;
  ActnormParameters parameters;
  Array<const float> weight;  ///< [c, c], row-major
  Map normalised, y;
};
void actnorm_invconv_forward(Stream& stream, const ActnormInvconvForward& task);
Cost cost(const ActnormInvconvForward& task);

/// dx and the parameters' gradients, which are added to, from forward's normalised map and dy. dx has the bits of
/// InvconvBackward and ActnormBackward, and may be dy's memory; dweight is within InvconvBackward's bound. The
/// gradients of actnorm are within eps (8 + 2 sqrt(c) + 2 sqrt(n h w)) of the magnitudes they are sums of, where
/// weight^T dy counts as |weight|^T |dy|; eps = 2^-23. With `shares` the gradients are left there in parts, and come
/// with ActnormInvconvAddShares: of many layers in one launch. ShapeError.
struct ActnormInvconvBackward {
  ConstMap normalised, dy;
  ActnormParameters parameters;
  Array<const float> weight;
  Map dx;
  ActnormGradients gradients;
  Array<float> dweight;   ///< [c, c]
  Map workspace;          ///< as dx, which it may be, and other memory than dy; what it holds is nobody's business
  Array<float> shares{};  ///< actnorm_invconv_share_floats or longer; empty: gradients are added to at once
};
void actnorm_invconv_backward(Stream& stream, const ActnormInvconvBackward& task);
Cost cost(const ActnormInvconvBackward& task);

/// Maps that backward met, whatever their memory.
struct ActnormInvconvBuffers {
  int64_t n = 0, channels = 0, pixels = 0;  ///< of a sample's plane
};
/// What backward leaves for ActnormInvconvAddShares; 0 where it adds everything itself.
int64_t actnorm_invconv_share_floats(Device device, const ActnormInvconvBuffers& maps);

/// Of each layer, what backward left, to be added to its gradients.
struct ActnormInvconvShares {
  ActnormInvconvBuffers maps;
  Array<const float> shares;
  ActnormParameters parameters;
  Array<const float> weight;
  ActnormGradients gradients;
  Array<float> dweight;
};
struct ActnormInvconvAddShares {
  std::span<const ActnormInvconvShares> layers;
};
void actnorm_invconv_add_shares(Stream& stream, const ActnormInvconvAddShares& task);
Cost cost(const ActnormInvconvAddShares& task);

}  // namespace evenflow::kernels
