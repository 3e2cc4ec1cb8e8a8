#include "train/statistics/conformal.h"

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <cmath>
#include <limits>

namespace evenflow::train {
namespace {

/// How many of n + 1 exchangeable clips may raise a false alarm. The rounding of the product must not cost one.
double allowed(double clips, double false_alarms) {
  return std::floor(false_alarms * (clips + 1.0) * (1.0 + 1e-12));
}

}  // namespace

double conformal_p_value(std::span<const double> normal, double score) {
  if (std::isnan(score) || normal.empty()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const auto as_high = normal.end() - std::lower_bound(normal.begin(), normal.end(), score);
  return (1.0 + static_cast<double>(as_high)) / (static_cast<double>(normal.size()) + 1.0);
}

int64_t conformal_clips(double false_alarms) {
  auto clips = static_cast<int64_t>(std::ceil(1.0 / false_alarms)) - 1;
  while (clips > 0 && allowed(static_cast<double>(clips - 1), false_alarms) >= 1.0) {
    --clips;
  }
  while (allowed(static_cast<double>(clips), false_alarms) < 1.0) {
    ++clips;
  }
  return clips;
}

std::optional<double> conformal_threshold(std::span<const double> normal, double false_alarms) {
  const double above = allowed(static_cast<double>(normal.size()), false_alarms);
  if (above < 1.0 || normal.empty()) {
    return std::nullopt;
  }
  return normal[normal.size() - std::min(normal.size(), static_cast<size_t>(above))];
}

RateRange conformal_rate_range(int64_t clips, double false_alarms, double confidence) {
  const double n = static_cast<double>(clips), above = std::min(n, allowed(n, false_alarms));
  const boost::math::beta_distribution<> rate(above, n + 1.0 - above);
  const double tail = 0.5 * (1.0 - confidence);
  return {boost::math::quantile(rate, tail), boost::math::quantile(boost::math::complement(rate, tail))};
}

}  // namespace evenflow::train
