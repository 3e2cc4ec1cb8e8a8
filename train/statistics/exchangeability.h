// Are clips alike, whatever their order and whatever group they belong to? Conformal p-values suppose that they are
// (conformal.h). Tests on ranks, which suppose no distribution of the scores.
#pragma once

#include <cstdint>
#include <span>

namespace evenflow::train {

/// A two-sided test.
struct RankTest {
  double statistic = 0;  ///< its sign and size, as the test says
  double p = 1;          ///< 1 where there is nothing to compare
};

/// Do scores rise or fall along their order, within their groups? Spearman's rank statistic summed over the groups, in
/// deviations of its permutation distribution, which is exact with ties, and p from the normal distribution that this
/// comes close to from about ten scores on (Lehmann 1975, "Nonparametrics", section 7.2). Above 0: they rise. Groups
/// are numbered from 0 and keep what differs between them out of it. Scores are finite.
RankTest trend_test(std::span<const double> scores, std::span<const int64_t> groups);

/// Do groups differ? Kruskal and Wallis's H, corrected for ties, and p from chi squared with (groups - 1) degrees of
/// freedom (Journal of the American Statistical Association 47, 1952, 583-621). Groups are numbered from 0. Scores are
/// finite.
RankTest kruskal_wallis(std::span<const double> scores, std::span<const int64_t> groups);

}  // namespace evenflow::train
