#include "train/statistics/local_linear.h"

#include <gmock/gmock.h>

#include <cmath>

#include "io/error.h"
#include "tests/train/solve.h"
#include "train/statistics/random.h"

namespace evenflow::train {
namespace {

double noise(uint64_t stream, int64_t i) {
  return random_normal(11, stream, static_cast<uint64_t>(i));
}

/// n points over [0, 1) in every predictor, y by `value` plus noise of this spread.
template <class Value>
LocalPoints scattered(int64_t n, int64_t predictors, double spread, const Value& value) {
  LocalPoints points{predictors, {}, {}};
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t p = 0; p < predictors; ++p) {
      // Low-discrepancy: no gaps that chance would leave.
      points.x.push_back(
          std::fmod(0.5 + static_cast<double>(i) * (p == 0 ? 0.6180339887498949 : 0.7548776662466927), 1.0));
    }
    points.y.push_back(value(points.at(i)) + spread * noise(1, i));
  }
  points.telling = n;
  return points;
}

// ---- the definition, by another road: normal equations of the weighted plane in float64, solved by elimination

struct Defined {
  double mean, about, effective;
};

/// Value at x of the plane through y; the weighted mean of y; the weights' number.
Defined defined(const LocalPoints& points, const std::vector<double>& y, std::span<const double> x,
                const std::vector<double>& h) {
  const auto predictors = static_cast<size_t>(points.predictors);
  std::vector<double> w;
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < points.size(); ++i) {
    double u = 0;
    for (size_t p = 0; p < predictors; ++p) {
      u += std::pow((points.at(i)[p] - x[p]) / h[p], 2);
    }
    w.push_back(std::exp(-0.5 * u));
    sum += w.back();
    squares += w.back() * w.back();
  }
  const double effective = sum * sum / squares;
  std::vector<std::vector<double>> a(predictors + 1, std::vector<double>(predictors + 1, 0.0));
  std::vector<double> b(predictors + 1, 0.0);
  double about = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    std::vector<double> z = {1.0};
    for (size_t p = 0; p < predictors; ++p) {
      z.push_back((points.at(static_cast<int64_t>(i))[p] - x[p]) / h[p]);
    }
    for (size_t r = 0; r <= predictors; ++r) {
      for (size_t c = 0; c <= predictors; ++c) {
        a[r][c] += w[i] / sum * z[r] * z[c];
      }
      b[r] += w[i] / sum * z[r] * y[i];
    }
    about += w[i] / sum * y[i];
  }
  for (size_t p = 1; p <= predictors; ++p) {
    a[p][p] += 0.1 / effective;
  }
  return {tests::solve(a, b)[0], about, effective};
}

TEST(LocalLinear, IsWhatItsHeaderSays) {
  for (const int64_t predictors : {1, 2, 3}) {
    const LocalPoints points = scattered(
        120, predictors, 0.3, [](std::span<const double> x) { return 5.0 + std::sin(6.0 * x[0]) - 2.0 * x.back(); });
    const std::vector<double> h(static_cast<size_t>(predictors), 0.35);
    const LocalLinear line(points, h);
    for (const int64_t i : {0, 17, 63}) {
      std::vector<double> x(points.at(i).begin(), points.at(i).end());
      for (double& value : x) {
        value += 0.01;
      }
      const Defined mean = defined(points, points.y, x, h);
      ASSERT_GE(mean.effective, static_cast<double>(line.least_points()));
      const Defined square = defined(points, line.squared_residuals(), x, h);
      const LocalFit fit = line.at(x);
      EXPECT_FALSE(fit.sparse);
      EXPECT_TRUE(std::abs(fit.mean - mean.mean) <= 1e-12 * std::abs(mean.mean)) << predictors;
      const double spread = std::sqrt(std::max(square.mean, square.about / 4.0));
      EXPECT_TRUE(std::abs(fit.spread - spread) <= 1e-10 * spread) << predictors;
    }
  }
}

