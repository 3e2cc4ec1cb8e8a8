#include "train/loop/normal_clips.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "io/error.h"
#include "kernels/augment.h"
#include "kernels/mel_scale.h"
#include "train/detect/calibration.h"
#include "train/detect/decision.h"
#include "train/detect/normal_sound.h"
#include "train/detect/operating_points.h"
#include "train/detect/speeds.h"
#include "train/statistics/finite.h"
#include "train/statistics/random.h"

namespace evenflow::train {
namespace {

/// "12 velocity_mm_s, 0.5 load_kg"; of names nothing.
std::string with_units(const std::vector<double>& values, const io::ConditionData& condition) {
  std::string text;
  for (size_t p = 0; p < values.size(); ++p) {
    if (!condition.is_category(p)) {
      text += fmt::format("{}{:.3g} {}", text.empty() ? "" : ", ", values[p], condition.names[p]);
    }
  }
  return text;
}

/// "; estimates are off by 12 velocity_mm_s (root mean square); tool is told wrongly of 0.5 % of them"
std::string errors_text(const std::vector<double>& errors, const io::ConditionData& condition) {
  const std::string numbers = with_units(errors, condition);
  std::string text = numbers.empty() ? "" : fmt::format("; estimates are off by {} (root mean square)", numbers);
  for (size_t p = 0; p < errors.size(); ++p) {
    if (condition.is_category(p)) {
      text += fmt::format("; {} is told wrongly of {:.3g} % of them", condition.names[p], 100 * errors[p]);
    }
  }
  return text;
}

std::string calibration_text(const io::CalibrationData& data, std::span<const ReferenceClip> clips,
                             const io::ConditionData& condition) {
  const size_t copies = data.scores.front().value.size() - static_cast<size_t>(data.clips);
  std::string text = fmt::format("calibration: {} clips and {} copies at other speeds{}", data.clips, copies,
                                 errors_text(estimate_errors(clips, condition.categories), condition));
  for (const io::CalibrationData::Score& score : data.scores) {
    const std::string width = with_units(score.bandwidth, condition);
    text += width.empty() ? "" : fmt::format("; bandwidth of {}: {}", score.score, width);
  }
  return text;
}

/// Which of the model's parameters is the speed that copies change, of the data's parameters.
std::optional<size_t> speed_among(const std::vector<std::string>& parameters, const ParameterColumns& columns,
                                  const io::Config& config) {
  std::vector<std::string> speeds = speeds_among(columns.names, config.condition, columns.categories);
  if (!config.augment.speed_parameter.empty()) {
    speeds = {config.augment.speed_parameter};
  }
  const auto found = std::find_first_of(parameters.begin(), parameters.end(), speeds.begin(), speeds.end());
  return found == parameters.end() ? std::nullopt : std::optional(static_cast<size_t>(found - parameters.begin()));
}

/// How far copies change it. A model that has heard no such sound in training finds it strange: it gets no copies,
/// unless they are asked for.
double range_of(const io::Config& config) {
  if (config.calibration.range > 0) {
    return config.calibration.range;
  }
  return config.augment.speed_probability > 0 ? config.augment.speed : 0.0;
}

/// Clips that scores are calibrated on: normal clips that the model has scored, and copies of them at other speeds.
class CalibrationClips {
 public:
  /// `before`: the scores that clips have before any is calibrated.
  CalibrationClips(const ClipScoring& scoring, const ScoreSet& before, const io::Config& config, const io::Shard& shard,
                   const SpeedMoves* moves)
      : scoring_(scoring),
        before_(before),
        settings_(config.calibration),
        range_(range_of(config)),
        seed_(config.train.seed),
        band_ratio_(kernels::band_ratio(mels_per_band(shard.frontend()))),
        columns_{shard.parameter_names(), shard.categories()},
        moves_(moves),
        table_(moves == nullptr || range_ <= 0 ? MoveTable{} : moves->table(range_)) {
    speed_ = speed_among(scoring.condition.names, columns_, config);
  }

