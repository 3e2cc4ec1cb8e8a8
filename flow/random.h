// Random numbers that are the same on every platform: a counter-based generator and what is drawn from it.
#pragma once

#include <cstdint>

#include "kernels/random.h"

namespace evenflow::flow {

using kernels::mix_bits;

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
