// Random numbers that are the same on every platform: a counter-based generator and what is drawn from it.
#pragma once

#include <cstdint>

namespace evenflow::flow {

/// The step and finaliser of SplitMix64 (Steele, Lea & Flood 2014): a bijection of 64 bits that passes the usual test
/// batteries.
inline uint64_t mix_bits(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// SplitMix64: a stream is named by its seed.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t bits();
  double uniform();  ///< [0, 1)
  double normal();   ///< N(0, 1), Box-Muller

 private:
  uint64_t state_;
};

/// An independent stream for the `index`-th use of a seed.
Random stream_of(uint64_t seed, uint64_t index);

}  // namespace evenflow::flow
