#include "train/statistics/exchangeability.h"

#include <algorithm>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <numeric>
#include <vector>

#include "train/statistics/midranks.h"

namespace evenflow::train {
namespace {

/// Sum of squares about the mean.
double squares_of(std::span<const double> x) {
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
  return std::accumulate(x.begin(), x.end(), 0.0,
                         [&](double sum, double value) { return sum + (value - mean) * (value - mean); });
}

std::vector<std::vector<double>> by_group(std::span<const double> values, std::span<const int64_t> groups) {
  std::vector<std::vector<double>> out;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto group = static_cast<size_t>(groups[i]);
    out.resize(std::max(out.size(), group + 1));
    out[group].push_back(values[i]);
  }
  return out;
}

}  // namespace

RankTest trend_test(std::span<const double> scores, std::span<const int64_t> groups) {
  double above_chance = 0, variance = 0;
  for (const std::vector<double>& own : by_group(scores, groups)) {
    if (own.size() < 2) {
      continue;
    }
    const auto n = static_cast<double>(own.size());
    const std::vector<double> ranks = midranks(own);
    for (size_t i = 0; i < ranks.size(); ++i) {
      above_chance += (static_cast<double>(i + 1) - 0.5 * (n + 1.0)) * (ranks[i] - 0.5 * (n + 1.0));
    }
    variance += n * (n * n - 1.0) / 12.0 * squares_of(ranks) / (n - 1.0);
  }
  if (!(variance > 0)) {
    return {};
  }
  const double z = above_chance / std::sqrt(variance);
  return {z, 2.0 * boost::math::cdf(boost::math::complement(boost::math::normal(), std::abs(z)))};
}

RankTest kruskal_wallis(std::span<const double> scores, std::span<const int64_t> groups) {
  const auto n = static_cast<double>(scores.size());
  const std::vector<double> ranks = midranks(scores);
  const double squares = ranks.empty() ? 0.0 : squares_of(ranks);
  double between = 0, count = 0;
  for (const std::vector<double>& own : by_group(ranks, groups)) {
    if (own.empty()) {
      continue;
    }
    const auto size = static_cast<double>(own.size());
    const double mean = std::accumulate(own.begin(), own.end(), 0.0) / size;
    between += size * (mean - 0.5 * (n + 1.0)) * (mean - 0.5 * (n + 1.0));
    ++count;
  }
  if (count < 2 || !(squares > 0)) {
    return {};
  }
  const double h = (n - 1.0) * between / squares;
  return {h, boost::math::cdf(boost::math::complement(boost::math::chi_squared(count - 1.0), h))};
}

}  // namespace evenflow::train