  /// Those clips of a side that are `taken`, with all their scores; the side's first is number `first` of all.
  void add(ClipSelection side, std::span<const ClipScore> scored, size_t first, const std::vector<bool>& taken) {
    std::stable_sort(side.clips.begin(), side.clips.end(), [](auto a, auto b) { return a.first < b.first; });
    ClipSelection kept{side.shards, {}};
    std::vector<Recorded> recorded;
    for (size_t i = 0; i < scored.size(); ++i) {
      if (!taken[first + i]) {
        continue;
      }
      kept.clips.push_back(side.clips[i]);
      recorded.push_back({values_of(scored[i].clip, columns_, scoring_.condition).v, first + i, scored[i].descriptor});
      const std::vector<double>& v = recorded.back().v;
      clips_.push_back({v, v, scored[i].estimate, scored[i].scores, first + i, false});
    }
    for (int copy = 0; speed_ && range_ > 0 && copy < settings_.copies; ++copy) {
      add_copies(kept, recorded, copy);
    }
  }

  const std::vector<ReferenceClip>& clips() const { return clips_; }

 private:
  struct Recorded {
    std::vector<double> v;
    size_t number;
    std::vector<float> descriptor;
  };

  struct Copy {
    double speed;  // NaN: none, because the clip's is unknown or cannot be moved
    kernels::WindowChange change;
  };
  /// The range, or a point's moves, are divided evenly among a clip's copies, each drawn in its own part.
  Copy copy_of(double speed, std::pair<int32_t, int32_t> clip, size_t number, int copy) const {
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    constexpr uint64_t copies_stream = 0x63616c6962726174, error_stream = 0x636f70796572726f;
    const uint64_t draw = number * static_cast<uint64_t>(settings_.copies) + static_cast<uint64_t>(copy);
    const auto uniform = [&](uint64_t stream, uint64_t counter) {
      return kernels::unit_interval(random_bits(seed_, stream, counter));
    };
    const double u = (copy + uniform(copies_stream, draw)) / settings_.copies;
    if (moves_ == nullptr) {
      return !std::isfinite(speed) || speed == 0 ? Copy{none, {}}
                                                 : warped(speed, kernels::moved_speed(speed, range_, band_ratio_, u));
    }
    const int64_t point = moves_->point_of(clip);
    if (point < 0 || table_.points[static_cast<size_t>(point)].count == 0) {
      return {none, {}};
    }
    const kernels::PointMoves& own = table_.points[static_cast<size_t>(point)];
    Copy out{none, {.move = own.first + kernels::drawn_of(own.count, u)}};
    const kernels::SpeedMove& move = table_.moves[static_cast<size_t>(out.change.move)];
    if (move.step == 0) {
      return {none, {}};
    }
    kernels::draw_error(move, uniform(error_stream, 2 * draw), uniform(error_stream, 2 * draw + 1), out.change);
    out.speed = speed + move.step;
    return out;
  }
  static Copy warped(double speed, double moved) { return {moved, change_to_speed(speed, moved)}; }

  void add_copies(const ClipSelection& kept, const std::vector<Recorded>& recorded, int copy) {
    size_t next = 0;
    for (size_t s = 0; s < kept.shards.size(); ++s) {
      std::vector<int32_t> clips;
      std::vector<double> speeds;
      std::vector<kernels::WindowChange> changes;
      const size_t begin = next;
      for (; next < kept.clips.size() && static_cast<size_t>(kept.clips[next].first) == s; ++next) {
        clips.push_back(kept.clips[next].second);
        const Copy made = copy_of(recorded[next].v[*speed_], kept.clips[next], recorded[next].number, copy);
        speeds.push_back(made.speed);
        changes.push_back(made.change);
      }
      const OtherSpeeds other{scoring_.condition.names[*speed_], speeds, changes, table_.of_bands()};
      std::vector<ClipScore> scored = score_clips_at(other, scoring_, *kept.shards[s], clips);
      for (size_t i = 0; i < scored.size(); ++i) {
        if (!std::isnan(speeds[i])) {
          const auto& [recorded_at, number, descriptor] = recorded[begin + i];
          scored[i].copied_descriptor = descriptor;
          before_.derive(scored[i]);
          std::vector<double> v = recorded_at;
          v[*speed_] = speeds[i];
          clips_.push_back({recorded_at, v, scored[i].estimate, scored[i].scores, number, true});
        }
      }
    }
  }

  const ClipScoring& scoring_;
  const ScoreSet& before_;
  io::CalibrationSettings settings_;
  double range_;
  uint64_t seed_;
  double band_ratio_;
  ParameterColumns columns_;
  std::optional<size_t> speed_;  // among the parameters
  const SpeedMoves* moves_;      // none: copies are warped
  MoveTable table_;
  std::vector<ReferenceClip> clips_;
};

/// `most` of so many, drawn by the seed; all if there are no more.
std::vector<bool> drawn(size_t count, size_t most, uint64_t seed) {
  constexpr uint64_t drawn_stream = 0x647261776e;
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return random_bits(seed, drawn_stream, a) < random_bits(seed, drawn_stream, b);
  });
  order.resize(std::min(count, most));
  std::vector<bool> taken(count, false);
  for (const size_t i : order) {
    taken[i] = true;
  }
  return taken;
}

