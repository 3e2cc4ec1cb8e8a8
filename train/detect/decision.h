// What a trained model decides by: a score, its threshold, and the normal clips that p-values rest on. All three can be
// set anew without training.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/model_file.h"
#include "train/detect/score_table.h"

namespace evenflow::train {

/// Of normal clips, the scores that are finite of all of them; `score_names` name ClipScore::scores. None without such
/// a score. Source and date are left to the caller.
std::optional<io::ConformalData> conformal_data(const std::vector<std::string>& score_names,
                                                std::span<const ClipScore> clips);

/// What a score was of the normal clips that the model's p-values rest on, ascending; empty: that is not known.
std::span<const double> normal_scores(const io::ModelData& model, const std::string& score);

/// The threshold on a score that a share `false_alarms`, in (0, 1), of normal clips exceeds at most
/// (statistics/conformal.h). io::DataError: the clips are too few, or their scores not known; it names the least rate
/// that they support.
io::ThresholdData conformal_rule(const io::ModelData& model, const std::string& score, double false_alarms);

/// How to decide in place of what the model says.
struct DecisionRequest {
  std::string score = {};                                   ///< empty: the model's
  std::optional<double> threshold = {}, false_alarms = {};  ///< one of them at most
};
/// Sets the model's threshold as asked for. A score alone is decided on at the rate of the model's own threshold.
/// io::UsageError: no such score, a threshold that is not finite. io::DataError: as conformal_rule.
void set_decision(io::ModelData& model, const DecisionRequest& request);

/// "rule gamma, quantile 0.9; 7 of 84 training clips lie above", of a fitted threshold.
std::string describe(const io::ThresholdData& threshold);

}  // namespace evenflow::train
