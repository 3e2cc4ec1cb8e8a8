// Conformal p-values: how rarely a normal clip scores so high, judged by normal clips that the model was not trained
// on. For exchangeable clips P(p <= a) <= a, whatever the scores' distribution and however few the clips (Vovk,
// Gammerman and Shafer 2005, "Algorithmic Learning in a Random World"; Bates, Candes, Lei, Romano and Sesia 2023,
// Annals of Statistics 51, 149-178).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace evenflow::train {

/// (1 + how many of the normal scores are >= score) / (n + 1). `normal` is ascending and finite; NaN of a NaN score,
/// and of no normal scores.
double conformal_p_value(std::span<const double> normal, double score);

/// So many normal clips a share of false alarms takes at least: the least n with 1 / (n + 1) <= false_alarms, which
/// lies in (0, 1).
int64_t conformal_clips(double false_alarms);

/// The threshold that a score exceeds exactly when its p-value is at most `false_alarms`, which lies in (0, 1). None if
/// the normal scores, ascending and finite, are fewer than conformal_clips.
std::optional<double> conformal_threshold(std::span<const double> normal, double false_alarms);

struct RateRange {
  double low = 0, high = 0;
};
/// conformal_threshold keeps to its rate over all draws of normal clips. Of the one draw that there is, the rate lies
/// in this range with a probability of `confidence`, equal parts beside it: with k = floor(false_alarms (n + 1)) it is
/// Beta(k, n + 1 - k) distributed, where scores have no ties (Vovk 2012, "Conditional validity of inductive conformal
/// predictors", Proceedings of Machine Learning Research 25). `clips`: conformal_clips or more. `confidence` in (0, 1).
RateRange conformal_rate_range(int64_t clips, double false_alarms, double confidence = 0.95);

}  // namespace evenflow::train
