#include "flow/random.h"

namespace evenflow::flow {

uint64_t Random::bits() {
  const uint64_t out = mix_bits(state_);
  state_ += 0x9e3779b97f4a7c15ULL;
  return out;
}

double Random::uniform() {
  return static_cast<double>(bits() >> 11) * 0x1.0p-53;
}

double Random::normal() {
  const double u = 1.0 - uniform();
  return kernels::box_muller(u, uniform());
}

Random stream_of(uint64_t seed, uint64_t index) {
  Random random(seed);
  const uint64_t first = random.bits();
  return Random(first ^ (index * 0xD1342543DE82EF95ULL + 1));
}

}  // namespace evenflow::flow
