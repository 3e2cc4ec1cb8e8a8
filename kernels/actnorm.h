// Actnorm: a bias and a scale per channel, set by the first data (Kingma & Dhariwal 2018, Glow).
//
// eps = 2^-23 throughout: float32's.
#pragma once

#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

struct ActnormParameters {
  Array<const float> bias, log_scale;  ///< [c]
};
struct ActnormGradients {
  Array<float> bias, log_scale;  ///< [c], added to
};

/// y = (x + bias) exp(log_scale) of maps [n, c, h, w]; y may be x's memory. Within 4 eps (|x| + |bias|) exp(log_scale).
/// ShapeError.
struct ActnormForward {
  ConstMap x;
  ActnormParameters parameters;
  Map y;
};
void actnorm_forward(Stream& stream, const ActnormForward& task);
Cost cost(const ActnormForward& task);

/// x = y exp(-log_scale) - bias; x may be y's memory. Within 4 eps (|y| exp(-log_scale) + |bias|).
struct ActnormInverse {
  ConstMap y;
  ActnormParameters parameters;
  Map x;
};
void actnorm_inverse(Stream& stream, const ActnormInverse& task);
Cost cost(const ActnormInverse& task);

/// dx from forward's y and dy; dx may be dy's memory. The log-determinant's share of d log_scale, the same for all
/// samples, is ActnormLogDetBackward's (log_det.h). dx within 4 eps of itself, the parameters' gradients within
/// eps (4 + 2 sqrt(n h w)) of the magnitudes they are sums of.
struct ActnormBackward {
  ConstMap y, dy;
  ActnormParameters parameters;
  Map dx;
  ActnormGradients gradients;
};
void actnorm_backward(Stream& stream, const ActnormBackward& task);
Cost cost(const ActnormBackward& task);

/// Data-dependent initialisation: bias = -mean, log_scale = -log(max(std, 1e-3) + 1e-6), of a channel's n h w values,
/// one or more; std biased, two-pass, in float64. bias within eps of itself, log_scale within 2 eps (1 + |log_scale|).
struct ActnormInitialise {
  ConstMap x;
  Array<float> bias, log_scale;  ///< [c]
};
void actnorm_initialise(Stream& stream, const ActnormInitialise& task);
Cost cost(const ActnormInitialise& task);

}  // namespace evenflow::kernels
