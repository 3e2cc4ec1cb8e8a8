// Adam's arithmetic on an element (adam.h), for adam.cu and train_step.cu.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/planes.h"

namespace evenflow::kernels::cuda {

/// A step's numbers, rounded from float64 once.
struct AdamFactors {
  float gradient_scale, beta1, beta2, rest1, rest2, rate, correction2, epsilon;
};

struct AdamState {
  float parameter, m, v;
};

__device__ inline void adam_element(const AdamFactors& a, float gradient, AdamState& s) {
  const float g = gradient * a.gradient_scale;
  s.m = fmaf(a.beta1, s.m, a.rest1 * g);
  s.v = fmaf(a.beta2, s.v, a.rest2 * (g * g));
  s.parameter -= a.rate * s.m / (sqrtf(s.v * a.correction2) + a.epsilon);
}

}  // namespace evenflow::kernels::cuda
