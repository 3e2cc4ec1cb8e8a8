#include "train/detect/derived_scores.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "train/detect/calibration.h"

namespace evenflow::train {
namespace {

Derivation distance_from_mean(const std::string& of, size_t index, const io::NormalData& normal) {
  const auto found = std::find_if(normal.references.begin(), normal.references.end(),
                                  [&](const io::ScoreReference& reference) { return reference.score == of; });
  if (found == normal.references.end()) {
    return {};
  }
  return
      [index, mean = found->mean](const ClipScore& clip) { return DerivedValue{std::abs(clip.scores[index] - mean)}; };
}

Derivation calibrated(const std::string& of, size_t index, const io::NormalData& normal) {
  if (!normal.calibration) {
    return {};
  }
  const std::vector<io::CalibrationData::Score>& scores = normal.calibration->scores;
  const auto found = std::find_if(scores.begin(), scores.end(), [&](const auto& score) { return score.score == of; });
  if (found == scores.end()) {
    return {};
  }
  return
      [index, calibration = std::make_shared<const Calibration>(*normal.calibration, *found)](const ClipScore& clip) {
        const Calibration::Value value = calibration->of(clip.scores[index], clip.estimate);
        return DerivedValue{value.score, value.outside};
      };
}

}  // namespace

const std::vector<DerivedScore>& derived_scores() {
  using enum DerivedScore::RestsOn;
  static const std::vector<DerivedScore> scores = {
      {{"score_typical", "How far nll is from its mean over the training clips, to either side"},
       "nll",
       reference,
       distance_from_mean},
      {{"score_calibrated", "How far nll is above what normal clips have at the estimated operating point", "spreads"},
       "nll",
       calibration,
       calibrated},
      {{"score_zc_calibrated", "How far score_zc is above what normal clips have at the estimated operating point",
        "spreads"},
       "score_zc",
       calibration,
       calibrated}};
  return scores;
}

}  // namespace evenflow::train
