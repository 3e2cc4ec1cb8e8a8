// Distances from normal points, against float64 written out.
#include "train/statistics/normal_points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "flow/random.h"
#include "io/error.h"
#include "tests/train/solve.h"

namespace evenflow::train {
namespace {

std::vector<float> normal_points(int64_t n, int64_t length, uint64_t seed) {
  flow::Random random = flow::stream_of(seed, 0);
  std::vector<float> points;
  for (int64_t i = 0; i < n; ++i) {
    const double shared = random.normal();
    for (int64_t j = 0; j < length; ++j) {
      points.push_back(static_cast<float>(3.0 * static_cast<double>(j) + shared +
                                          0.5 * (1.0 + static_cast<double>(j)) * random.normal()));
    }
  }
  return points;
}

/// Points of mean 0 and deviation 1, and x the same way.
struct Scaled {
  std::vector<std::vector<double>> rows;
  std::vector<double> x;
};

Scaled scale(const std::vector<float>& points, int64_t length, const std::vector<float>& x) {
  const size_t n = points.size() / static_cast<size_t>(length);
  Scaled out{std::vector<std::vector<double>>(n), {}};
  for (size_t j = 0; j < static_cast<size_t>(length); ++j) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; ++i) {
      mean += points[i * static_cast<size_t>(length) + j] / static_cast<double>(n);
    }
    for (size_t i = 0; i < n; ++i) {
      variance += std::pow(points[i * static_cast<size_t>(length) + j] - mean, 2) / static_cast<double>(n);
    }
    const double deviation = variance > 0 ? std::sqrt(variance) : 1.0;
    for (size_t i = 0; i < n; ++i) {
      out.rows[i].push_back((points[i * static_cast<size_t>(length) + j] - mean) / deviation);
    }
    out.x.push_back((x[j] - mean) / deviation);
  }
  return out;
}

std::vector<std::vector<double>> sample_covariance(const Scaled& s) {
  const size_t d = s.x.size();
  std::vector<std::vector<double>> sample(d, std::vector<double>(d));
  for (const auto& row : s.rows) {
    for (size_t i = 0; i < d; ++i) {
      for (size_t j = 0; j < d; ++j) {
        sample[i][j] += row[i] * row[j] / static_cast<double>(s.rows.size());
      }
    }
  }
  return sample;
}

/// Weights of the identity and of the sample covariance, as Ledoit and Wolf's paper writes them.
std::pair<double, double> ledoit_wolf_weights(const Scaled& s) {
  const std::vector<std::vector<double>> sample = sample_covariance(s);
  const size_t d = s.x.size();
  const auto points = static_cast<double>(s.rows.size()), length = static_cast<double>(d);
  double m = 0;
  for (size_t i = 0; i < d; ++i) {
    m += sample[i][i] / length;
  }
  double d2 = 0, b2 = 0;
  for (size_t i = 0; i < d; ++i) {
    for (size_t j = 0; j < d; ++j) {
      d2 += std::pow(sample[i][j] - (i == j ? m : 0.0), 2) / length;
      for (const auto& row : s.rows) {
        b2 += std::pow(row[i] * row[j] - sample[i][j], 2) / length / (points * points);
      }
    }
  }
  const double weight = std::min(b2, d2) / d2;
  return {weight * m, 1 - weight};
}

/// x^T S^-1 x / length with their covariance S.
double mahalanobis_by_the_paper(const Scaled& s) {
  std::vector<std::vector<double>> covariance = sample_covariance(s);
  const auto [identity, sample] = ledoit_wolf_weights(s);
  const size_t d = s.x.size();
  for (size_t i = 0; i < d; ++i) {
    for (size_t j = 0; j < d; ++j) {
      covariance[i][j] = sample * covariance[i][j] + (i == j ? identity : 0.0);
    }
  }
  const std::vector<double> y = tests::solve(covariance, s.x);
  double square = 0;
  for (size_t i = 0; i < d; ++i) {
    square += s.x[i] * y[i] / static_cast<double>(d);
  }
  return square;
}

TEST(NormalPoints, MahalanobisIsLedoitAndWolfs) {
  for (const auto& [n, length] : {std::pair{40, 5}, std::pair{12, 30}, std::pair{3, 4}}) {
    const std::vector<float> points = normal_points(n, length, 4);
    const NormalPoints normal(points, length);
    EXPECT_EQ(normal.size(), n);
    EXPECT_EQ(normal.length(), length);
    for (const float off : {0.25F, 2.0F, -30.0F}) {
      std::vector<float> x(points.begin(), points.begin() + length);
      x[1] += off;
      const double expected = mahalanobis_by_the_paper(scale(points, length, x));
      const double actual = normal.mahalanobis(x, x);
      EXPECT_TRUE(std::abs(actual - expected) <= 1e-9 * (1 + expected)) << n << ": " << actual << " " << expected;
    }
  }
}

