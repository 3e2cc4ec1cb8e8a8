#include "train/detect/score_clips.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "frontend/features.h"
#include "frontend/silence.h"
#include "io/error.h"
#include "train/detect/speeds.h"
#include "train/statistics/conformal.h"
#include "train/statistics/finite.h"

namespace evenflow::train {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t windows_in_hand = 128;

// Mean over windows, their maximum, or the mean of the k largest. One NaN window makes the clip's figure NaN.
double aggregate_values(std::vector<double>& values, const io::ScoreSettings& settings) {
  for (const double value : values) {
    if (value != value) {
      return unknown;
    }
  }
  if (settings.aggregate == io::Aggregate::max) {
    return *std::max_element(values.begin(), values.end());
  }
  if (settings.aggregate == io::Aggregate::top_k) {
    std::sort(values.begin(), values.end(), std::greater<>());
    values.resize(std::min(values.size(), static_cast<size_t>(std::max(settings.top_k, 1))));
  }
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// A clip's rows among the windows of its group.
struct Windows {
  const flow::WindowScores& all;
  int64_t first, end;
  int64_t size() const { return end - first; }
};

std::vector<double> aggregate_scores(const ClipScoring& scoring, const Windows& windows) {
  std::vector<double> out, values;
  for (size_t s = 0; s < scoring.model.scores().size(); ++s) {
    values.clear();
    for (int64_t w = windows.first; w < windows.end; ++w) {
      values.push_back(windows.all.scores[w][s]);
    }
    out.push_back(aggregate_values(values, scoring.score));
  }
  return out;
}

std::vector<double> mean_of(const flow::Rows<double>& rows, const Windows& windows) {
  std::vector<double> mean(rows[windows.first].size(), 0.0);
  for (size_t p = 0; p < mean.size(); ++p) {
    for (int64_t w = windows.first; w < windows.end; ++w) {
      mean[p] += rows[w][p];
    }
    mean[p] /= static_cast<double>(windows.size());
  }
  return mean;
}

/// Is there so much of this category, and so little of all others, that the sound is nearer to it than to anything
/// between?
bool fits(std::span<const double> memberships, size_t category) {
  for (size_t c = 0; c < memberships.size(); ++c) {
    if ((memberships[c] > 0.5) != (c == category)) {
      return false;
    }
  }
  return true;
}

/// Means over the windows; of a name the category whose mean probability is the largest.
void estimate_parameters(const io::ConditionData& condition, const Windows& windows, ClipScore& out) {
  out.estimate = mean_of(windows.all.estimates, windows);
  out.probability.assign(out.estimate.size(), unknown);
  const std::vector<double> posterior = mean_of(windows.all.posteriors, windows);
  const std::vector<double> membership = mean_of(windows.all.memberships, windows);
  size_t first = 0;
  for (size_t p = 0; p < out.estimate.size(); ++p) {
    const size_t count = io::categories_of(condition.categories, p).size();
    if (count == 0) {
      continue;
    }
    const auto own = std::span(posterior).subspan(first, count);
    const auto likeliest = static_cast<size_t>(std::max_element(own.begin(), own.end()) - own.begin());
    const bool known = std::all_of(own.begin(), own.end(), [](double share) { return std::isfinite(share); });
    out.estimate[p] = known ? static_cast<double>(likeliest) : unknown;
    out.probability[p] = known ? own[likeliest] : unknown;
    out.no_category = out.no_category || !fits(std::span(membership).subspan(first, count), likeliest);
    first += count;
  }
}

std::vector<float> mean_descriptor(const Windows& windows) {
  std::vector<double> mean(windows.all.descriptors[windows.first].size(), 0.0);
  for (int64_t w = windows.first; w < windows.end; ++w) {
    const std::span<const float> of_window = windows.all.descriptors[w];
    for (size_t i = 0; i < mean.size(); ++i) {
      mean[i] += of_window[i];
    }
  }
  std::vector<float> out;
  out.reserve(mean.size());
  for (const double sum : mean) {
    out.push_back(static_cast<float>(sum / static_cast<double>(windows.size())));
  }
  return out;
}

/// Why the score or an estimate is not finite, as far as the windows tell.
std::string fault_of(const ClipScore& clip, bool finite_frames, const ClipScoring& scoring, const Windows& windows) {
  const bool estimated =
      std::all_of(clip.estimate.begin(), clip.estimate.end(), [](double e) { return std::isfinite(e); });
  if (std::isfinite(clip.score) && estimated) {
    return "";
  }
  if (!finite_frames) {
    return "its features hold values that are not finite; prepare the recording again";
  }
  for (int64_t w = windows.first; w < windows.end; ++w) {
    const std::string what = scoring.model.overflowed(windows.all, w);
    if (!what.empty()) {
      return fmt::format("{} overflows in window {} of {}", what, w - windows.first + 1, windows.size());
    }
  }
  return estimated ? scoring.score_name + " overflows" : "the estimate of a parameter overflows";
}

ClipScore aggregate_clip(const ClipScoring& scoring, const io::Clip& clip, bool finite_frames, const Windows& windows) {
  ClipScore out;
  out.clip = clip;
  out.scores = aggregate_scores(scoring, windows);
  estimate_parameters(scoring.condition, windows, out);
  out.descriptor = mean_descriptor(windows);
  scoring.scores.derive(out);
  if (!scoring.keep_descriptors) {
    out.descriptor = {};
  }
  out.windows = windows.size();
  const std::optional<size_t> deciding = scoring.scores.find(scoring.score_name);
  out.score = deciding ? out.scores[*deciding] : unknown;
  out.fault = fault_of(out, finite_frames, scoring, windows);
  if (std::isfinite(out.score)) {
    out.p_value = conformal_p_value(scoring.normal, out.score);
  }
  if (scoring.threshold != nullptr && !std::isnan(scoring.threshold->value) && std::isfinite(out.score)) {
    out.decision = out.score > scoring.threshold->value ? 1 : 0;
  }
  return out;
}

void score_into(std::vector<ClipScore>& out, const ClipScoring& scoring, const ClipGroup& group,
                flow::WindowScores& windows) {
  windows.resize(static_cast<int64_t>(group.start.size()));
  scoring.engine.score(group.batch(), windows);
  for (ClipScore& score : aggregate(scoring, group, windows)) {
    out.push_back(std::move(score));
  }
}

/// A clip's frames, which begin where its first window does.
std::span<const float> frames_of(const ClipGroup& group, size_t clip, int64_t bands) {
  const int64_t first = group.start[static_cast<size_t>(group.first[clip])] * bands;
  return std::span(group.frames).subspan(static_cast<size_t>(first), static_cast<size_t>(group.length[clip] * bands));
}

std::optional<size_t> index_of(const std::string& name, const std::vector<std::string>& names) {
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? std::nullopt : std::optional(static_cast<size_t>(found - names.begin()));
}

size_t column_of(const std::string& parameter, const io::Shard& shard) {
  const std::optional<size_t> column = index_of(parameter, shard.parameter_names());
  if (!column) {
    throw io::UsageError(fmt::format("'{}' does not have the parameter '{}'; it has [{}]", shard.path().string(),
                                     parameter, fmt::join(shard.parameter_names(), ", ")));
  }
  return *column;
}

/// The group's clips at other speeds: the change of every window and, where the model has the speed, its value.
void move_clips(ClipGroup& group, size_t column, std::optional<size_t> of_model, const OtherSpeeds& other,
                size_t first) {
  const size_t parameters = group.v.size() / group.start.size();
  for (size_t c = 0; c < group.clips.size(); ++c) {
    double& v = group.clips[c].parameter.at(column);
    const double speed = other.speeds[first + c];
    const kernels::WindowChange change = other.changes.empty() ? change_to_speed(v, speed) : other.changes[first + c];
    if (!std::isnan(speed) && !std::isnan(v)) {
      v = speed;
    }
    for (int64_t w = group.first[c]; w < group.first[c + 1]; ++w) {
      group.changes.push_back(change);
      if (of_model) {
        group.v[static_cast<size_t>(w) * parameters + *of_model] = v;
      }
    }
  }
}

}  // namespace

void ClipGroup::clear() {
  clips.clear();
  frames.clear();
  start.clear();
  first.assign(1, 0);
  v.clear();
  changes.clear();
  silent.clear();
  finite.clear();
  untrained.clear();
  length.clear();
  frames_sum.clear();
}

void add_clip(ClipGroup& group, const io::Clip& clip, std::span<const float> frames, const ModelValues& values,
              const io::WindowSettings& window, const io::FrontendSettings& frontend) {
  const int64_t bands = frontend.mel_bands;
  const int64_t count = static_cast<int64_t>(frames.size()) / bands;
  const int64_t windows = frontend::windows_in(count, window);
  if (windows < 1) {
    throw io::DataError("clip '" + clip.path.string() + "' has " + std::to_string(count) +
                        " frames and a window of this model needs " + std::to_string(window.window_frames) +
                        "; leave the clip out or record a longer one");
  }
  if (group.first.empty()) {
    group.first.push_back(0);
  }
  const int64_t offset = static_cast<int64_t>(group.frames.size()) / bands;
  group.clips.push_back(clip);
  group.untrained.push_back(values.untrained);
  group.silent.push_back(frontend::says_nothing(frames, frontend));
  group.finite.push_back(all_finite(frames));
  group.length.push_back(count);
  group.frames_sum.push_back(io::frames_sum(frames));
  group.frames.insert(group.frames.end(), frames.begin(), frames.end());
  for (int64_t w = 0; w < windows; ++w) {
    group.start.push_back(offset + w * window.window_hop_frames);
    group.v.insert(group.v.end(), values.v.begin(), values.v.end());
  }
  group.first.push_back(static_cast<int64_t>(group.start.size()));
}

std::vector<ClipScore> aggregate(const ClipScoring& scoring, const ClipGroup& group,
                                 const flow::WindowScores& windows) {
  std::vector<ClipScore> out;
  for (size_t i = 0; i < group.clips.size(); ++i) {
    const Windows own{windows, group.first[i], group.first[i + 1]};
    out.push_back(aggregate_clip(scoring, group.clips[i], group.finite[i], own));
    out.back().no_category = out.back().no_category || group.untrained[i];
    if (out.back().no_category) {
      out.back().outside_calibration = 1;
    }
    out.back().silent = group.silent[i];
    out.back().frames = group.length[i];
    out.back().frames_sum = group.frames_sum[i];
    if (scoring.keep_descriptors) {
      out.back().sound = clip_sound(frames_of(group, i, scoring.model.height()), scoring.model.height());
    }
  }
  return out;
}

void for_each_group(const io::Shard& shard, std::span<const int32_t> clips, const io::ConditionData& model,
                    const io::WindowSettings& window, int64_t windows, const std::function<void(ClipGroup&)>& visit) {
  ClipGroup group;
  std::vector<float> frames;
  const int64_t bands = shard.mel_bands();
  const ParameterColumns columns{shard.parameter_names(), shard.categories()};
  for (const int32_t index : clips) {
    const auto i = static_cast<size_t>(index);
    const int64_t first = shard.offsets()[i], count = shard.offsets()[i + 1] - first;
    frames.resize(static_cast<size_t>(count * bands));
    shard.read_frames(first, count, frames.data());
    const io::Clip& clip = shard.clips()[i];
    add_clip(group, clip, frames, values_of(clip, columns, model), window, shard.frontend());
    if (static_cast<int64_t>(group.start.size()) < windows) {
      continue;
    }
    visit(group);
    group.clear();
  }
  if (!group.clips.empty()) {
    visit(group);
  }
}

std::vector<ClipScore> score_clips(const ClipScoring& scoring, const io::Shard& shard, std::span<const int32_t> clips,
                                   const std::function<void(int64_t, int64_t)>& progress) {
  std::vector<ClipScore> out;
  flow::WindowScores windows(scoring.model);
  const auto score_group = [&](ClipGroup& group) {
    score_into(out, scoring, group, windows);
    if (progress) {
      progress(static_cast<int64_t>(out.size()), static_cast<int64_t>(clips.size()));
    }
  };
  for_each_group(shard, clips, scoring.condition, scoring.window, windows_in_hand, score_group);
  return out;
}

std::vector<ClipScore> score_clips_at(const OtherSpeeds& other, const ClipScoring& scoring, const io::Shard& shard,
                                      std::span<const int32_t> clips) {
  std::vector<ClipScore> out;
  flow::WindowScores windows(scoring.model);
  const size_t column = column_of(other.parameter, shard);
  const auto score_group = [&](ClipGroup& group) {
    move_clips(group, column, index_of(other.parameter, scoring.condition.names), other, out.size());
    group.moves = other.moves;
    group.mels_per_band = mels_per_band(shard.frontend());
    score_into(out, scoring, group, windows);
  };
  for_each_group(shard, clips, scoring.condition, scoring.window, windows_in_hand, score_group);
  return out;
}

ModelValues values_of(const io::Clip& clip, const ParameterColumns& columns, const io::ConditionData& model) {
  ModelValues out;
  for (size_t p = 0; p < model.names.size(); ++p) {
    const auto found = std::find(columns.names.begin(), columns.names.end(), model.names[p]);
    const auto column = static_cast<size_t>(found - columns.names.begin());
    const double given = column < clip.parameter.size() ? clip.parameter[column] : unknown;
    const std::vector<std::string>& there = io::categories_of(columns.categories, column);
    const std::vector<std::string>& own = io::categories_of(model.categories, p);
    if (own.empty() && there.empty()) {
      out.v.push_back(given);
      continue;
    }
    out.v.push_back(io::recoded(given, there, own));
    out.untrained = out.untrained || (!std::isnan(given) && std::isnan(out.v.back()));
  }
  return out;
}

}  // namespace evenflow::train
