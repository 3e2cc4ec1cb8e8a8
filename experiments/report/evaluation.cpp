#include "experiments/report/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "experiments/console.h"
#include "experiments/report/estimate_quality.h"
#include "experiments/report/score_notes.h"
#include "experiments/report/training_seen.h"
#include "io/error.h"
#include "io/manifest.h"
#include "io/text.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

using Clips = std::vector<train::ClipScore>;
using Value = std::function<double(const train::ClipScore&)>;

Merit merit_of(const Clips& clips, const Group& group, const Value& value_of) {
  if (group.normal == 0 || group.anomalous == 0) {
    return {nan, nan};
  }
  std::vector<double> scores;
  std::vector<int> labels;
  for (const size_t row : group.rows) {
    const double value = value_of(clips[row]);
    if (!std::isfinite(value)) {
      return {nan, nan};
    }
    scores.push_back(value);
    labels.push_back(clips[row].clip.label);
  }
  return {train::auc(scores, labels), train::partial_auc(scores, labels)};
}

std::optional<train::DecisionQuality> decisions_of(const Clips& clips, const Group& group) {
  std::vector<int> decisions, labels;
  for (const size_t row : group.rows) {
    if (clips[row].decision < 0) {
      return std::nullopt;
    }
    decisions.push_back(clips[row].decision);
    labels.push_back(clips[row].clip.label);
  }
  if (decisions.empty()) {
    return std::nullopt;
  }
  train::DecisionQuality quality = train::decision_quality(decisions, labels);
  // Of nothing there is no share, where scikit-learn has 0.
  if (quality.true_positives + quality.false_positives == 0) {
    quality.precision = nan;
  }
  if (quality.true_positives + quality.false_negatives == 0) {
    quality.recall = nan;
  }
  if (std::isnan(quality.precision) && std::isnan(quality.recall)) {
    quality.f1 = nan;
  }
  return quality;
}

class Evaluating {
 public:
  Evaluating(const train::ScoreTable& table, const TrainingValues& training, const TrainingRows& rows) : table_(table) {
    for (const train::ClipScore& clip : table.clips) {
      if (clip.clip.label < 0) {
        continue;
      }
      if (std::isfinite(clip.score)) {
        clips_.push_back(clip);
      } else {
        out_.without_score.push_back(clip.clip.path.string());
      }
    }
    training_ = training_points(table, training);
    combinations_ = train::Combinations(rows, table.parameter_names, training_);
    add_outside();
    out_.seen_rule = seen_rule(table.parameter_names, training_);
  }

  Evaluation run() {
    require_both_classes();
    out_.score_names = table_.score_names;
    out_.decided_by = decided_by(clips_, table_.score_names);
    if (out_.decided_by == "score") {
      out_.score_names.insert(out_.score_names.begin(), "score");
    }
    add_groups();
    add_means();
    add_estimates(out_, table_, clips_, training_);
    return std::move(out_);
  }

 private:
  void add_outside() {
    train::ScoreTable evaluated{table_.parameter_names, {}, {}, clips_, table_.categories, {}};
    train::TrainedNames trained;
    bool names = false;
    for (size_t e = 0; e < table_.estimated_names.size(); ++e) {
      if (!io::categories_of(table_.estimated_categories, e).empty()) {
        names = true;
        if (auto known = names_trained(table_, training_, e)) {
          trained[table_.estimated_names[e]] = std::move(*known);
        }
      }
    }
    const train::OutsideClips outside = train::outside_calibration(evaluated, trained);
    out_.outside_calibration = outside.paths();
    out_.outside_texts = outside_calibration_texts(outside, names);
  }

  using Wanted = std::function<bool(const train::ClipScore&)>;

