// Random numbers that are functions of a counter: the same on every platform, in any order, on any thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

#include "kernels/order.h"

namespace evenflow::train {

using kernels::mix_bits;
using kernels::random_bits;

/// An integer in [0, n). The modulo's bias, n / 2^64, is far below what any data set could show.
inline int64_t random_below(int64_t n, uint64_t seed, uint64_t stream, uint64_t counter) {
  return static_cast<int64_t>(random_bits(seed, stream, counter) % static_cast<uint64_t>(n));
}

/// A deviate of N(0, 1) by Box and Muller.
inline double random_normal(uint64_t seed, uint64_t stream, uint64_t counter) {
  constexpr double unit = 0x1.0p-53;
  const double u = (static_cast<double>(random_bits(seed, stream, 2 * counter) >> 11) + 1.0) * unit;
  const double angle = static_cast<double>(random_bits(seed, stream, 2 * counter + 1) >> 11) * unit;
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * angle);
}

}  // namespace evenflow::train
