// What groups of observations have of their own beyond what a regression expects of them: random effects. Observation i
// of group g is r_gi = u_g + e_gi with u_g ~ N(0, between) and e_gi ~ N(0, within); the best linear prediction of u_g
// shrinks the group's mean towards 0, the more the fewer it has (Robinson 1991, "That BLUP is a good thing",
// Statistical Science 6, 15-32).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace evenflow::train {

struct GroupEffects {
  double between = 0, within = 0;  ///< variances, by moments: within from pooled deviations, between from group means
  std::vector<double> effect;      ///< [groups] predicted u_g
  std::vector<double> explained;   ///< [groups] share of between + within that knowing the group takes away, in [0, 1)
};

/// residual [observations], finite; group [observations] from 0 upwards, each with an observation. Effects are 0 where
/// the groups differ by no more than chance makes them (between comes out at 0 or less), and where they hold fewer than
/// `least_repeated` observations beyond their first ones, which say how much those of one group differ. `within` is at
/// least a tenth of the mean square of all residuals: copies of one recording do not say how recordings differ.
GroupEffects group_effects(std::span<const double> residual, std::span<const int64_t> group);

inline constexpr int64_t least_repeated = 10;

}  // namespace evenflow::train
