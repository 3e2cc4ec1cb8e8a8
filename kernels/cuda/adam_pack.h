// Adam's arithmetic, for adam.cu and train_step.cu.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/adam.h"
#include "kernels/cuda/planes.h"

namespace evenflow::kernels::cuda {

/// One update of a pack's elements.
template <int kWidth>
__device__ void adam_pack(const AdamFactors& a, const Pack<kWidth>& gradient, Pack<kWidth>& parameter, Pack<kWidth>& m,
                          Pack<kWidth>& v) {
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    const float g = gradient.at[i] * a.gradient_scale;
    m.at[i] = fmaf(a.beta1, m.at[i], a.rest1 * g);
    v.at[i] = fmaf(a.beta2, v.at[i], a.rest2 * (g * g));
    parameter.at[i] -= a.rate * m.at[i] / (sqrtf(v.at[i] * a.correction2) + a.epsilon);
  }
}

}  // namespace evenflow::kernels::cuda
