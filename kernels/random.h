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

/// What names a stream: its bits at `counter` are mix_bits(key ^ counter).
constexpr uint64_t stream_key(uint64_t seed, uint64_t stream) {
  return mix_bits(mix_bits(seed) ^ stream);
}

/// 64 random bits at `counter` of the stream named by (seed, stream).
constexpr uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t counter) {
  return mix_bits(stream_key(seed, stream) ^ counter);
}

/// Uniform in [0, 1), from 53 of the bits; exact.
constexpr double unit_interval(uint64_t bits) {
  return static_cast<double>(bits >> 11U) * 0x1.0p-53;
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
  const double turns = unit_interval(random_bits(seed, stream, 2 * counter + 1));
  return box_muller(u, turns);
}

struct NormalPair {
  float first, second;
};
// Sine and cosine of at most pi/4 (Cephes): x + x^3 (...) and 1 - x^2/2 + x^4 (...), in powers of x^2.
struct NormalPairSeries {
  float first, second, third;
};
inline constexpr NormalPairSeries normal_pair_sine{-1.6666654611e-1F, 8.3321608736e-3F, -1.9515295891e-4F};
inline constexpr NormalPairSeries normal_pair_cosine{4.166664568298827e-2F, -1.388731625493765e-3F,
                                                     2.443315711809948e-5F};
inline constexpr float normal_pair_angle = 0x1.0p-25F * 1.57079632679489662F;

/// Two independent N(0, 1) in float32 where many are wanted (Box & Muller 1958): none beyond 5.77. On every device
/// within 2^-20 of itself of what float64 makes of the same bits.
EVENFLOW_ANYWHERE inline NormalPair normal_pair(uint64_t bits) {
  const float u = static_cast<float>(static_cast<uint32_t>(bits >> 40U) + 1U) * 0x1.0p-24F;
  const float radius = sqrtf(-2.0F * logf(u));
  // An angle within pi/4 of 0, and a quadrant.
  const auto odd = static_cast<int32_t>(2U * (static_cast<uint32_t>(bits >> 8U) & 0xffffffU) + 1U) - (1 << 24);
  const float angle = static_cast<float>(odd) * normal_pair_angle;
  const float z = angle * angle;
  const NormalPairSeries s = normal_pair_sine, c = normal_pair_cosine;
  const float sine = angle + angle * z * ((s.third * z + s.second) * z + s.first);
  const float cosine = 1.0F - 0.5F * z + z * z * ((c.third * z + c.second) * z + c.first);
  const bool turned = (bits & 1U) != 0;
  const float sign = (bits & 2U) != 0 ? -radius : radius;
  return turned ? NormalPair{-sign * sine, sign * cosine} : NormalPair{sign * cosine, sign * sine};
}

}  // namespace evenflow::kernels
