#include "experiments/calibrate/refit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/error.h"
#include "train/detect/calibration.h"
#include "train/detect/derived_scores.h"

namespace evenflow::experiments {
namespace {

/// Every second clip, but so many at most, spread evenly.
std::vector<bool> to_learn_from(size_t clips) {
  const size_t count = std::min(clips / 2, train::most_calibration_clips);
  std::vector<bool> taken(clips, false);
  for (size_t i = 0; i < count; ++i) {
    taken[i * clips / count] = true;
  }
  return taken;
}

}  // namespace

void require_refit(const train::Detector& detector, const std::string& score) {
  std::vector<std::string> names = detector.score_names();  // and those that the calibration will give
  std::string calibrated;
  for (const train::DerivedScore& derived : train::derived_scores()) {
    if (!train::needs_calibration(derived.score.name) || !train::operands_of(derived, names)) {
      continue;
    }
    if (derived.score.name == score) {
      if (detector.model().condition.names.empty()) {
        throw io::UsageError(
            "--refit takes a model that estimates its operating point, and this one is tied to no parameter; leave "
            "--refit out");
      }
      return;
    }
    names.push_back(derived.score.name);
    calibrated += (calibrated.empty() ? "" : ", ") + derived.score.name;
  }
  throw io::UsageError(fmt::format("--refit learns calibrated scores anew, and {} is none; choose one with --score{}",
                                   score, calibrated.empty() ? "" : " (" + calibrated + ")"));
}

io::CalibrationData refit_calibration(const train::Detector& detector, const std::string& score,
                                      train::ScoreTable& table) {
  const std::vector<bool> taken = to_learn_from(table.clips.size());
  std::vector<train::ClipScore> learnt_from, others;
  for (size_t i = 0; i < taken.size(); ++i) {
    (taken[i] ? learnt_from : others).push_back(std::move(table.clips[i]));
  }
  table.clips = std::move(others);
  const io::ModelData& model = detector.model();
  io::CalibrationData data = train::fit_calibration(detector.scores(), model.condition.names, learnt_from,
                                                    model.config.calibration.bandwidth, model.condition.categories);
  train::set_calibrated(table, data);
  const size_t column = table.column(score);
  for (train::ClipScore& clip : table.clips) {
    clip.score = clip.scores[column];
  }
  std::erase_if(table.clips, [](const train::ClipScore& clip) { return !std::isfinite(clip.score); });
  if (table.clips.empty()) {
    throw io::DataError(fmt::format("no clip has a finite {} once it is learnt anew; leave --refit out", score));
  }
  return data;
}

}  // namespace evenflow::experiments
