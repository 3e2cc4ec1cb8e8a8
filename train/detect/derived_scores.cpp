#include "train/detect/derived_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "train/detect/calibration.h"
#include "train/statistics/finite.h"
#include "train/statistics/normal_points.h"

namespace evenflow::train {
namespace {

Derivation distance_from_mean(const Operands& of, const io::NormalData& normal) {
  const auto found =
      std::find_if(normal.references.begin(), normal.references.end(),
                   [&](const io::ScoreReference& reference) { return reference.score == of.names.front(); });
  if (found == normal.references.end()) {
    return {};
  }
  return [place = of.places.front(), mean = found->mean](const ClipScore& clip) {
    return DerivedValue{std::abs(clip.scores[place] - mean)};
  };
}

Derivation calibrated(const Operands& of, const io::NormalData& normal) {
  if (!normal.calibration) {
    return {};
  }
  const std::vector<io::CalibrationData::Score>& scores = normal.calibration->scores;
  const auto found =
      std::find_if(scores.begin(), scores.end(), [&](const auto& score) { return score.score == of.names.front(); });
  if (found == scores.end()) {
    return {};
  }
  return [place = of.places.front(),
          calibration = std::make_shared<const Calibration>(*normal.calibration, *found)](const ClipScore& clip) {
    const Calibration::Value value = calibration->of(clip.scores[place], clip.estimate);
    return DerivedValue{value.score, value.outside};
  };
}

Derivation mean_of_scores(const Operands& of, const io::NormalData&) {
  return [places = of.places](const ClipScore& clip) {
    double sum = 0;
    for (const size_t place : places) {
      sum += clip.scores[place];
    }
    return DerivedValue{sum / static_cast<double>(places.size())};
  };
}

/// A figure of the clip's descriptor among those of normal clips; NaN where the descriptor is not finite.
template <double (NormalPoints::*figure)(std::span<const float>, std::span<const float>) const>
Derivation among_points(const Operands&, const io::NormalData& normal) {
  if (!normal.points) {
    return {};
  }
  return [points = std::make_shared<const NormalPoints>(normal.points->values, normal.points->length)](
             const ClipScore& clip) {
    const bool usable = static_cast<int64_t>(clip.descriptor.size()) == points->length() && all_finite(clip.descriptor);
    const std::vector<float>& own = clip.copied_descriptor.empty() ? clip.descriptor : clip.copied_descriptor;
    return DerivedValue{usable ? (*points.*figure)(clip.descriptor, own) : std::numeric_limits<double>::quiet_NaN()};
  };
}

}  // namespace

const std::vector<DerivedScore>& derived_scores() {
  using enum DerivedScore::RestsOn;
  static const std::vector<DerivedScore> all = {
      {{"score_typical", "How far nll is from its mean over the training clips, to either side"},
       {"nll"},
       reference,
       distance_from_mean},
      {{"score_calibrated", "How far nll is above what normal clips have at the estimated operating point", "spreads"},
       {"nll"},
       calibration,
       calibrated},
      {{"score_zc_calibrated", "How far score_zc is above what normal clips have at the estimated operating point",
        "spreads"},
       {"score_zc"},
       calibration,
       calibrated},
      {{"score_zc_logdet_calibrated",
        "How far score_zc_logdet is above what normal clips have at the estimated operating point", "spreads"},
       {"score_zc_logdet"},
       calibration,
       calibrated},
      {{"score_combined", "The mean of score_calibrated and score_zc_logdet_calibrated", "spreads"},
       {"score_calibrated", "score_zc_logdet_calibrated"},
       scores,
       mean_of_scores},
      {{"score_mahalanobis",
        "How far what the model makes of the sound is from its mean over the training clips, by their "
        "covariance",
        "squared spreads"},
       {},
       points,
       among_points<&NormalPoints::mahalanobis>},
      {{"score_nearest",
        "How far what the model makes of the sound is from the nearest training clips, by how far these are "
        "from each other",
        "distances"},
       {},
       points,
       among_points<&NormalPoints::nearest>},
      {{"score_mahalanobis_calibrated",
        "How far score_mahalanobis is above what normal clips have at the estimated operating point", "spreads"},
       {"score_mahalanobis"},
       calibration,
       calibrated},
      {{"score_nearest_calibrated",
        "How far score_nearest is above what normal clips have at the estimated operating point", "spreads"},
       {"score_nearest"},
       calibration,
       calibrated}};
  return all;
}

std::optional<Operands> operands_of(const DerivedScore& derived, const std::vector<std::string>& names) {
  Operands operands{derived.of, {}};
  for (const std::string& of : derived.of) {
    const auto found = std::find(names.begin(), names.end(), of);
    if (found == names.end()) {
      return std::nullopt;
    }
    operands.places.push_back(static_cast<size_t>(found - names.begin()));
  }
  return operands;
}

bool needs_calibration(const std::string& score) {
  const std::vector<DerivedScore>& all = derived_scores();
  const auto derived = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.score.name == score; });
  return derived != all.end() && (derived->rests_on == DerivedScore::RestsOn::calibration ||
                                  std::any_of(derived->of.begin(), derived->of.end(), needs_calibration));
}

}  // namespace evenflow::train
