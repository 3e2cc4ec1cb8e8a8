// Adam (Kingma & Ba 2015), with bias correction, over the parameter arena.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/anywhere.h"
#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

struct AdamSettings {
  double learning_rate = 1e-4;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  int64_t step = 1;             ///< counts from 1
  double gradient_scale = 1.0;  ///< multiplies the gradient first (clipping, averaging)
};

/// m, v and parameter, in float32 arithmetic with the step's factors rounded from float64 once. After t updates m is
/// within 30 eps of its magnitudes and v within 300 eps of itself (eps = 2^-23, t up to 100). ShapeError.
struct AdamUpdate {
  AdamSettings settings;
  Array<const float> gradient;
  Array<float> parameter, m, v;  ///< of the gradient's size
};
void adam_update(Stream& stream, const AdamUpdate& task);
Cost cost(const AdamUpdate& task);

/// A step's numbers as the elements' arithmetic takes them.
struct AdamFactors {
  float gradient_scale, beta1, beta2, rest1, rest2, rate, correction2, epsilon;
};
EVENFLOW_ANYWHERE inline AdamFactors adam_factors(const AdamSettings& s) {
  const auto t = static_cast<double>(s.step);
  return {static_cast<float>(s.gradient_scale),
          static_cast<float>(s.beta1),
          static_cast<float>(s.beta2),
          static_cast<float>(1.0 - s.beta1),
          static_cast<float>(1.0 - s.beta2),
          static_cast<float>(s.learning_rate / (1.0 - pow(s.beta1, t))),
          static_cast<float>(1.0 / (1.0 - pow(s.beta2, t))),
          static_cast<float>(s.epsilon)};
}

}  // namespace evenflow::kernels
