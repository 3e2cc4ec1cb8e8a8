#include "train/statistics/delong.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "io/error.h"
#include "train/statistics/metrics.h"
#include "train/statistics/midranks.h"

namespace evenflow::train {
namespace {

/// Of each clip the share of the clips of the other label that it ranks rightly with, a tie counting half; their mean
/// over either label is the AUC.
struct Placements {
  std::vector<double> anomalous, normal;
};

Placements placements_of(std::span<const double> scores, std::span<const int> labels) {
  auc(scores, labels);  // the errors of one that cannot be computed
  std::vector<double> anomalous, normal;
  for (size_t i = 0; i < scores.size(); ++i) {
    (labels[i] == 1 ? anomalous : normal).push_back(scores[i]);
  }
  std::vector<double> all = anomalous;
  all.insert(all.end(), normal.begin(), normal.end());
  const std::vector<double> rank = midranks(all), among_anomalous = midranks(anomalous),
                            among_normal = midranks(normal);
  Placements out;
  for (size_t i = 0; i < anomalous.size(); ++i) {
    out.anomalous.push_back((rank[i] - among_anomalous[i]) / static_cast<double>(normal.size()));
  }
  for (size_t j = 0; j < normal.size(); ++j) {
    out.normal.push_back(1.0 - (rank[anomalous.size() + j] - among_normal[j]) / static_cast<double>(anomalous.size()));
  }
  return out;
}

/// Sample variance of the values over their number; NaN of one.
double variance_of_mean(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  const double centre = mean(values);
  double squares = 0;
  for (const double value : values) {
    squares += (value - centre) * (value - centre);
  }
  return squares / (n - 1.0) / n;
}

/// A figure whose clips contribute so, with the normal approximation's interval.
DifferenceTest test_of(double figure, const Placements& contributions, double confidence) {
  if (!(confidence > 0.0) || !(confidence < 1.0)) {
    throw io::UsageError(fmt::format("the confidence is {}; give a number between 0 and 1, as 0.95", confidence));
  }
  const double deviation =
      std::sqrt(variance_of_mean(contributions.anomalous) + variance_of_mean(contributions.normal));
  // Below this the placements differ by rounding alone.
  if (!(deviation > 1e-12)) {
    constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
    return {{figure, unknown, unknown}, unknown};
  }
  const boost::math::normal standard;
  const double half = boost::math::quantile(standard, 0.5 + 0.5 * confidence) * deviation;
  const double p = 2.0 * boost::math::cdf(boost::math::complement(standard, std::abs(figure) / deviation));
  return {{figure, figure - half, figure + half}, p};
}

Interval cut(const Interval& interval, double low, double high) {
  return std::isnan(interval.low)
             ? interval
             : Interval{interval.value, std::max(interval.low, low), std::min(interval.high, high)};
}

}  // namespace

Interval delong_interval(std::span<const double> scores, std::span<const int> labels, double confidence) {
  const Placements placements = placements_of(scores, labels);
  return cut(test_of(auc(scores, labels), placements, confidence).difference, 0.0, 1.0);
}

DifferenceTest delong_difference(std::span<const double> a, std::span<const double> b, std::span<const int> labels,
                                 double confidence) {
  Placements difference = placements_of(a, labels);
  const Placements other = placements_of(b, labels);
  const auto subtract = [](std::vector<double>& from, const std::vector<double>& what) {
    std::transform(from.begin(), from.end(), what.begin(), from.begin(), std::minus<>());
  };
  subtract(difference.anomalous, other.anomalous);
  subtract(difference.normal, other.normal);
  DifferenceTest test = test_of(auc(a, labels) - auc(b, labels), difference, confidence);
  test.difference = cut(test.difference, -1.0, 1.0);
  return test;
}

}  // namespace evenflow::train
