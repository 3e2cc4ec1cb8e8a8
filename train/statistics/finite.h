// Is every float of a row finite?
#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace evenflow::train {

inline bool all_finite(std::span<const float> values) {
  // No early end, so that the loop vectorises.
  constexpr uint32_t exponent = 0x7f800000;
  bool finite = true;
  for (const float value : values) {
    finite &= (std::bit_cast<uint32_t>(value) & exponent) != exponent;
  }
  return finite;
}

}  // namespace evenflow::train
