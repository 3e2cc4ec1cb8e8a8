// Where normal ends: the decision threshold, fitted to the scores of normal clips.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "io/config.h"
#include "io/model_file.h"

namespace evenflow::train {

/// Scores of the normal training clips: those trained on, and those that were held out.
struct NormalScores {
  std::vector<double> training, held_out;
};

struct FittedThreshold {
  io::ThresholdData data;    ///< `method` is the rule that was used
  std::string why;           ///< and why it is not that of the settings; empty if it is
  int64_t rests_on = 0;      ///< clips that give its level: all, or
  bool of_held_out = false;  ///< only the held-out ones
};

/// The threshold below which a share q = settings.threshold_quantile of normal clips is to stay; a clip is anomalous
/// when its score is greater. `score_name` is recorded and named in errors. settings.threshold chooses:
///
/// - gamma: the q-quantile of a gamma fit to all scores.
/// - quantile: the empirical q-quantile of the held-out scores, or of all if none were held out.
/// - value: settings.threshold_value of settings.score, however many of the scores lie above. Of another score gamma
///   takes its place.
///
/// Where that cannot be trusted, a rule that holds at the size takes its place (docs/method.md, 3):
///
/// - rank: the ceil((n + 1) q)-th smallest of n scores, which a new clip of the same kind exceeds with a probability of
///   at most 1 - q, whatever the distribution; it takes n >= ceil((n + 1) q), that is 9 scores for q = 0.9.
/// - normal: the upper prediction bound for a new clip, supposing a normal spread.
///
/// A gamma fit is not trusted that rests on fewer than 20 scores, has a shape below 1 (it has collapsed onto the
/// smallest score) or above 10 000 (its location has run away from scores that are not skewed to the right), that noise
/// of a millionth on the scores moves by more than a hundredth of their spread, or that its own scores contradict. No
/// rule is that looks at training scores if the held-out clips score higher by more than chance: they alone then give
/// the level.
///
/// io::UsageError: unknown method, quantile outside (0, 1). io::DataError: fewer than two scores, one that is not
/// finite, all the same.
FittedThreshold fit_threshold(const NormalScores& normal, const io::ScoreSettings& settings,
                              const std::string& score_name);

}  // namespace evenflow::train
