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

}  // namespace
}  // namespace evenflow::train