void calibrate(const ClipScoring& scoring, const ScoreSet& before, const HeldOut& normal,
               std::span<const ClipScore> scored, const io::Config& config, const SpeedMoves* moves, NormalClips& out) {
  try {
    CalibrationClips clips(scoring, before, config, *normal.train.shards[0], moves);
    const size_t training = normal.train.clips.size();
    const std::vector<bool> taken = drawn(scored.size(), most_calibration_clips, config.train.seed);
    clips.add(normal.train, scored.first(training), 0, taken);
    clips.add(normal.validation, scored.subspan(training), training, taken);
    out.normal.calibration = fit_calibration(before.scores(), scoring.condition.names, clips.clips(),
                                             config.calibration.bandwidth, scoring.condition.categories);
    out.calibration = calibration_text(*out.normal.calibration, clips.clips(), scoring.condition);
  } catch (const io::DataError& error) {
    out.calibration = fmt::format("no calibrated score: {}", error.what());
  }
}

/// Bandwidths far from the range of a parameter's values are mistakes, and no fit can use them.
void require_widths(const std::vector<double>& bandwidth, const io::ConditionData& condition,
                    std::span<const std::vector<double>> recorded_at) {
  const std::vector<std::string>& parameters = condition.names;
  constexpr double far = 1000.0;
  for (size_t p = 0; p < std::min(bandwidth.size(), parameters.size()); ++p) {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (const std::vector<double>& v : recorded_at) {
      if (!std::isnan(v[p])) {
        low = std::min(low, v[p]);
        high = std::max(high, v[p]);
      }
    }
    const double range = high - low;
    if (!condition.is_category(p) && range > 0 && !(bandwidth[p] >= range / far && bandwidth[p] <= range * far)) {
      throw io::UsageError(
          fmt::format("calibration.bandwidth has {:g} for {}, whose training values span {:g}; give "
                      "{:g} to {:g}, or leave it empty",
                      bandwidth[p], parameters[p], range, range / far, range * far));
    }
  }
}

/// A model holds so many descriptors at most; of more, so many are drawn.
constexpr size_t most_points = 128;

/// Of the clips trained on: those held out then tell how far new clips lie. None if fewer than two are finite.
void keep_points(std::span<const ClipScore> trained_on, const ClipScoring& scoring, const io::Shard& shard,
                 uint64_t seed, io::NormalData& out) {
  const std::vector<bool> taken = drawn(trained_on.size(), most_points, seed);
  NormalReference reference;
  for (size_t i = 0; i < trained_on.size(); ++i) {
    const ClipScore& clip = trained_on[i];
    if (taken[i] && !clip.descriptor.empty() && all_finite(clip.descriptor)) {
      reference.add(clip, values_of(clip.clip, {shard.parameter_names(), shard.categories()}, scoring.condition).v);
    }
  }
  if (reference.size() >= 2) {
    out.points = std::move(reference.points);
    out.sound = std::move(reference.sound);
  }
}

/// frames_sum of each, ascending.
std::vector<uint64_t> sums_of(std::span<const ClipScore> clips) {
  std::vector<uint64_t> sums;
  sums.reserve(clips.size());
  for (const ClipScore& clip : clips) {
    sums.push_back(clip.frames_sum);
  }
  std::sort(sums.begin(), sums.end());
  return sums;
}