TEST(NormalPoints, AGivenPointIsJudgedByTheOthers) {
  // With the same scale and the same weight of the identity as all points have, mean and scatter are of the others.
  constexpr int64_t n = 12, length = 5;
  const std::vector<float> points = normal_points(n, length, 6);
  const NormalPoints normal(points, length);
  for (const float off : {0.0F, 0.5F, -8.0F}) {
    constexpr size_t given = 3;
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(given * length);
    const std::vector<float> own(begin, begin + length);
    std::vector<float> x = own;
    x[2] += off;
    Scaled s = scale(points, length, x);
    const auto [identity, sample] = ledoit_wolf_weights(s);
    s.rows.erase(s.rows.begin() + static_cast<std::ptrdiff_t>(given));
    std::vector<double> mean(length), from_mean(length);
    for (size_t i = 0; i < length; ++i) {
      for (const auto& row : s.rows) {
        mean[i] += row[i] / static_cast<double>(n - 1);
      }
      from_mean[i] = s.x[i] - mean[i];
    }
    std::vector<std::vector<double>> covariance(length, std::vector<double>(length));
    for (size_t i = 0; i < length; ++i) {
      for (size_t j = 0; j < length; ++j) {
        covariance[i][j] = i == j ? identity : 0.0;
        for (const auto& row : s.rows) {
          covariance[i][j] += sample * (row[i] - mean[i]) * (row[j] - mean[j]) / n;
        }
      }
    }
    const std::vector<double> y = tests::solve(covariance, from_mean);
    double expected = 0;
    for (size_t i = 0; i < length; ++i) {
      expected += from_mean[i] * y[i] / length;
    }
    const double actual = normal.mahalanobis(x, own);
    EXPECT_TRUE(std::abs(actual - expected) <= 1e-9 * (1 + expected)) << off << ": " << actual << " " << expected;
  }
}

TEST(NormalPoints, NearestIsOverTheNeighboursOwnReach) {
  constexpr int64_t n = 20, length = 4;
  const std::vector<float> points = normal_points(n, length, 9);
  const NormalPoints normal(points, length);
  const auto nearest = [&](const std::vector<float>& x) {
    const Scaled s = scale(points, length, x);
    const auto five = [&](const std::vector<double>& from) {
      std::vector<std::pair<double, size_t>> all;
      for (size_t i = 0; i < s.rows.size(); ++i) {
        double square = 0;
        for (size_t j = 0; j < from.size(); ++j) {
          square += std::pow(from[j] - s.rows[i][j], 2);
        }
        if (square > 1e-9) {
          all.emplace_back(std::sqrt(square), i);
        }
      }
      std::sort(all.begin(), all.end());
      all.resize(5);
      return all;
    };
    const auto mean = [](const auto& found) {
      double sum = 0;
      for (const auto& [distance, row] : found) {
        sum += distance / static_cast<double>(found.size());
      }
      return sum;
    };
    const auto found = five(s.x);
    double reach = 0;
    for (const auto& [distance, row] : found) {
      reach += mean(five(s.rows[row])) / 5.0;
    }
    return mean(found) / reach;
  };
  for (const float off : {0.0F, 1.0F, 20.0F}) {
    std::vector<float> x(points.begin() + 8, points.begin() + 12);
    x[2] += off;
    EXPECT_NEAR(normal.nearest(x, x), nearest(x), 1e-9) << off;
  }
}

TEST(NormalPoints, TwoAreEnough) {
  const std::vector<float> two = {1, 2, 3, 2, 4, 5};
  const NormalPoints normal(two, 3);
  const std::vector<float> between = {1.5F, 3, 4}, along = {2.5F, 5, 6}, beside = {1.5F, 3, 5};
  EXPECT_TRUE(normal.mahalanobis(between, between) <= 1e-9) << normal.mahalanobis(between, between);
  EXPECT_TRUE(normal.mahalanobis(beside, beside) > normal.mahalanobis(along, along) &&
              std::isfinite(normal.mahalanobis(beside, beside)));
  EXPECT_TRUE(std::isfinite(normal.mahalanobis(std::span(two).first(3), std::span(two).first(3))));
}

TEST(NormalPoints, AreFiniteWherePointsAreOne) {
  const std::vector<float> one = {1, 2, 3, 1, 2, 3, 1, 2, 3};
  const NormalPoints normal(one, 3);
  const std::vector<float> same = {1, 2, 3}, other = {1, 2, 4};
  EXPECT_EQ(normal.nearest(same, same), 0.0);
  EXPECT_EQ(normal.mahalanobis(same, same), 0.0);
  EXPECT_TRUE(std::isfinite(normal.nearest(other, other)) && normal.nearest(other, other) > 1.0);
  EXPECT_TRUE(std::isfinite(normal.mahalanobis(other, other)) && normal.mahalanobis(other, other) > 1.0);
  EXPECT_THROW(NormalPoints(std::span(one).first(3), 3), io::DataError);
}

TEST(NormalPoints, PartsTellTheDistance) {
  constexpr int64_t n = 12, length = 20;
  const NormalPoints points(normal_points(n, length, 5), length);
  const std::vector<float> x = normal_points(1, length, 6);
  const NormalPoints::Parts parts = points.parts();
  ASSERT_GT(parts.b, 0.0);
  std::vector<double> z, products(n, 0.0);
  for (size_t j = 0; j < length; ++j) {
    z.push_back((x[j] - parts.mean[j]) / parts.deviation[j]);
  }
  double square = 0;
  for (size_t j = 0; j < length; ++j) {
    square += z[j] * z[j];
    for (size_t i = 0; i < n; ++i) {
      products[i] += parts.rows[i * length + j] * z[j];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < n; ++k) {
      square -= products[i] * parts.inner_inverse[i * n + k] * products[k];
    }
  }
  const double expected = points.mahalanobis(x, x);
  EXPECT_TRUE(std::abs(square / parts.a / length - expected) <= 1e-10 * expected) << square << " " << expected;
  EXPECT_EQ(parts.neighbours, 5);
  EXPECT_EQ(parts.reach.size(), static_cast<size_t>(n));
}

}  // namespace
}  // namespace evenflow::train
