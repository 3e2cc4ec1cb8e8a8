// The affine part of a coupling, pixel by pixel: y = (x + t) g(s).
#pragma once

#include "kernels/cuda/execution.h"
#include "kernels/flow_ops.h"

namespace evenflow::kernels::cuda {

/// log g and d log g / d s. NaN stays NaN.
struct Gain {
  float log_g, slope;
};

template <CouplingKind kKind>
__device__ Gain gain_of(float s) {
  if constexpr (kKind == CouplingKind::sigmoid) {
    // g = sigmoid(s + 2); log g as a log-sigmoid, which does not run out where g does. The slope is 1 - g.
    const float u = s + 2.0F;
    const float e = expf(-fabsf(u));
    const float rest = u < 0.0F ? 1.0F : e;
    return {(u < 0.0F ? u : 0.0F) - log1pf(e), rest / (1.0F + e)};
  } else {
    // log g = 2 tanh(s / 2).
    const float t = tanhf(0.5F * s);
    return {2.0F * t, 1.0F - t * t};
  }
}

}  // namespace evenflow::kernels::cuda
