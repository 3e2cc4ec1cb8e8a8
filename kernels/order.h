// Random orders that (seed, stream) alone decide, the same on every device.
#pragma once

#include <cstdint>

#include "kernels/stream.h"
#include "kernels/view.h"

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

/// order [n] = 0 .. n-1 sorted by random_bits(seed, order_stream, i), ties by index: a random permutation. Workspace in
/// bytes by the query.
int64_t random_order_workspace_bytes(Device device, int64_t n);
void random_order(Stream& stream, uint64_t seed, uint64_t order_stream, Array<int64_t> order,
                  Array<unsigned char> workspace);

}  // namespace evenflow::kernels
