// The noise of a training step, the same on every backend: a function of its counters (kernels/variational.h, Noise).
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/anywhere.h"
#include "kernels/order.h"

namespace evenflow::kernels {

/// N(0, 1) by Box and Muller.
EVENFLOW_ANYWHERE inline double noise_at(uint64_t seed, int64_t step, int64_t window, int64_t latent) {
  constexpr double unit = 0x1.0p-53;
  constexpr double two_pi = 6.283185307179586;
  const uint64_t stream = mix_bits(static_cast<uint64_t>(step)) ^ static_cast<uint64_t>(window);
  const auto counter = static_cast<uint64_t>(2 * latent);
  const double u = (static_cast<double>(random_bits(seed, stream, counter) >> 11U) + 1.0) * unit;
  const double angle = static_cast<double>(random_bits(seed, stream, counter + 1) >> 11U) * unit;
  return sqrt(-2.0 * log(u)) * cos(two_pi * angle);
}

}  // namespace evenflow::kernels
