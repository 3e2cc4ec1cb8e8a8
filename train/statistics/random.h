// Random numbers that are functions of a counter: the same on every platform, in any order, on any thread.
#pragma once

#include <cstdint>

#include "kernels/random.h"

namespace evenflow::train {

using kernels::mix_bits;
using kernels::random_bits;
using kernels::random_normal;

/// An integer in [0, n). The modulo's bias, n / 2^64, is far below what any data set could show.
inline int64_t random_below(int64_t n, uint64_t seed, uint64_t stream, uint64_t counter) {
  return static_cast<int64_t>(random_bits(seed, stream, counter) % static_cast<uint64_t>(n));
}

}  // namespace evenflow::train