  void require_both_classes() const {
    const auto anomalous = std::count_if(clips_.begin(), clips_.end(), [](const auto& c) { return c.clip.label == 1; });
    const auto count = static_cast<int64_t>(clips_.size());
    const auto without = static_cast<int64_t>(out_.without_score.size());
    if (count == 0 && without > 0) {
      throw io::DataError(
          fmt::format("none of {} has a finite score, the first '{}'; see what `evenflow score` said about them",
                      count_text(without, "labelled clip"), out_.without_score.front()));
    }
    if (count == 0) {
      throw io::DataError(
          "no clip in the scores has a label (group all), and without labels there is nothing to evaluate; score clips "
          "of a manifest with normal and anomaly in the column label");
    }
    if (anomalous == 0 || anomalous == count) {
      throw io::DataError(fmt::format(
          "one class only in group all: {} {}{}; an AUC takes normal and anomalous clips, so score a test "
          "set that has both",
          count_text(count, "clip"), anomalous == 0 ? "and all normal" : "and all anomalous",
          without > 0 ? fmt::format(" (without {} whose score is not finite)", count_text(without, "clip")) : ""));
    }
  }

  Group make_group(const std::string& kind, const std::string& name, const Wanted& wanted) const {
    Group group{kind, name, {}, 0, 0, {}, {}};
    for (size_t i = 0; i < clips_.size(); ++i) {
      if (!wanted(clips_[i])) {
        continue;
      }
      group.rows.push_back(i);
      ++(clips_[i].clip.label == 1 ? group.anomalous : group.normal);
    }
    for (const std::string& score : out_.score_names) {
      const bool decides = score == "score";
      const size_t column = decides ? 0 : table_.column(score);
      group.scores[score] = merit_of(
          clips_, group, [=](const train::ClipScore& clip) { return decides ? clip.score : clip.scores[column]; });
    }
    group.decisions = decisions_of(clips_, group);
    return group;
  }

  void add_group(const std::string& kind, const std::string& name, const Wanted& wanted) {
    Group group = make_group(kind, name, wanted);
    if (!group.rows.empty()) {
      out_.groups.push_back(std::move(group));
    }
  }

  train::Familiarity familiarity(const train::ClipScore& clip) const {
    return train::familiarity(clip.clip.parameter, table_.parameter_names, training_);
  }

  void add_groups() {
    add_group("all", "all", [](const auto&) { return true; });
    if (!out_.seen_rule.empty()) {
      using train::Familiarity;
      add_group("seen", "seen in training", [&](const auto& clip) { return familiarity(clip) == Familiarity::seen; });
      add_group("unseen", "unseen in training",
                [&](const auto& clip) { return familiarity(clip) == Familiarity::unseen; });
      add_combinations();
      const auto unknown = std::count_if(clips_.begin(), clips_.end(),
                                         [&](const auto& clip) { return familiarity(clip) == Familiarity::unknown; });
      if (unknown > 0) {
        out_.seen_rule += fmt::format(" {} of unknown value {} neither seen nor unseen.", count_text(unknown, "clip"),
                                      unknown == 1 ? "is" : "are");
      }
    }
    for (size_t p = 0; p < table_.parameter_names.size(); ++p) {
      const train::OperatingPoints points = points_of(p);
      for (size_t i = 0; i < points.size(); ++i) {
        add_group("value", table_.parameter_names[p] + " = " + train::to_text(points[i]),
                  [&](const auto& clip) { return is_at(points[i], clip.clip.parameter[p]); });
      }
    }
    add_by("domain", [](const auto& clip) { return clip.clip.domain; });
    const std::set<std::string> machines = add_by("machine", [](const auto& clip) { return clip.clip.machine; });
    const auto section = [](const auto& clip) {
      return clip.clip.section.empty() ? std::string() : clip.clip.machine + " " + clip.clip.section;
    };
    if (std::set<std::string> sections = distinct(section); sections.size() > machines.size()) {
      add_by("section", section);
    }
  }

  /// Where all values were seen: were they seen together?
  void add_combinations() {
    const auto is = [this](train::Familiarity wanted) {
      return [this, wanted](const train::ClipScore& clip) { return combinations_.of(clip.clip.parameter) == wanted; };
    };
    if (std::any_of(clips_.begin(), clips_.end(), is(train::Familiarity::unseen))) {
      add_group("seen combination", "seen combination", is(train::Familiarity::seen));
      add_group("unseen combination", "unseen combination", is(train::Familiarity::unseen));
      out_.seen_rule += " A combination is unseen where each value was seen, but never together.";
    }
  }

