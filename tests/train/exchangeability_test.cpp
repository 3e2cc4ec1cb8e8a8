#include "train/statistics/exchangeability.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace evenflow::train {
namespace {

TEST(Exchangeability, ATrendIsSpearmansCorrelationTimesTheRootOfItsDegrees) {
  const RankTest rising = trend_test(std::vector<double>{1, 2, 3, 4}, std::vector<int64_t>{0, 0, 0, 0});
  EXPECT_TRUE(std::abs(rising.statistic - std::sqrt(3.0)) <= 1e-12);
  EXPECT_TRUE(std::abs(rising.p - 0.08326451666355039) <= 1e-12);  // erfc(sqrt(1.5))
  const RankTest falling = trend_test(std::vector<double>{4, 3, 2, 1}, std::vector<int64_t>{0, 0, 0, 0});
  EXPECT_EQ(falling.statistic, -rising.statistic);
  // Ranks 1, 2.5, 2.5, 4: rho is 4.5 / sqrt(5 * 4.5).
  const RankTest tied = trend_test(std::vector<double>{1, 2, 2, 4}, std::vector<int64_t>{0, 0, 0, 0});
  EXPECT_TRUE(std::abs(tied.statistic - std::sqrt(3.0) * 4.5 / std::sqrt(5.0 * 4.5)) <= 1e-12);
}

TEST(Exchangeability, WhatDiffersBetweenGroupsIsNoTrend) {
  const std::vector<double> scores = {1, 2, 3, 4, 104, 103, 102, 101};
  const std::vector<int64_t> groups = {0, 0, 0, 0, 1, 1, 1, 1};
  EXPECT_EQ(trend_test(scores, groups).statistic, 0.0);
  EXPECT_EQ(trend_test(scores, groups).p, 1.0);
  EXPECT_TRUE(trend_test(scores, std::vector<int64_t>(8, 0)).p <= 0.05);
}

TEST(Exchangeability, KruskalWallisIsScipys) {
  const RankTest even = kruskal_wallis(std::vector<double>{1, 3, 5, 7, 9, 2, 4, 6, 8, 10},
                                       std::vector<int64_t>{0, 0, 0, 0, 0, 1, 1, 1, 1, 1});
  EXPECT_TRUE(std::abs(even.statistic - 0.2727272727272734) <= 1e-12);
  EXPECT_TRUE(std::abs(even.p - 0.6015081344405895) <= 1e-12);
  const RankTest tied =
      kruskal_wallis(std::vector<double>{1, 1, 1, 2, 2, 2, 2, 2}, std::vector<int64_t>{0, 0, 0, 1, 1, 1, 2, 2});
  EXPECT_TRUE(std::abs(tied.statistic - 7.0) <= 1e-12);
  EXPECT_TRUE(std::abs(tied.p - 0.0301973834223185) <= 1e-12);
}

TEST(Exchangeability, NothingToCompareIsNoDifference) {
  EXPECT_EQ(trend_test({}, {}).p, 1.0);
  EXPECT_EQ(kruskal_wallis({}, {}).p, 1.0);
  const std::vector<double> alike = {2, 2, 2}, apart = {1, 2, 3};
  const std::vector<int64_t> one = {0, 0, 0}, each = {0, 1, 2};
  EXPECT_EQ(trend_test(alike, one).p, 1.0);
  EXPECT_EQ(trend_test(apart, each).p, 1.0);
  EXPECT_EQ(kruskal_wallis(alike, each).p, 1.0);
  EXPECT_EQ(kruskal_wallis(apart, one).p, 1.0);
}

TEST(Exchangeability, ClipsThatAreAlikeAreCalledUnlikeAsRarelyAsTheTestSays) {
  std::mt19937_64 random(3);
  constexpr int draws = 4000;
  int trends = 0, differences = 0;
  for (int draw = 0; draw < draws; ++draw) {
    std::vector<double> scores;
    std::vector<int64_t> groups;
    for (int64_t i = 0; i < 60; ++i) {
      scores.push_back(static_cast<double>(random() % 40U));  // with ties
      groups.push_back(i / 20);
    }
    trends += trend_test(scores, groups).p < 0.05 ? 1 : 0;
    differences += kruskal_wallis(scores, groups).p < 0.05 ? 1 : 0;
  }
  const double bound = 4.0 * std::sqrt(0.05 * 0.95 / draws);
  EXPECT_TRUE(std::abs(static_cast<double>(trends) / draws - 0.05) <= bound) << trends;
  EXPECT_TRUE(std::abs(static_cast<double>(differences) / draws - 0.05) <= bound) << differences;
}

}  // namespace
}  // namespace evenflow::train
