#include "train/detect/decision.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "io/checksum.h"
#include "io/error.h"
#include "train/detect/score_set.h"
#include "train/statistics/conformal.h"

namespace evenflow::train {
namespace {

constexpr const char* given = "given";  // the method of a threshold that somebody named for one run

std::string percent(double share) {
  return fmt::format("{:.3g} %", 100.0 * share);
}

void require_deciding(const io::ModelData& model, const std::string& score) {
  const std::vector<std::string> names = deciding_scores(model);
  if (std::find(names.begin(), names.end(), score) == names.end()) {
    throw io::UsageError(fmt::format("the model cannot decide by '{}'; it can by {}", score, fmt::join(names, ", ")));
  }
}

/// Of clips in any order.
std::string hash_of(std::span<const ClipScore> clips) {
  std::vector<uint64_t> sums;
  sums.reserve(clips.size());
  for (const ClipScore& clip : clips) {
    sums.push_back(clip.frames_sum);
  }
  std::sort(sums.begin(), sums.end());
  io::Fnv1a64 hash;
  hash.add(sums.data(), sums.size() * sizeof(uint64_t));
  return hash.hex();
}

int64_t median_of(std::vector<int64_t> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::optional<io::ConformalData> conformal_data(const std::vector<std::string>& score_names,
                                                std::span<const ClipScore> clips) {
  io::ConformalData data;
  data.clips = static_cast<int64_t>(clips.size());
  std::vector<int64_t> frames;
  frames.reserve(clips.size());
  for (const ClipScore& clip : clips) {
    frames.push_back(clip.frames);
  }
  for (size_t s = 0; s < score_names.size(); ++s) {
    std::vector<double> values;
    for (const ClipScore& clip : clips) {
      if (std::isfinite(clip.scores[s])) {
        values.push_back(clip.scores[s]);
      }
    }
    if (!clips.empty() && values.size() == clips.size()) {
      std::sort(values.begin(), values.end());
      data.scores.push_back({score_names[s], std::move(values)});
    }
  }
  if (data.scores.empty()) {
    return std::nullopt;
  }
  data.clip_frames = median_of(std::move(frames));
  data.data_hash = hash_of(clips);
  return data;
}

std::span<const double> normal_scores(const io::ModelData& model, const std::string& score) {
  if (model.conformal) {
    for (const io::ConformalData::Score& own : model.conformal->scores) {
      if (own.score == score) {
        return own.values;
      }
    }
  }
  return {};
}

io::ThresholdData conformal_rule(const io::ModelData& model, const std::string& score, double false_alarms) {
  const std::span<const double> normal = normal_scores(model, score);
  if (normal.empty()) {
    throw io::DataError(
        fmt::format("the model does not hold what {} is of normal clips that it was not trained on, on which a rate of "
                    "false alarms "
                    "rests; score some with `evenflow calibrate`",
                    score));
  }
  const std::optional<double> value = conformal_threshold(normal, false_alarms);
  if (!value) {
    throw io::DataError(fmt::format(
        "{} normal clip{} not support {} false alarms, which take {}: give `evenflow calibrate` more, or ask for {} or "
        "more",
        normal.size(), normal.size() == 1 ? " does" : "s do", percent(false_alarms), conformal_clips(false_alarms),
        percent(1.0 / (static_cast<double>(normal.size()) + 1.0))));
  }
  io::ThresholdData rule;
  rule.score = score;
  rule.method = "conformal";
  rule.quantile = 1.0 - false_alarms;
  rule.value = *value;
  rule.clips = static_cast<int64_t>(normal.size());
  rule.above = normal.end() - std::upper_bound(normal.begin(), normal.end(), *value);
  return rule;
}

void set_decision(io::ModelData& model, const DecisionRequest& request) {
  if (request.score.empty() && !request.threshold && !request.false_alarms) {
    return;
  }
  const std::string before = decided_by(model);
  const std::string score = request.score.empty() ? before : request.score;
  require_deciding(model, score);
  if (request.threshold) {
    if (!std::isfinite(*request.threshold)) {
      throw io::UsageError("the threshold is not a finite number; give one");
    }
    model.threshold = {score, given, model.threshold.quantile, *request.threshold, {}};
  } else if (request.false_alarms) {
    model.threshold = conformal_rule(model, score, *request.false_alarms);
  } else if (score != before) {
    model.threshold = conformal_rule(model, score, 1.0 - model.threshold.quantile);
  }
}

std::string describe(const io::ThresholdData& threshold) {
  if (threshold.method == given) {
    return "as given for this run";
  }
  if (threshold.method == "value") {
    return fmt::format("as the settings have it; {} of {} training clips lie above", threshold.above, threshold.clips);
  }
  if (threshold.method == "conformal") {
    return fmt::format("rule conformal, {} false alarms asked for; {} of {} normal clips lie above",
                       percent(1.0 - threshold.quantile), threshold.above, threshold.clips);
  }
  return fmt::format(
      "rule {}, quantile {:g}{}", threshold.method, threshold.quantile,
      threshold.clips > 0 ? fmt::format("; {} of {} training clips lie above", threshold.above, threshold.clips) : "");
}

}  // namespace evenflow::train
