// Which scores clips have: those of their model, aggregated over a clip's windows, and those derived from them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "flow/scores.h"
#include "io/config.h"
#include "io/model_file.h"
#include "train/detect/derived_scores.h"
#include "train/detect/score_table.h"

namespace evenflow::train {

class ScoreSet {
 public:
  /// A model's own scores, and behind them the derived ones for which `normal` has grounds.
  ScoreSet(const std::vector<flow::Score>& of_model, const io::NormalData& normal);

  const std::vector<flow::Score>& scores() const { return scores_; }
  std::vector<std::string> names() const;
  std::optional<size_t> find(const std::string& name) const;
  /// Appends the derived values to a clip's values of the model's scores, and sets ClipScore::outside_calibration.
  void derive(ClipScore& clip) const;

 private:
  std::vector<flow::Score> scores_;
  std::vector<Derivation> derivations_;
  bool calibrated_ = false;
};

/// Mean and deviation of each of a model's scores over those of the clips whose value is finite; none of a score
/// without such a clip.
std::vector<io::ScoreReference> references_of(const std::vector<flow::Score>& of_model,
                                              std::span<const ClipScore> clips);

/// io::UsageError unless models of the configuration's kind can decide by score.score.
void require_score(const io::Config& config);
/// The score that decides: config's, or for "auto" that of the model's kind (flow/factory.h).
std::string resolve_score(const io::Config& config);
/// Scores that the model's decisions can be made on: those that it has and that need no parameter's value.
std::vector<std::string> deciding_scores(const io::ModelData& model);
/// The score that a trained model decides by, which its file names. io::DataError if it has no such score.
std::string decided_by(const io::ModelData& model);

}  // namespace evenflow::train
