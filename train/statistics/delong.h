// What another draw of clips would do to an AUC, without drawing any.
//
// DeLong, DeLong and Clarke-Pearson 1988 (Biometrics 44, 837-845): the variance of an AUC, and of the difference of two
// on the same clips, from how each clip ranks among those of the other label; the normal approximation does the rest.
// Computed from midranks (Sun and Xu 2014, IEEE Signal Processing Letters 21, 1389-1393), in O(n log n).
//
// Scores are higher for more anomalous clips; labels are 1 (anomaly) or 0 (normal). Errors are those of metrics.h.
#pragma once

#include <span>

#include "train/statistics/intervals.h"

namespace evenflow::train {

/// Two-sided test of whether a difference is 0, and its interval, cut at -1 and 1.
struct DifferenceTest {
  Interval difference;
  double p_value = 0;
};

/// An AUC with its interval, cut at 0 and 1. low and high are NaN where the variance cannot be told: fewer than two
/// clips of a label, or a variance of 0, as of scores that tell all clips apart. io::UsageError unless confidence lies
/// in (0, 1).
Interval delong_interval(std::span<const double> scores, std::span<const int> labels, double confidence = 0.95);

/// AUC of `a` less AUC of `b` on the same clips. low, high and the p-value are NaN as above.
DifferenceTest delong_difference(std::span<const double> a, std::span<const double> b, std::span<const int> labels,
                                 double confidence = 0.95);

}  // namespace evenflow::train
