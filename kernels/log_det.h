// The log-determinants that are the same for every window: actnorm's and the 1x1 convolution's, of all flow steps.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// total = sum over steps of pixels (sum of log_scale + invconv_log_det[step]), nats, in float64 and within the
/// rounding of that sum: 2^-52 (4 + 2 sqrt(terms)) of the magnitudes. No steps: 0. ShapeError.
struct LogDetTerm {
  Array<const float> log_scale;  ///< [c], actnorm's
  int64_t pixels = 0;
};
struct ConstantLogDet {
  std::span<const LogDetTerm> steps;
  Array<const double> invconv_log_det;  ///< [steps]
  Array<double> total;                  ///< [1]
};
void constant_log_det(Stream& stream, const ConstantLogDet& task);
Cost cost(const ConstantLogDet& task);

/// Of each step: dlog_scale += gradient, every channel, rounded once.
struct LogDetGradient {
  double gradient = 0;  ///< d loss / d log_det times pixels
  Array<float> dlog_scale;
};
struct ActnormLogDetBackward {
  std::span<const LogDetGradient> steps;
};
void actnorm_log_det_backward(Stream& stream, const ActnormLogDetBackward& task);
Cost cost(const ActnormLogDetBackward& task);

}  // namespace evenflow::kernels