TEST(LocalLinear, FindsMeanAndSpreadThatChange) {
  LocalPoints points{1, {}, {}};
  const auto mean = [](double x) { return 100.0 + 50.0 * x * x; };
  const auto spread = [](double x) { return 1.0 + 2.0 * x; };
  for (int64_t i = 0; i < 4000; ++i) {
    const double x = static_cast<double>(i) / 4000.0;
    points.x.push_back(x);
    points.y.push_back(mean(x) + spread(x) * noise(2, i));
  }
  points.telling = points.size();
  const LocalLinear line(points, {0.06});
  for (const double x : {0.0, 0.3, 0.6, 1.0}) {  // the ends as well, where a local mean is off by 4.8
    const LocalFit fit = line.at(std::vector<double>{x});
    EXPECT_TRUE(std::abs(fit.mean - mean(x)) <= 0.8) << x << ": " << fit.mean;
    EXPECT_TRUE(std::abs(fit.spread - spread(x)) <= 0.2 * spread(x)) << x << ": " << fit.spread;
  }
}

TEST(LocalLinear, ResidualsOfFewPointsAreNotTooSmall) {
  double sum = 0;
  constexpr int64_t draws = 400;
  for (int64_t draw = 0; draw < draws; ++draw) {
    LocalPoints points{1, {}, {}};
    for (int64_t i = 0; i < 10; ++i) {
      points.x.push_back(static_cast<double>(i));
      points.y.push_back(noise(3, 10 * draw + i));
    }
    points.telling = points.size();
    const LocalLinear line(points, {2.0});
    for (const double r : line.squared_residuals()) {
      sum += r / (10.0 * draws);
    }
  }
  EXPECT_TRUE(std::abs(sum - 1.0) <= 0.1) << sum;
}

TEST(LocalLinear, WidensWherePointsAreFewAndSaysSo) {
  LocalPoints points{1, {}, {}};
  for (int64_t i = 0; i < 40; ++i) {
    points.x.push_back(i < 20 ? 0.01 * static_cast<double>(i) : 10.0 + 0.01 * static_cast<double>(i));
    points.y.push_back((i < 20 ? 1.0 : 3.0) + 0.1 * noise(4, i));
  }
  points.telling = points.size();
  const LocalLinear line(points, {0.1});
  EXPECT_FALSE(line.at(std::vector<double>{0.1}).sparse);
  const LocalFit between = line.at(std::vector<double>{5.1});
  EXPECT_TRUE(between.sparse);
  EXPECT_TRUE(std::abs(between.mean - 2.0) <= 0.6) << between.mean;
  EXPECT_GT(between.spread, 0.0);
  // A slope that the points do not tell is drawn to 0: the mean of the nearest ones.
  const LocalFit beyond = line.at(std::vector<double>{10.45});
  EXPECT_TRUE(std::abs(beyond.mean - 3.0) <= 0.3) << beyond.mean;
}

TEST(LocalLinear, TheSpreadHasAFloor) {
  LocalPoints points{1, {}, {}};
  for (int64_t i = 0; i < 200; ++i) {
    points.x.push_back(static_cast<double>(i));
    points.y.push_back(i < 100 ? 1.0 : 1.0 + noise(5, i));
  }
  points.telling = points.size();
  const LocalLinear line(points, {5.0});
  double mean = 0;
  for (const double r : line.squared_residuals()) {
    mean += r / 200.0;
  }
  const double floor = std::sqrt(mean) / 20.0;
  EXPECT_TRUE(std::abs(line.at(std::vector<double>{20.0}).spread - floor) <= 1e-12 * floor);
  EXPECT_GT(line.at(std::vector<double>{150.0}).spread, 10.0 * floor);
}

TEST(LocalLinear, OnlyTellingPointsTellTheSpread) {
  LocalPoints points{1, {}, {}};
  for (int64_t i = 0; i < 400; ++i) {
    points.x.push_back(static_cast<double>(i % 200));
    points.y.push_back(5.0 + (i < 200 ? 1.0 : 8.0) * noise(9, i));
  }
  points.telling = 200;
  const LocalLinear line(points, {40.0});
  ASSERT_EQ(line.squared_residuals().size(), 200U);
  EXPECT_TRUE(std::abs(line.at(std::vector<double>{100.0}).spread - 1.0) <= 0.4);
}

