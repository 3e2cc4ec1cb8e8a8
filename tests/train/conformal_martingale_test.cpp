#include "train/statistics/conformal_martingale.h"

#include <cmath>
#include <random>

#include "gtest/gtest.h"

namespace evenflow::train {
namespace {

TEST(ConformalMartingale, BeginsWithACapitalOfOne) {
  ConformalMartingale test;
  EXPECT_EQ(test.capital(), 1.0);
  EXPECT_TRUE(std::isnan(test.level()));
  EXPECT_TRUE(std::isnan(test.earlier_level()));
}

/// How many of `runs` runs of independent values reach a capital of `level` at any time.
int runs_that_reach(double level, int runs, int values) {
  int reached = 0;
  for (int run = 0; run < runs; ++run) {
    std::mt19937 random(static_cast<uint32_t>(run));
    std::exponential_distribution<double> value;
    ConformalMartingale test(static_cast<uint64_t>(run));
    bool reaches = false;
    for (int i = 0; i < values; ++i) {
      test.add(std::round(4.0 * value(random)));  // many ties
      reaches = reaches || test.capital() >= level;
    }
    reached += reaches ? 1 : 0;
  }
  return reached;
}

TEST(ConformalMartingale, ValuesThatStayAlikeAreReportedNoOftenerThanVilleAllows) {
  // By Ville's inequality at most 1/5 of the runs, 80 of 400; three standard deviations of the count are 24.
  const int reached = runs_that_reach(5.0, 400, 300);
  EXPECT_TRUE(reached <= 80 + 24) << reached;
}

TEST(ConformalMartingale, AJumpAndACreepAreReportedEitherWay) {
  for (const double direction : {-1.0, 1.0}) {
    std::mt19937 random(3);
    std::normal_distribution<double> noise;
    ConformalMartingale jump, creep;
    for (int i = 0; i < 400; ++i) {
      jump.add(noise(random) + (i < 200 ? 0.0 : 3.0 * direction));
      creep.add(noise(random) + direction * i / 100.0);
    }
    EXPECT_TRUE(jump.capital() >= 1000.0) << jump.capital();
    EXPECT_TRUE(creep.capital() >= 1000.0) << creep.capital();
    EXPECT_NEAR(jump.level(), 3.0 * direction, 1.0);
    EXPECT_NEAR(jump.earlier_level(), 0.0, 0.3);
  }
}

TEST(ConformalMartingale, ARunBeginsAnewWhenItIsFull) {
  ConformalMartingale test;
  for (int64_t i = 0; i < ConformalMartingale::run_length; ++i) {
    test.add(static_cast<double>(i));
  }
  EXPECT_EQ(static_cast<int64_t>(test.values().size()), ConformalMartingale::run_length);
  test.add(1.0);
  EXPECT_EQ(test.values().size(), 1u);
}

TEST(ConformalMartingale, AReplayIsTheSameState) {
  std::mt19937 random(5);
  ConformalMartingale test(9), again(9);
  for (int i = 0; i < 100; ++i) {
    test.add(static_cast<double>(random() % 7));
  }
  again.replay(test.values());
  EXPECT_EQ(again.capital(), test.capital());
  test.add(3.0);
  again.add(3.0);
  EXPECT_EQ(again.capital(), test.capital());
}

}  // namespace
}  // namespace evenflow::train
