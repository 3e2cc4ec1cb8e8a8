#include "train/detect/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "io/error.h"
#include "train/detect/derived_scores.h"
#include "train/statistics/group_effects.h"
#include "train/statistics/metrics.h"
#include "train/statistics/seen.h"

namespace evenflow::train {
namespace {

bool finite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

std::vector<std::vector<double>> recorded_at(std::span<const ReferenceClip> clips, bool copies) {
  std::vector<std::vector<double>> out;
  for (const ReferenceClip& clip : clips) {
    if (copies || !clip.copy) {
      out.push_back(clip.recorded_at);
    }
  }
  return out;
}

/// Of each copy, the place of its clip among `clips`; of a clip, and of a copy without one, its own.
std::vector<size_t> places_of_clips(std::span<const ReferenceClip> clips) {
  std::map<size_t, size_t> recorded;
  for (size_t i = 0; i < clips.size(); ++i) {
    if (!clips[i].copy) {
      recorded[clips[i].clip] = i;
    }
  }
  std::vector<size_t> places;
  for (size_t i = 0; i < clips.size(); ++i) {
    const auto found = recorded.find(clips[i].clip);
    places.push_back(found == recorded.end() ? i : found->second);
  }
  return places;
}

double median(std::span<const double> values) {
  return quantile(values, 0.5);
}

/// Recorded clips first, then their copies; those of whom all is known.
std::vector<ReferenceClip> usable(std::span<const ReferenceClip> clips, const std::vector<size_t>& scores) {
  std::vector<ReferenceClip> out;
  for (const bool copy : {false, true}) {
    std::copy_if(clips.begin(), clips.end(), std::back_inserter(out), [&](const ReferenceClip& clip) {
      return clip.copy == copy && finite(clip.recorded_at) && finite(clip.estimate) &&
             std::all_of(scores.begin(), scores.end(), [&](size_t s) { return std::isfinite(clip.scores[s]); });
    });
  }
  const std::vector<size_t> places = places_of_clips(out);
  std::vector<ReferenceClip> paired;
  for (size_t i = 0; i < out.size(); ++i) {
    if (!out[i].copy || places[i] != i) {
      paired.push_back(out[i]);
    }
  }
  return paired;
}

/// What a score of each copy differs by from its clip's.
std::vector<double> differences(std::span<const ReferenceClip> clips, size_t score) {
  const std::vector<size_t> places = places_of_clips(clips);
  std::vector<double> out;
  for (size_t i = 0; i < clips.size(); ++i) {
    if (clips[i].copy) {
      out.push_back(clips[i].scores[score] - clips[places[i]].scores[score]);
    }
  }
  return out;
}

void drop_strange_copies(std::vector<ReferenceClip>& clips, const std::vector<size_t>& scores) {
  const auto recorded = std::count_if(clips.begin(), clips.end(), [](const auto& clip) { return !clip.copy; });
  std::vector<bool> strange(clips.size(), false);
  for (const size_t s : scores) {
    const std::vector<double> all = differences(clips, s);
    if (all.empty()) {
      return;
    }
    const double middle = median(all);
    std::vector<double> distance;
    distance.reserve(all.size());
    for (const double difference : all) {
      distance.push_back(std::abs(difference - middle));
    }
    const double most = 5.0 * 1.4826 * median(distance);
    for (size_t i = 0; i < all.size(); ++i) {
      strange[static_cast<size_t>(recorded) + i] = strange[static_cast<size_t>(recorded) + i] || distance[i] > most;
    }
  }
  std::vector<ReferenceClip> kept;
  for (size_t i = 0; i < clips.size(); ++i) {
    if (!strange[i]) {
      kept.push_back(std::move(clips[i]));
    }
  }
  clips = std::move(kept);
}

/// Of clips and copies, the operating point they share in all parameters but the one that copies are moved in; 0 of all
/// where that is the only one, and where none is moved.
std::vector<int64_t> points_of_the_rest(std::span<const ReferenceClip> clips) {
  std::optional<size_t> moved;
  for (const ReferenceClip& clip : clips) {
    const auto differ = std::mismatch(clip.v.begin(), clip.v.end(), clip.recorded_at.begin());
    if (differ.first != clip.v.end()) {
      moved = static_cast<size_t>(differ.first - clip.v.begin());
      break;
    }
  }
  if (!moved || clips.front().v.size() < 2) {
    return std::vector<int64_t>(clips.size(), 0);
  }
  std::vector<std::vector<double>> rest;
  for (const ReferenceClip& clip : clips) {
    rest.push_back(clip.recorded_at);
    rest.back().erase(rest.back().begin() + static_cast<std::ptrdiff_t>(*moved));
  }
  return operating_points(rest);
}

/// What sets copies apart from their clips in a score, for each clip and copy: the median of the mean difference of a
/// clip's copies, which lie about the clip's speed evenly, over the clips with the same rest or, where these are fewer
/// than 10, over all. 0 without copies.
std::vector<double> copies_apart(std::span<const ReferenceClip> clips, size_t score) {
  constexpr size_t least = 10;
  const std::vector<double> all = differences(clips, score);
  const std::vector<size_t> places = places_of_clips(clips);
  const std::vector<int64_t> rest = points_of_the_rest(clips);
  const size_t recorded = clips.size() - all.size();
  std::map<size_t, std::pair<double, double>> of_clip;  // sum and number
  for (size_t i = 0; i < all.size(); ++i) {
    auto& [sum, number] = of_clip[places[recorded + i]];
    sum += all[i];
    ++number;
  }
  std::map<int64_t, std::vector<double>> of_rest;
  std::vector<double> of_all;
  for (const auto& [place, sum] : of_clip) {
    of_all.push_back(sum.first / sum.second);
    of_rest[rest[place]].push_back(of_all.back());
  }
  if (of_all.empty()) {
    return std::vector<double>(clips.size(), 0.0);
  }
  std::map<int64_t, double> level;
  for (const auto& [point, alike] : of_rest) {
    level[point] = median(alike.size() < least ? of_all : alike);
  }
  std::vector<double> apart;
  std::transform(rest.begin(), rest.end(), std::back_inserter(apart), [&](int64_t point) {
    const auto known = level.find(point);
    return known == level.end() ? median(of_all) : known->second;
  });
  return apart;
}

/// A score of each point; of copies without what sets copies apart from their clips.
std::vector<double> levelled(std::span<const ReferenceClip> clips, size_t score) {
  const std::vector<double> apart = copies_apart(clips, score);
  std::vector<double> values;
  for (size_t i = 0; i < clips.size(); ++i) {
    values.push_back(clips[i].copy ? clips[i].scores[score] - apart[i] : clips[i].scores[score]);
  }
  return values;
}

/// Those of them that are the model's own; all, if none is.
std::vector<size_t> own_scores(const std::vector<flow::Score>& scores, const std::vector<size_t>& places) {
  std::vector<size_t> own;
  std::copy_if(places.begin(), places.end(), std::back_inserter(own), [&](size_t s) {
    return std::none_of(derived_scores().begin(), derived_scores().end(),
                        [&](const DerivedScore& derived) { return derived.score.name == scores[s].name; });
  });
  return own.empty() ? places : own;
}

/// The groups by the order in which they come.
std::vector<int64_t> renumbered(std::span<const int64_t> groups) {
  std::map<int64_t, int64_t> number;
  std::vector<int64_t> out;
  for (const int64_t group : groups) {
    out.push_back(number.try_emplace(group, static_cast<int64_t>(number.size())).first->second);
  }
  return out;
}

/// Of recorded clips, what their score is above its expectation, in spreads.
std::vector<double> residuals(const io::CalibrationData& data, const io::CalibrationData::Score& score) {
  const LocalLinear line({static_cast<int64_t>(score.bandwidth.size()), data.estimate, score.value, data.clips},
                         score.bandwidth, score.squared_residual);
  std::vector<double> out;
  for (int64_t i = 0; i < data.clips; ++i) {
    const LocalFit expected = line.at(line.points().at(i));
    out.push_back((score.value[static_cast<size_t>(i)] - expected.mean) / expected.spread);
  }
  return out;
}

/// Where the recorded clips' operating points lie: their mean estimate of a number, and the category of a name. And how
/// far an estimate may be from one.
void place_points(io::CalibrationData& data, std::span<const ReferenceClip> clips, std::span<const int64_t> group,
                  const io::Categories& categories) {
  const size_t parameters = data.scores.front().bandwidth.size();
  const auto points = static_cast<size_t>(*std::max_element(group.begin(), group.end()) + 1);
  std::vector<double> count(points, 0.0);
  data.point.assign(points * parameters, 0.0);
  for (size_t i = 0; i < group.size(); ++i) {
    ++count[static_cast<size_t>(group[i])];
    for (size_t p = 0; p < parameters; ++p) {
      const bool name = !io::categories_of(categories, p).empty();
      data.point[static_cast<size_t>(group[i]) * parameters + p] +=
          name ? clips[i].recorded_at[p] : clips[i].estimate[p];
    }
  }
  for (size_t k = 0; k < data.point.size(); ++k) {
    data.point[k] /= count[k / parameters];
  }
  for (size_t p = 0; p < parameters; ++p) {
    if (!io::categories_of(categories, p).empty()) {
      data.reach.push_back(category_bandwidth);
      continue;
    }
    double squares = 0, low = std::numeric_limits<double>::infinity(), high = -low;
    for (size_t i = 0; i < group.size(); ++i) {
      const double estimate = clips[i].estimate[p];
      squares += std::pow(estimate - data.point[static_cast<size_t>(group[i]) * parameters + p], 2);
      low = std::min(low, estimate);
      high = std::max(high, estimate);
    }
    const double deviation = std::sqrt(squares / static_cast<double>(group.size() - points));
    constexpr double least = 1e-6;  // of the range, where all estimates of a point are the same
    data.reach.push_back(std::max({deviations_in_reach * deviation, least * (high - low), 1e-12}));
  }
}

/// What operating points have of their own beyond what their surroundings tell: of each of the recorded clips, `group`
/// is its point.
void learn_point_effects(io::CalibrationData& data, std::span<const ReferenceClip> clips,
                         std::span<const int64_t> group, const io::Categories& categories) {
  bool any = false;
  for (io::CalibrationData::Score& score : data.scores) {
    GroupEffects effects = group_effects(residuals(data, score), group);
    any = any || effects.between > 0.0;
    score.effect = std::move(effects.effect);
    score.explained = std::move(effects.explained);
  }
  if (any) {
    place_points(data, clips, group, categories);
    return;
  }
  for (io::CalibrationData::Score& score : data.scores) {
    score.effect.clear();
    score.explained.clear();
  }
}

/// Recorded clips first. `groups`: what is left out together where bandwidths are chosen.
io::CalibrationData fit_to(const std::vector<flow::Score>& scores, const std::vector<size_t>& calibrated,
                           std::span<const ReferenceClip> used, std::span<const int64_t> groups,
                           const std::vector<double>& bandwidth, const io::Categories& categories) {
  io::CalibrationData data;
  for (const ReferenceClip& clip : used) {
    data.clips += clip.copy ? 0 : 1;
    data.estimate.insert(data.estimate.end(), clip.estimate.begin(), clip.estimate.end());
  }
  const auto predictors = static_cast<int64_t>(used.front().estimate.size());
  std::vector<double> asked(used.front().estimate.size(), 0.0);
  std::copy(bandwidth.begin(), bandwidth.end(), asked.begin());
  for (size_t p = 0; p < asked.size(); ++p) {
    asked[p] = io::categories_of(categories, p).empty() ? asked[p] : category_bandwidth;
  }
  for (const size_t s : calibrated) {
    const LocalPoints points{predictors, data.estimate, levelled(used, s), data.clips};
    const std::vector<double> chosen = choose_bandwidth(points, groups, asked);
    const LocalLinear line(points, chosen);
    data.scores.push_back({scores[s].name, chosen, points.y, line.squared_residuals()});
  }
  if (!data.scores.empty()) {
    learn_point_effects(data, used, renumbered(groups.first(static_cast<size_t>(data.clips))), categories);
  }
  return data;
}

}  // namespace

std::vector<size_t> calibrated_scores(const std::vector<flow::Score>& scores) {
  std::vector<size_t> places;
  for (const DerivedScore& derived : derived_scores()) {
    const auto of = std::find_if(scores.begin(), scores.end(),
                                 [&](const flow::Score& score) { return derived.calibrates(score.name); });
    if (of != scores.end()) {
      places.push_back(static_cast<size_t>(of - scores.begin()));
    }
  }
  return places;
}

std::string calibration_fault(const std::vector<std::string>& parameters,
                              std::span<const std::vector<double>> recorded_at, const io::Categories& categories) {
  if (parameters.empty()) {
    return "the model is tied to no parameter and estimates none";
  }
  std::vector<std::vector<double>> known;
  std::copy_if(recorded_at.begin(), recorded_at.end(), std::back_inserter(known),
               [](const std::vector<double>& v) { return finite(v); });
  size_t numbers = 0;
  for (size_t p = 0; p < parameters.size(); ++p) {
    numbers += io::categories_of(categories, p).empty() ? 1 : 0;
  }
  const size_t clips = 10 * parameters.size(), places = numbers + 2;
  if (known.size() < clips) {
    return fmt::format("there are {} normal training clips of known operating point, and it takes {}", known.size(),
                       clips);
  }
  const std::vector<int64_t> groups = operating_points(known);
  const auto found = static_cast<size_t>(*std::max_element(groups.begin(), groups.end()) + 1);
  if (found < places) {
    return fmt::format("the normal training clips were recorded at {} operating points, and it takes {}", found,
                       places);
  }
  return "";
}

io::CalibrationData fit_calibration(const std::vector<flow::Score>& scores, const std::vector<std::string>& parameters,
                                    std::span<const ReferenceClip> clips, const std::vector<double>& bandwidth,
                                    const io::Categories& categories) {
  const std::vector<size_t> calibrated = calibrated_scores(scores);
  std::vector<ReferenceClip> used = usable(clips, calibrated);
  drop_strange_copies(used, own_scores(scores, calibrated));
  if (const std::string fault = calibration_fault(parameters, recorded_at(used, false), categories); !fault.empty()) {
    throw io::DataError(fault);
  }
  return fit_to(scores, calibrated, used, operating_points(recorded_at(used, true)), bandwidth, categories);
}

io::CalibrationData fit_calibration(const std::vector<flow::Score>& scores, const std::vector<std::string>& parameters,
                                    std::span<const ClipScore> clips, const std::vector<double>& bandwidth,
                                    const io::Categories& categories) {
  if (parameters.empty()) {
    throw io::DataError("the model is tied to no parameter and estimates none");
  }
  const std::vector<size_t> calibrated = calibrated_scores(scores);
  std::vector<ReferenceClip> references;
  for (size_t i = 0; i < clips.size(); ++i) {
    const std::vector<double>& estimate = clips[i].estimate;
    references.push_back({estimate, estimate, estimate, clips[i].scores, i, false});
  }
  const std::vector<ReferenceClip> used = usable(references, calibrated);
  if (const size_t least = 10 * parameters.size(); used.size() < least) {
    throw io::DataError(
        fmt::format("there are {} clips to learn from what normal ones score at each operating point, and it takes {}",
                    used.size(), least));
  }
  std::vector<int64_t> each(used.size());
  std::iota(each.begin(), each.end(), int64_t{0});
  return fit_to(scores, calibrated, used, each, bandwidth, categories);
}

void set_calibrated(ScoreTable& table, const io::CalibrationData& data) {
  io::NormalData normal;
  normal.calibration = data;
  std::vector<std::pair<size_t, Derivation>> columns;
  for (const DerivedScore& derived : derived_scores()) {
    const std::optional<Operands> of = operands_of(derived, table.score_names);
    Derivation derivation;
    if (of && needs_calibration(derived.score.name)) {
      derivation = derived.derivation(*of, normal);
    }
    if (!derivation) {
      continue;
    }
    if (std::find(table.score_names.begin(), table.score_names.end(), derived.score.name) == table.score_names.end()) {
      table.score_names.push_back(derived.score.name);
    }
    columns.emplace_back(table.column(derived.score.name), std::move(derivation));
  }
  for (ClipScore& clip : table.clips) {
    clip.scores.resize(table.score_names.size(), std::numeric_limits<double>::quiet_NaN());
    bool outside = false;
    for (const auto& [column, derivation] : columns) {
      const DerivedValue value = derivation(clip);
      clip.scores[column] = value.score;
      outside = outside || value.outside;
    }
    clip.outside_calibration = outside || clip.no_category ? 1 : 0;
  }
}

std::vector<double> estimate_errors(std::span<const ReferenceClip> clips, const io::Categories& categories) {
  std::vector<double> errors(clips.empty() ? 0 : clips.front().v.size(), 0.0);
  double known = 0;
  for (const ReferenceClip& clip : clips) {
    if (!finite(clip.v) || !finite(clip.estimate)) {
      continue;
    }
    ++known;
    for (size_t p = 0; p < errors.size(); ++p) {
      const bool name = !io::categories_of(categories, p).empty();
      errors[p] += name ? (clip.estimate[p] != clip.v[p] ? 1.0 : 0.0) : std::pow(clip.estimate[p] - clip.v[p], 2);
    }
  }
  for (size_t p = 0; p < errors.size(); ++p) {
    errors[p] = io::categories_of(categories, p).empty() ? std::sqrt(errors[p] / known) : errors[p] / known;
  }
  return errors;
}

Calibration::Calibration(const io::CalibrationData& data, const io::CalibrationData::Score& score)
    : line_({static_cast<int64_t>(score.bandwidth.size()), data.estimate, score.value, data.clips}, score.bandwidth,
            score.squared_residual),
      point_(data.point),
      reach_(data.reach),
      effect_(score.effect),
      explained_(score.explained) {
  const LocalPoints& points = line_.points();
  low_.assign(score.bandwidth.size(), std::numeric_limits<double>::infinity());
  high_.assign(score.bandwidth.size(), -std::numeric_limits<double>::infinity());
  for (int64_t i = 0; i < points.size(); ++i) {
    for (size_t p = 0; p < low_.size(); ++p) {
      low_[p] = std::min(low_[p], points.at(i)[p]);
      high_[p] = std::max(high_[p], points.at(i)[p]);
    }
  }
}

Calibration::Own Calibration::own(std::span<const double> estimate) const {
  Own out;
  double sum = 0;
  for (size_t g = 0; g < effect_.size(); ++g) {
    double squares = 0;
    for (size_t p = 0; p < reach_.size(); ++p) {
      squares += std::pow((estimate[p] - point_[g * reach_.size() + p]) / reach_[p], 2);
    }
    const double weight = std::exp(-0.5 * squares);
    sum += weight;
    out.effect += weight * effect_[g];
    out.explained += weight * explained_[g];
  }
  // Between points that lie close an estimate belongs to each in part; far from all of them it belongs to none.
  out.effect /= std::max(1.0, sum);
  out.explained /= std::max(1.0, sum);
  return out;
}

Calibration::Value Calibration::of(double score, std::span<const double> estimate) const {
  if (!std::isfinite(score) || !finite(estimate)) {
    return {std::numeric_limits<double>::quiet_NaN(), false};
  }
  Value out;
  std::vector<double> x(estimate.begin(), estimate.end());
  for (size_t p = 0; p < x.size(); ++p) {
    x[p] = std::clamp(x[p], low_[p], high_[p]);
    out.outside = out.outside || std::abs(estimate[p] - x[p]) > 0.1 * (high_[p] - low_[p]);
  }
  const LocalFit expected = line_.at(x);
  const Own near = own(x);
  out.score = ((score - expected.mean) / expected.spread - near.effect) / std::sqrt(1.0 - near.explained);
  out.outside = out.outside || expected.sparse;
  return out;
}

}  // namespace evenflow::train
