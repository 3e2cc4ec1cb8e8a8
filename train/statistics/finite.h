// Is every number of a row finite?
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
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

inline bool all_finite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace evenflow::train
