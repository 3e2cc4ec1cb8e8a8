#include "experiments/calibrate/normals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <set>

#include "experiments/console.h"
#include "io/error.h"
#include "train/detect/derived_scores.h"
#include "train/statistics/exchangeability.h"
#include "train/statistics/metrics.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {
namespace {

constexpr double significance = 0.01;

std::string clips_text(size_t count) {
  return count_text(static_cast<int64_t>(count), "clip");
}

/// Clips of a table in groups that a name tells of.
struct Grouping {
  std::string name;
  std::vector<int64_t> groups;      ///< of every clip, from 0
  std::vector<std::string> labels;  ///< of every group
};

/// A figure of each clip, where it is finite of all.
std::optional<std::vector<double>> column(const train::ScoreTable& table,
                                          const std::function<double(const train::ClipScore&)>& value) {
  std::vector<double> values;
  for (const train::ClipScore& clip : table.clips) {
    values.push_back(value(clip));
    if (!std::isfinite(values.back())) {
      return std::nullopt;
    }
  }
  return values;
}

Grouping by_value(const std::string& name, const std::vector<double>& values, const std::vector<std::string>& names) {
  const train::OperatingPoints points(values, names);
  Grouping out{name, {}, {}};
  for (const double value : values) {
    out.groups.push_back(static_cast<int64_t>(points.nearest(value)));
  }
  for (size_t i = 0; i < points.size(); ++i) {
    out.labels.push_back(train::to_text(points[i]));
  }
  return out;
}

Grouping by_fifths(const std::string& name, const std::vector<double>& values) {
  Grouping out{"estimated " + name, {}, {}};
  std::vector<double> ends;
  for (const double q : {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}) {
    ends.push_back(train::quantile(values, q));
  }
  for (size_t i = 0; i + 1 < ends.size(); ++i) {
    out.labels.push_back(fmt::format("{:.4g} to {:.4g}", ends[i], ends[i + 1]));
  }
  for (const double value : values) {
    const auto place = std::upper_bound(ends.begin() + 1, ends.end() - 1, value) - (ends.begin() + 1);
    out.groups.push_back(place);
  }
  return out;
}

/// By every parameter that is known of all clips; by the estimates of those that are not.
std::vector<Grouping> groupings(const train::ScoreTable& table) {
  std::vector<Grouping> out;
  std::set<std::string> known;
  for (size_t p = 0; p < table.parameter_names.size(); ++p) {
    if (const auto values = column(table, [&](const auto& clip) { return clip.clip.parameter[p]; })) {
      out.push_back(by_value(table.parameter_names[p], *values, io::categories_of(table.categories, p)));
      known.insert(table.parameter_names[p]);
    }
  }
  for (size_t p = 0; p < table.estimated_names.size(); ++p) {
    if (known.contains(table.estimated_names[p])) {
      continue;
    }
    if (const auto values = column(table, [&](const auto& clip) { return clip.estimate[p]; })) {
      const std::vector<std::string>& names = io::categories_of(table.estimated_categories, p);
      out.push_back(names.empty() ? by_fifths(table.estimated_names[p], *values)
                                  : by_value(table.estimated_names[p], *values, names));
    }
  }
  return out;
}

/// The operating point that a clip shares with others in every known parameter; one for all, if none is known.
std::vector<int64_t> known_points(const train::ScoreTable& table) {
  std::vector<std::vector<double>> rows(table.clips.size());
  for (size_t p = 0; p < table.parameter_names.size(); ++p) {
    const auto values = column(table, [&](const auto& clip) { return clip.clip.parameter[p]; });
    for (size_t i = 0; values && i < rows.size(); ++i) {
      rows[i].push_back((*values)[i]);
    }
  }
  return train::operating_points(rows);
}

/// The score that compares this one with normal clips of the same operating point, if the table has it.
std::string calibrated_of(const train::ScoreTable& table, const std::string& score) {
  for (const train::DerivedScore& derived : train::derived_scores()) {
    const auto& names = table.score_names;
    if (derived.calibrates(score) && std::find(names.begin(), names.end(), derived.score.name) != names.end()) {
      return derived.score.name;
    }
  }
  return "";
}

std::string length_note(const train::ScoreTable& table) {
  const auto [shortest, longest] = std::minmax_element(
      table.clips.begin(), table.clips.end(), [](const auto& a, const auto& b) { return a.windows < b.windows; });
  if (shortest->windows == longest->windows) {
    return "";
  }
  return fmt::format(
      "the clips have {} to {} windows, and scores of short clips vary more: the rate holds for clips of such lengths "
      "together, not for each; cut them to one length",
      shortest->windows, longest->windows);
}

std::string order_note(const std::vector<double>& scores, const train::ScoreTable& table, const std::string& score) {
  const train::RankTest trend = train::trend_test(scores, known_points(table));
  if (!(trend.p < significance)) {
    return "";
  }
  return trend.statistic > 0
             ? fmt::format(
                   "{} rises along the recordings in the order given (p = {:.1g}): those to come may raise more false "
                   "alarms than asked for; find out what drifts, and calibrate anew on recordings that span it",
                   score, trend.p)
             : fmt::format(
                   "{} falls along the recordings in the order given (p = {:.1g}): the early ones hold the threshold "
                   "higher than those to come need; find out what drifts, and calibrate anew on recordings that span "
                   "it",
                   score, trend.p);
}

std::string points_note(const std::vector<double>& scores, const Grouping& by, const train::ScoreTable& table,
                        const std::string& score, double threshold) {
  const train::RankTest differ = train::kruskal_wallis(scores, by.groups);
  if (!(differ.p < significance)) {
    return "";
  }
  std::vector<int64_t> clips(by.labels.size(), 0), above(by.labels.size(), 0);
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto group = static_cast<size_t>(by.groups[i]);
    ++clips[group];
    above[group] += scores[i] > threshold ? 1 : 0;
  }
  const auto share = [&](size_t g) {
    return clips[g] == 0 ? 0.0 : static_cast<double>(above[g]) / static_cast<double>(clips[g]);
  };
  size_t most = 0;
  for (size_t g = 0; g < clips.size(); ++g) {
    most = share(g) > share(most) ? g : most;
  }
  const std::string better = calibrated_of(table, score);
  return fmt::format(
      "{} differs between operating points (p = {:.1g}): at {} = {}, {} of {} clips lie above the threshold, {} of {} "
      "elsewhere; so the rate holds for operating points that are met as often as in these clips{}",
      score, differ.p, by.name, by.labels[most], above[most], clips[most],
      std::count_if(scores.begin(), scores.end(), [&](double s) { return s > threshold; }) - above[most],
      static_cast<int64_t>(scores.size()) - clips[most],
      better.empty()
          ? std::string()
          : fmt::format("; --score {} compares each clip with normal ones at its estimated operating point", better));
}

}  // namespace