/// What is learnt from all normal clips, the held-out ones among them, is not as it would be for a new clip.
std::optional<io::ConformalData> held_out_scores(const ScoreSet& set, const io::ConditionData& condition,
                                                 const ParameterColumns& columns, std::span<const ClipScore> held_out) {
  std::optional<io::ConformalData> data = conformal_data(set.names(), held_out);
  if (!data) {
    return std::nullopt;
  }
  std::erase_if(data->scores, [](const io::ConformalData::Score& score) {
    return std::any_of(derived_scores().begin(), derived_scores().end(), [&](const DerivedScore& derived) {
      return derived.score.name == score.score && derived.rests_on != DerivedScore::RestsOn::points;
    });
  });
  if (data->scores.empty()) {
    return std::nullopt;
  }
  data->source = "held-out clips of the training";
  data->estimate_distance = estimate_distances(condition, columns, held_out);
  return data;
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

NormalClips score_normal_clips(const ClipScoring& asked, const HeldOut& clips, const io::Config& config,
                               const SpeedMoves* moves) {
  NormalClips out;
  ClipScoring scoring = asked;
  scoring.keep_descriptors = true;
  std::vector<ClipScore> scored = score_selection(scoring, clips.train);
  const size_t training = scored.size();
  for (ClipScore& clip : score_selection(scoring, clips.validation)) {
    scored.push_back(std::move(clip));
  }
  out.normal.references = references_of(scoring.model.scores(), scored);
  out.normal.trained_on = sums_of(std::span(scored).first(training));
  keep_points(std::span(scored).first(training), scoring, *clips.train.shards[0], config.train.seed, out.normal);
  const ScoreSet before(scoring.model.scores(), out.normal);
  if (!scoring.condition.names.empty() && !calibrated_scores(before.scores()).empty()) {
    std::vector<ClipScore> reference = scored;
    for (ClipScore& clip : reference) {
      before.derive(clip);
    }
    calibrate(scoring, before, clips, reference, config, moves, out);
  }
  // A derived score may be the one that decides, and is known only now.
  const ScoreSet set(scoring.model.scores(), out.normal);
  out.score_name = scoring.score_name;
  if (!set.find(out.score_name)) {
    io::Config usual = config;
    usual.score.score = "auto";
    out.score_name = resolve_score(usual);
  }
  const std::optional<size_t> deciding = set.find(out.score_name);
  std::vector<ClipScore> held_out;
  for (size_t i = 0; i < scored.size(); ++i) {
    set.derive(scored[i]);
    scored[i].score = deciding ? scored[i].scores[*deciding] : std::numeric_limits<double>::quiet_NaN();
    if (!std::isfinite(scored[i].score)) {
      out.without_score.push_back(std::move(scored[i]));
      continue;
    }
    (i < training ? out.scores.training : out.scores.held_out).push_back(scored[i].score);
    if (i >= training) {
      held_out.push_back(std::move(scored[i]));
    }
  }
  const io::Shard& shard = *clips.train.shards[0];
  out.conformal = held_out_scores(set, scoring.condition, {shard.parameter_names(), shard.categories()}, held_out);
  return out;
}

namespace {

/// What the clips of both sides are recorded at, by the model's parameters.
std::vector<std::vector<double>> recorded_values(const HeldOut& clips, const io::ConditionData& condition) {
  std::vector<std::vector<double>> values;
  for (const ClipSelection* side : {&clips.train, &clips.validation}) {
    for (const auto& at : side->clips) {
      const io::Shard& shard = *side->shards[static_cast<size_t>(at.first)];
      values.push_back(values_of(side->clip(at), {shard.parameter_names(), shard.categories()}, condition).v);
    }
  }
  return values;
}

}  // namespace

std::string why_not_calibrated(const HeldOut& clips, const io::ConditionData& condition) {
  return calibration_fault(condition.names, recorded_values(clips, condition), condition.categories);
}

void require_calibration(const io::Config& config, const HeldOut& clips, const io::ConditionData& condition) {
  const std::vector<std::string>& parameters = condition.names;
  const size_t widths = config.calibration.bandwidth.size();
  if (widths != 0 && !parameters.empty() && widths != parameters.size()) {
    throw io::UsageError(
        fmt::format("calibration.bandwidth has {} values but zd carries {}: give one each, or leave it empty", widths,
                    fmt::join(parameters, ", ")));
  }
  const io::Shard& first = *clips.train.shards[0];
  if (!parameters.empty() && !speed_among(parameters, {first.parameter_names(), first.categories()}, config) &&
      config.calibration.range > 0) {
    throw io::UsageError(
        fmt::format("calibration.range warps by a speed, and none of the model's parameters ({}) is one; name it in "
                    "condition.speeds, or set calibration.range to 0",
                    fmt::join(parameters, ", ")));
  }
  require_widths(config.calibration.bandwidth, condition, recorded_values(clips, condition));
  if (!needs_calibration(config.score.score)) {
    return;
  }
  const std::string fault = why_not_calibrated(clips, condition);
  if (!fault.empty()) {
    throw io::DataError(fmt::format("score.score = {} cannot be had: {}; choose another score, such as nll",
                                    config.score.score, fault));
  }
}

}  // namespace evenflow::train
