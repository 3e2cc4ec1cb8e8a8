// Random numbers that are functions of a counter: the same on every device and platform, in any order, on any thread.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/anywhere.h"

namespace evenflow::kernels {

/// The step and finaliser of SplitMix64 (Steele, Lea & Flood 2014): a bijection of 64 bits that passes the usual test
/// batteries.
constexpr uint64_t mix_bits(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// 64 random bits at `counter` of the stream named by (seed, stream).
constexpr uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t counter) {
  return mix_bits(mix_bits(mix_bits(seed) ^ stream) ^ counter);
}

/// N(0, 1) from u, uniform in (0, 1], and `turns`, uniform in [0, 1) (Box & Muller 1958).
EVENFLOW_ANYWHERE inline double box_muller(double u, double turns) {
  constexpr double two_pi = 6.283185307179586;
  return sqrt(-2.0 * log(u)) * cos(two_pi * turns);
}

/// N(0, 1) at `counter` of a stream.
EVENFLOW_ANYWHERE inline double random_normal(uint64_t seed, uint64_t stream, uint64_t counter) {
  constexpr double unit = 0x1.0p-53;
  const double u = (static_cast<double>(random_bits(seed, stream, 2 * counter) >> 11U) + 1.0) * unit;
  const double turns = static_cast<double>(random_bits(seed, stream, 2 * counter + 1) >> 11U) * unit;
  return box_muller(u, turns);
}

}  // namespace evenflow::kernels
