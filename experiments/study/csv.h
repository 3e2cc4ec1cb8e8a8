// Numbers in a study's tables.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <string>

#include "train/statistics/intervals.h"

namespace evenflow::experiments {

/// As many digits as it takes to read the same double; NaN is an empty cell.
inline std::string csv_number(double value) {
  return std::isnan(value) ? "" : fmt::format("{}", value);
}
/// Value, low, high.
inline std::string csv_interval(const train::Interval& interval) {
  return fmt::format("{},{},{}", csv_number(interval.value), csv_number(interval.low), csv_number(interval.high));
}

}  // namespace evenflow::experiments