  std::set<std::string> distinct(const std::function<std::string(const train::ClipScore&)>& of) const {
    std::set<std::string> names;
    for (const train::ClipScore& clip : clips_) {
      if (std::string name = of(clip); !name.empty()) {
        names.insert(std::move(name));
      }
    }
    return names;
  }

  /// A group per name; none if there is only one.
  std::set<std::string> add_by(const std::string& kind, const std::function<std::string(const train::ClipScore&)>& of) {
    std::set<std::string> names = distinct(of);
    if (names.size() > 1) {
      for (const std::string& name : names) {
        add_group(kind, kind + " " + name, [&](const auto& clip) { return of(clip) == name; });
      }
    }
    return names;
  }

  /// Operating points of the clips that are evaluated.
  train::OperatingPoints points_of(size_t p) const {
    std::vector<double> values;
    for (const train::ClipScore& clip : clips_) {
      values.push_back(clip.clip.parameter[p]);
    }
    const auto trained = training_.find(table_.parameter_names[p]);
    return trained == training_.end() ? train::OperatingPoints(values, io::categories_of(table_.categories, p))
                                      : trained->second.of_others(values);
  }

  static bool is_at(const train::OperatingPoint& point, double value) {
    return value >= point.low && value <= point.high;
  }

  void add_means() {
    for (size_t p = 0; p < table_.parameter_names.size(); ++p) {
      const std::string& name = table_.parameter_names[p];
      const auto trained = training_.find(name);
      add_mean("mean over " + name, p, [](double) { return true; });
      if (trained == training_.end()) {
        continue;
      }
      const auto is = [&](train::Familiarity wanted) {
        return [=, &trained](double v) { return trained->second.of(v) == wanted; };
      };
      add_mean("mean over " + name + ", seen", p, is(train::Familiarity::seen));
      add_mean("mean over " + name + ", unseen", p, is(train::Familiarity::unseen));
    }
  }

  void add_mean(const std::string& name, size_t p, const std::function<bool(double)>& wanted) {
    MeanOverValues mean{name, 0, {}};
    std::vector<Group> groups;
    const train::OperatingPoints points = points_of(p);
    for (size_t i = 0; i < points.size(); ++i) {
      Group group = make_group("value", "", [&](const auto& clip) {
        return is_at(points[i], clip.clip.parameter[p]) && wanted(clip.clip.parameter[p]);
      });
      if (group.normal > 0 && group.anomalous > 0) {
        groups.push_back(std::move(group));
      }
    }
    mean.values = static_cast<int64_t>(groups.size());
    if (mean.values < 2) {
      return;
    }
    for (const std::string& score : out_.score_names) {
      Merit& merit = mean.scores[score];
      for (const Group& group : groups) {
        merit.auc += group.scores.at(score).auc / static_cast<double>(mean.values);
        merit.pauc += group.scores.at(score).pauc / static_cast<double>(mean.values);
      }
    }
    out_.means.push_back(std::move(mean));
  }

  const train::ScoreTable& table_;
  train::TrainingPoints training_;
  train::Combinations combinations_;
  Clips clips_;
  Evaluation out_;
};

}  // namespace

bool Group::is_overall() const {
  return kind == "all" || kind.starts_with("seen") || kind.starts_with("unseen");
}

std::string decided_by(const std::vector<train::ClipScore>& clips, const std::vector<std::string>& names) {
  for (size_t s = 0; s < names.size(); ++s) {
    if (std::all_of(clips.begin(), clips.end(), [s](const auto& clip) { return clip.score == clip.scores[s]; })) {
      return names[s];
    }
  }
  return "score";
}

Evaluation evaluate(const train::ScoreTable& table, const TrainingValues& training, const TrainingRows& rows) {
  return Evaluating(table, training, rows).run();
}

}  // namespace evenflow::experiments