TEST(LocalLinear, WhatCannotBeFittedIsRefused) {
  LocalPoints points{1, {}, {}};
  EXPECT_THROW(LocalLinear(points, {1.0}), io::DataError);
  for (int64_t i = 0; i < 20; ++i) {
    points.x.push_back(static_cast<double>(i));
    points.y.push_back(7.0);
  }
  points.telling = points.size();
  EXPECT_THROW(LocalLinear(points, {1.0}), io::DataError);
  const std::vector<int64_t> group(20, 0);
  points.x.assign(20, 3.0);
  EXPECT_THROW(choose_bandwidth(points, group), io::DataError);
}

// ---- the bandwidth

/// 12 groups of 8 points, each group about a value of its own; y by `value`.
template <class Value>
LocalPoints grouped(std::vector<int64_t>& group, double spread, const Value& value) {
  LocalPoints points{1, {}, {}};
  for (int64_t i = 0; i < 96; ++i) {
    group.push_back(i / 8);
    points.x.push_back(static_cast<double>(group.back()) + 0.3 * noise(6, i));
    points.y.push_back(value(points.x.back()) + spread * noise(7, i));
  }
  points.telling = points.size();
  return points;
}

TEST(LocalLinear, TheBandwidthFollowsTheCurve) {
  std::vector<int64_t> group;
  const auto chosen = [&](double spread, const auto& value) {
    group.clear();
    const LocalPoints points = grouped(group, spread, value);
    return choose_bandwidth(points, group)[0];
  };
  // Noise about a line: the wider the better. A wave of 8 units: a fraction of it.
  EXPECT_GE(chosen(1.0, [](double x) { return 3.0 * x; }), 4.0);
  const double of_wave = chosen(0.2, [](double x) { return 5.0 * std::sin(x * 0.785); });
  EXPECT_LE(of_wave, 2.5);
  EXPECT_GE(of_wave, 0.4);
}

TEST(LocalLinear, AGroupIsLeftOutWhole) {
  // Each group has a level of its own, which only points of the group tell: left out, they tell nothing, and the mean
  // of many groups is the best guess. With single points left out, the narrowest bandwidth would win.
  std::vector<int64_t> group;
  LocalPoints points = grouped(group, 0.01, [](double) { return 0.0; });
  for (size_t i = 0; i < group.size(); ++i) {
    points.y[i] += 5.0 * noise(8, group[i]);
  }
  EXPECT_GE(choose_bandwidth(points, group)[0], 2.0);
}

// Three places a hundred apart, five points at each: a bandwidth of a few units would be judged by points that it does
// not reach.
TEST(LocalLinear, ABandwidthReachesTheNextPlace) {
  LocalPoints points{1, {}, {}};
  std::vector<int64_t> group;
  for (int64_t i = 0; i < 15; ++i) {
    group.push_back(i / 5);
    points.x.push_back(100.0 * static_cast<double>(group.back()) + 3.0 * noise(1, i));
    points.y.push_back(static_cast<double>(group.back() % 2) + 0.01 * noise(2, i));
  }
  points.telling = points.size();
  const std::vector<double> h = choose_bandwidth(points, group);
  std::vector<double> left_out(15, 0.0);
  std::fill(left_out.begin() + 5, left_out.begin() + 10, 1.0);
  const std::vector<double> middle = {100.0};
  EXPECT_FALSE(LocalLinear(points, h).at(middle, left_out).sparse) << h[0];
}

TEST(LocalLinear, EachPredictorHasItsBandwidth) {
  const LocalPoints points =
      scattered(240, 2, 0.1, [](std::span<const double> x) { return 3.0 * std::sin(9.0 * x[0]) + x[1]; });
  std::vector<int64_t> group;
  for (int64_t i = 0; i < points.size(); ++i) {
    group.push_back(static_cast<int64_t>(6.0 * points.at(i)[0]) * 3 + static_cast<int64_t>(3.0 * points.at(i)[1]));
  }
  const std::vector<double> h = choose_bandwidth(points, group);
  ASSERT_EQ(h.size(), 2U);
  EXPECT_LE(h[0], 0.3);
  EXPECT_GE(h[1], 2.0 * h[0]);
}

}  // namespace
}  // namespace evenflow::train
