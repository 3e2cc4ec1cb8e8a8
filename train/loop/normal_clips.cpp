#include "train/loop/normal_clips.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <limits>

#include "io/error.h"
#include "train/detect/calibration.h"

namespace evenflow::train {
namespace {

/// "12 velocity_mm_s, 0.5 load_kg"
std::string with_units(const std::vector<double>& values, const std::vector<std::string>& parameters) {
  std::string text;
  for (size_t p = 0; p < values.size(); ++p) {
    text += fmt::format("{}{:.3g} {}", p == 0 ? "" : ", ", values[p], parameters[p]);
  }
  return text;
}

std::string calibration_text(const io::CalibrationData& data, std::span<const ReferenceClip> clips,
                             const std::vector<std::string>& parameters) {
  const size_t copies = data.scores.front().value.size() - static_cast<size_t>(data.clips);
  std::string text =
      fmt::format("calibration: {} clips and {} warped copies; estimates are off by {} (root mean square)", data.clips,
                  copies, with_units(estimate_errors(clips), parameters));
  for (const io::CalibrationData::Score& score : data.scores) {
    text += fmt::format("; bandwidth of {}: {}", score.score, with_units(score.bandwidth, parameters));
  }
  return text;
}

/// Of clips that the model has scored, as many as a calibration takes.
std::vector<ReferenceClip> reference_clips(const ClipScoring& scoring, const std::vector<ClipScore>& scored,
                                           const std::vector<std::string>& names) {
  std::vector<ReferenceClip> out;
  const size_t stride = (scored.size() + most_calibration_clips - 1) / most_calibration_clips;
  for (size_t i = 0; i < scored.size(); i += stride) {
    const std::vector<double> v = values_of(scored[i].clip, names, scoring.parameters);
    out.push_back({v, v, scored[i].estimate, scored[i].scores, false});
  }
  return out;
}

void calibrate(const ClipScoring& scoring, const std::vector<ReferenceClip>& clips, const io::Config& config,
               NormalClips& out) {
  try {
    out.normal.calibration =
        fit_calibration(scoring.model.scores(), scoring.parameters, clips, config.calibration.bandwidth);
    out.calibration = calibration_text(*out.normal.calibration, clips, scoring.parameters);
  } catch (const io::DataError& error) {
    out.calibration = fmt::format("no calibrated score: {}", error.what());
  }
}

}  // namespace

std::vector<ClipScore> score_selection(const ClipScoring& scoring, const ClipSelection& clips) {
  std::vector<ClipScore> scores;
  for (size_t s = 0; s < clips.shards.size(); ++s) {
    std::vector<int32_t> of_shard;
    for (const auto& [shard, clip] : clips.clips) {
      if (static_cast<size_t>(shard) == s) {
        of_shard.push_back(clip);
      }
    }
    for (ClipScore& score : score_clips(scoring, *clips.shards[s], of_shard)) {
      scores.push_back(std::move(score));
    }
  }
  return scores;
}

NormalClips score_normal_clips(const ClipScoring& scoring, const HeldOut& clips, const io::Config& config) {
  NormalClips out;
  std::vector<ClipScore> scored = score_selection(scoring, clips.train);
  const size_t training = scored.size();
  for (ClipScore& clip : score_selection(scoring, clips.validation)) {
    scored.push_back(std::move(clip));
  }
  out.normal.references = references_of(scoring.model.scores(), scored);
  if (!scoring.parameters.empty()) {
    calibrate(scoring, reference_clips(scoring, scored, clips.train.shards[0]->parameter_names()), config, out);
  }
  // A derived score may be the one that decides, and is known only now.
  const ScoreSet set(scoring.model.scores(), out.normal);
  const std::optional<size_t> deciding = set.find(scoring.score_name);
  for (size_t i = 0; i < scored.size(); ++i) {
    set.derive(scored[i]);
    scored[i].score = deciding ? scored[i].scores[*deciding] : std::numeric_limits<double>::quiet_NaN();
    if (std::isfinite(scored[i].score)) {
      (i < training ? out.scores.training : out.scores.held_out).push_back(scored[i].score);
    } else {
      out.without_score.push_back(std::move(scored[i]));
    }
  }
  return out;
}

void require_calibration(const io::Config& config, const HeldOut& clips, const std::vector<std::string>& parameters) {
  const size_t widths = config.calibration.bandwidth.size();
  if (widths != 0 && !parameters.empty() && widths != parameters.size()) {
    throw io::UsageError(
        fmt::format("calibration.bandwidth has {} values but zd carries {}: give one each, or leave it empty", widths,
                    fmt::join(parameters, ", ")));
  }
  if (!needs_calibration(config.score.score)) {
    return;
  }
  std::vector<std::vector<double>> recorded_at;
  for (const ClipSelection* side : {&clips.train, &clips.validation}) {
    for (const auto& [s, c] : side->clips) {
      const io::Shard& shard = *side->shards[static_cast<size_t>(s)];
      recorded_at.push_back(values_of(shard.clips()[static_cast<size_t>(c)], shard.parameter_names(), parameters));
    }
  }
  const std::string fault = calibration_fault(parameters, recorded_at);
  if (!fault.empty()) {
    throw io::DataError(fmt::format("score.score = {} cannot be had: {}; choose another score, such as nll",
                                    config.score.score, fault));
  }
}

}  // namespace evenflow::train
