// DeLong's intervals and test against the definition of 1988 in NumPy (tests/golden/metrics/make_delong.py).
#include "train/statistics/delong.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "io/error.h"

namespace evenflow::train {
namespace {

using Scores = std::vector<double>;
using Labels = std::vector<int>;

TEST(DeLong, IsTheDefinitionOf1988) {
  std::ifstream file(std::string(EVENFLOW_GOLDEN_DIR) + "/metrics/delong.json");
  const nlohmann::json cases = nlohmann::json::parse(file).at("cases");
  ASSERT_EQ(cases.size(), 5U);
  for (const auto& c : cases) {
    SCOPED_TRACE(c.at("name").get<std::string>());
    const auto a = c.at("a").get<Scores>(), b = c.at("b").get<Scores>();
    const auto labels = c.at("labels").get<Labels>();
    const Interval auc = delong_interval(a, labels);
    EXPECT_NEAR(auc.value, c.at("auc"), 1e-12);
    EXPECT_NEAR(auc.low, c.at("low"), 1e-12);
    EXPECT_NEAR(auc.high, c.at("high"), 1e-12);
    const DifferenceTest test = delong_difference(a, b, labels);
    EXPECT_NEAR(test.difference.value, c.at("difference"), 1e-12);
    EXPECT_NEAR(test.difference.low, c.at("difference_low"), 1e-12);
    EXPECT_NEAR(test.difference.high, c.at("difference_high"), 1e-12);
    EXPECT_TRUE(std::abs(test.p_value - c.at("p").get<double>()) <= 1e-10 * c.at("p").get<double>());
    const DifferenceTest turned = delong_difference(b, a, labels);
    EXPECT_EQ(turned.difference.low, -test.difference.high);
    EXPECT_EQ(turned.p_value, test.p_value);
  }
}

TEST(DeLong, RejectsEqualsAtItsLevel) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> noise;
  Labels labels(120, 0);
  std::fill(labels.begin(), labels.begin() + 50, 1);
  int rejected = 0, missed = 0;
  constexpr int draws = 2000;
  for (int draw = 0; draw < draws; ++draw) {
    Scores a, b;
    for (const int label : labels) {
      const double shared = noise(random) + label;
      a.push_back(shared + noise(random));
      b.push_back(shared + noise(random));
    }
    const DifferenceTest test = delong_difference(a, b, labels);
    rejected += test.p_value < 0.05 ? 1 : 0;
    missed += test.difference.low > 0 || test.difference.high < 0 ? 1 : 0;
  }
  // 5 % of 2000 are 100, with a standard deviation of 9.7; four of them.
  EXPECT_NEAR(rejected, 100, 40);
  EXPECT_EQ(rejected, missed) << "the interval and the test say the same";
}

TEST(DeLong, DoesNotInventAVariance) {
  const Labels labels = {0, 0, 0, 1, 1, 1};
  const Scores perfect = {1, 2, 3, 4, 5, 6}, other = {3, 1, 2, 6, 5, 7};
  const DifferenceTest both = delong_difference(perfect, other, labels);
  EXPECT_EQ(both.difference.value, 0.0);
  EXPECT_TRUE(std::isnan(both.difference.low) && std::isnan(both.difference.high) && std::isnan(both.p_value));
  EXPECT_TRUE(std::isnan(delong_interval(perfect, labels).low));
  const Labels one_anomaly = {0, 0, 1};
  EXPECT_TRUE(std::isnan(delong_interval(Scores{1, 3, 2}, one_anomaly).low)) << "of one clip there is no variance";
  EXPECT_TRUE(std::isnan(delong_difference(Scores{1, 3, 2}, Scores{1, 2, 3}, one_anomaly).p_value));
}

TEST(DeLong, SaysWhatIsWrong) {
  const Labels labels = {0, 1, 0, 1};
  const Scores a = {1, 2, 3, 4};
  EXPECT_THROW(delong_interval(Scores{1, 2, 3}, labels), io::DataError);
  EXPECT_THROW(delong_interval(Scores{1, std::nan(""), 3, 4}, labels), io::DataError);
  EXPECT_THROW(delong_interval(a, Labels{1, 1, 1, 1}), io::DataError);
  EXPECT_THROW(delong_difference(a, Scores{1, 2}, labels), io::DataError);
  EXPECT_THROW(delong_difference(a, a, labels, 95.0), io::UsageError);
}

}  // namespace
}  // namespace evenflow::train
