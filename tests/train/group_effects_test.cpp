// Random effects of groups: predicted as they were drawn, nothing where there is nothing.
#include "train/statistics/group_effects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "train/statistics/random.h"

namespace evenflow::train {
namespace {

using ::testing::Each;

struct Drawn {
  std::vector<double> residual, effect;
  std::vector<int64_t> group;
};

Drawn draw(int64_t groups, int64_t each, double between, double within, uint64_t seed) {
  Drawn out;
  for (int64_t g = 0; g < groups; ++g) {
    out.effect.push_back(std::sqrt(between) * random_normal(seed, 1, static_cast<uint64_t>(g)));
    for (int64_t i = 0; i < each; ++i) {
      out.group.push_back(g);
      out.residual.push_back(out.effect.back() + std::sqrt(within) * random_normal(seed, 2, out.group.size()));
    }
  }
  return out;
}

TEST(GroupEffects, AreWhatAHandFindsOfTwoSmallGroups) {
  // Means 1 and -2 of 11 and 2 observations; within (11 * 1 + 2 * 4) / 11, since 11 lie 1 from theirs and 2 lie 2.
  std::vector<double> residual;
  std::vector<int64_t> group;
  for (int i = 0; i < 10; ++i) {
    residual.push_back(i % 2 == 0 ? 2.0 : 0.0);
    group.push_back(0);
  }
  residual.insert(residual.end(), {1.0, 0.0, -4.0});
  group.insert(group.end(), {0, 1, 1});
  const GroupEffects found = group_effects(residual, group);
  const double within = (10.0 + 8.0) / 11.0, between = (11.0 * 1.0 + 2.0 * 4.0 - 2.0 * within) / 13.0;
  EXPECT_NEAR(found.within, within, 1e-12);
  EXPECT_NEAR(found.between, between, 1e-12);
  const double known = 2.0 * between / (2.0 * between + within);
  EXPECT_NEAR(found.effect[1], -2.0 * known, 1e-12);
  EXPECT_NEAR(found.explained[1], known * between / (between + within), 1e-12);
  EXPECT_TRUE(found.effect[0] > 0.0 && found.effect[0] <= 1.0);
}

TEST(GroupEffects, VariancesAndEffectsAreThoseDrawn) {
  const Drawn drawn = draw(400, 6, 0.5, 2.0, 3);
  const GroupEffects found = group_effects(drawn.residual, drawn.group);
  EXPECT_TRUE(std::abs(found.between - 0.5) <= 0.1) << found.between;
  EXPECT_TRUE(std::abs(found.within - 2.0) <= 0.15) << found.within;
  double squares = 0, plain = 0;
  for (size_t g = 0; g < drawn.effect.size(); ++g) {
    squares += std::pow(found.effect[g] - drawn.effect[g], 2) / 400.0;
    const double sum = std::accumulate(drawn.residual.begin() + static_cast<std::ptrdiff_t>(6 * g),
                                       drawn.residual.begin() + static_cast<std::ptrdiff_t>(6 * g + 6), 0.0);
    plain += std::pow(sum / 6.0 - drawn.effect[g], 2) / 400.0;
  }
  // The prediction's error is between * within / (6 between + within) = 0.2, the plain mean's within / 6 = 0.33.
  EXPECT_TRUE(squares <= 0.23) << squares;
  EXPECT_TRUE(plain >= 0.28) << plain;
}

TEST(GroupEffects, AreNothingWhereGroupsDoNotDiffer) {
  int64_t some = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const Drawn drawn = draw(20, 10, 0.0, 1.0, seed);
    const GroupEffects found = group_effects(drawn.residual, drawn.group);
    some += found.between > 0.0 ? 1 : 0;
    for (const double effect : found.effect) {
      EXPECT_TRUE(std::abs(effect) <= 0.5) << effect;
    }
  }
  EXPECT_TRUE(some <= 28) << "by chance about half come out above 0";
}

TEST(GroupEffects, CopiesOfOneObservationAreNotTakenForCertainty) {
  std::vector<double> residual;
  std::vector<int64_t> group;
  for (int64_t g = 0; g < 6; ++g) {
    for (int i = 0; i < 3; ++i) {
      residual.push_back(g % 2 == 0 ? 1.3 : -1.1);
      group.push_back(g);
    }
  }
  const GroupEffects found = group_effects(residual, group);
  EXPECT_TRUE(found.within >= 0.1) << found.within;
  for (const double explained : found.explained) {
    EXPECT_TRUE(explained >= 0.5 && explained <= 0.9) << explained;
  }
}

TEST(GroupEffects, TakeRepeatedObservations) {
  const std::vector<double> residual = {3, -3, 3, -3, 3, -3, 3, -3, 3, -3, 3, -3};
  std::vector<int64_t> each(residual.size());
  std::iota(each.begin(), each.end(), int64_t{0});
  const GroupEffects found = group_effects(residual, each);
  EXPECT_EQ(found.effect.size(), residual.size());
  EXPECT_THAT(found.effect, Each(0.0));
  EXPECT_THAT(found.explained, Each(0.0));
  EXPECT_TRUE(group_effects({}, {}).effect.empty());
}

}  // namespace
}  // namespace evenflow::train