void keep_normals(train::ScoreTable& table, const io::ModelData& model, std::vector<std::string>& notes) {
  const std::vector<uint64_t>& trained_on = model.normal.trained_on;
  if (trained_on.empty()) {
    notes.emplace_back(
        "the model is of an older program and does not tell which clips it was trained on; they score lower than new "
        "ones, so give none of them");
  }
  const auto leave_out = [&](const std::string& what, const std::function<bool(const train::ClipScore&)>& is_so) {
    const size_t count = std::erase_if(table.clips, is_so);
    if (count > 0) {
      notes.push_back(fmt::format("left out: {} {}", clips_text(count), what));
    }
  };
  leave_out("that the model was trained on", [&](const train::ClipScore& clip) {
    return std::binary_search(trained_on.begin(), trained_on.end(), clip.frames_sum);
  });
  leave_out("without any sound", [](const train::ClipScore& clip) { return clip.silent; });
  leave_out("whose score is not finite", [](const train::ClipScore& clip) { return !std::isfinite(clip.score); });
  std::set<uint64_t> met;
  leave_out("with the sound of another",
            [&](const train::ClipScore& clip) { return !met.insert(clip.frames_sum).second; });
  if (table.clips.empty()) {
    std::string why;
    for (const std::string& note : notes) {
      why += (why.empty() ? "" : "; ") + note;
    }
    throw io::DataError(fmt::format(
        "no normal clip is left for a threshold to rest on ({}); give recordings that are new to the model", why));
  }
}

std::vector<std::string> unlike_normals(const train::ScoreTable& table, const std::string& score, double threshold) {
  std::vector<double> scores;
  scores.reserve(table.clips.size());
  for (const train::ClipScore& clip : table.clips) {
    scores.push_back(clip.score);
  }
  std::vector<std::string> notes = {length_note(table), order_note(scores, table, score)};
  for (const Grouping& by : groupings(table)) {
    notes.push_back(points_note(scores, by, table, score, threshold));
  }
  std::erase(notes, "");
  return notes;
}

}  // namespace evenflow::experiments
