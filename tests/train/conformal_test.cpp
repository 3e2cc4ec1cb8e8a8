#include "train/statistics/conformal.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace evenflow::train {
namespace {

TEST(Conformal, PValueCountsTheNormalScoresThatAreAsHigh) {
  const std::vector<double> normal = {1, 2, 2, 3};
  EXPECT_EQ(conformal_p_value(normal, 0.5), 1.0);
  EXPECT_EQ(conformal_p_value(normal, 2.0), 0.8);
  EXPECT_EQ(conformal_p_value(normal, 2.5), 0.4);
  EXPECT_EQ(conformal_p_value(normal, 3.0), 0.4);
  EXPECT_EQ(conformal_p_value(normal, 4.0), 0.2);
  EXPECT_EQ(conformal_p_value(normal, std::numeric_limits<double>::infinity()), 0.2);
  EXPECT_TRUE(std::isnan(conformal_p_value(normal, std::numeric_limits<double>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(conformal_p_value({}, 1.0)));
}

TEST(Conformal, TheLeastClipsOfARateAreTheFirstThatHaveAThreshold) {
  EXPECT_EQ(conformal_clips(0.1), 9);
  EXPECT_EQ(conformal_clips(0.05), 19);
  EXPECT_EQ(conformal_clips(0.01), 99);
  EXPECT_EQ(conformal_clips(0.5), 1);
  EXPECT_EQ(conformal_clips(0.9), 1);
  EXPECT_EQ(conformal_clips(1.0 / 3.0), 2);
  EXPECT_EQ(conformal_clips(1e-6), 999999);
  for (const double rate : {0.3, 0.1, 0.07, 0.05, 0.02, 0.01}) {
    const auto clips = static_cast<size_t>(conformal_clips(rate));
    EXPECT_TRUE(conformal_threshold(std::vector<double>(clips, 1.0), rate)) << rate;
    EXPECT_FALSE(conformal_threshold(std::vector<double>(clips - 1, 1.0), rate)) << rate;
  }
}

TEST(Conformal, AboveTheThresholdIsWhereThePValueIsSmallEnough) {
  std::mt19937_64 random(1);
  for (const size_t clips : {9U, 20U, 99U, 137U}) {
    std::vector<double> normal(clips);
    for (double& score : normal) {
      score = static_cast<double>(random() % 50U);  // with ties
    }
    std::sort(normal.begin(), normal.end());
    for (const double rate : {0.1, 0.2, 0.05, 0.013}) {
      const auto threshold = conformal_threshold(normal, rate);
      if (!threshold) {
        EXPECT_TRUE(static_cast<int64_t>(clips) < conformal_clips(rate));
        continue;
      }
      for (double score = -1.0; score < 52.0; score += 0.5) {
        EXPECT_EQ(score > *threshold, conformal_p_value(normal, score) <= rate * (1.0 + 1e-12)) << score;
      }
    }
  }
}

/// The rate of false alarms of one threshold after the other, each from scores of its own; it is exact, because the
/// scores' distribution is known.
TEST(Conformal, TheRateIsKeptOnAverageAndLiesInItsRangeAsOftenAsItSays) {
  std::mt19937_64 random(20);
  const auto uniform = [&] { return static_cast<double>(random() >> 11U) * 0x1p-53; };
  constexpr int draws = 4000;
  for (const auto& [clips, rate] : {std::pair(99, 0.05), {280, 0.01}, {280, 0.05}, {57, 0.1}}) {
    const double above = std::floor(rate * (clips + 1) + 1e-9), expected = above / (clips + 1);
    const RateRange range = conformal_rate_range(clips, rate);
    double sum = 0;
    int inside = 0;
    for (int draw = 0; draw < draws; ++draw) {
      std::vector<double> normal;
      normal.reserve(static_cast<size_t>(clips));
      for (int i = 0; i < clips; ++i) {
        normal.push_back(-std::log(1.0 - uniform()));  // skewed: exponential
      }
      std::sort(normal.begin(), normal.end());
      const double got = std::exp(-*conformal_threshold(normal, rate));
      sum += got;
      inside += got >= range.low && got <= range.high ? 1 : 0;
    }
    const double deviation = std::sqrt(expected * (1.0 - expected) / (clips + 2) / draws);
    EXPECT_TRUE(expected <= rate && std::abs(sum / draws - expected) <= 4.0 * deviation) << clips << " " << sum / draws;
    EXPECT_TRUE(std::abs(static_cast<double>(inside) / draws - 0.95) <= 4.0 * std::sqrt(0.95 * 0.05 / draws)) << inside;
  }
}

TEST(Conformal, TheRangeOfARateIsThatOfItsBetaDistribution) {
  // Of 1 - U^(1/n), Beta(1, n), in closed form.
  const RateRange range = conformal_rate_range(19, 0.05, 0.9);
  EXPECT_TRUE(std::abs(range.low - (1.0 - std::pow(0.95, 1.0 / 19.0))) <= 1e-12);
  EXPECT_TRUE(std::abs(range.high - (1.0 - std::pow(0.05, 1.0 / 19.0))) <= 1e-12);
  EXPECT_TRUE(conformal_rate_range(1, 0.999).high <= 1.0);
}

}  // namespace
}  // namespace evenflow::train
