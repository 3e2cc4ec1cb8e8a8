#include "experiments/report/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "experiments/console.h"
#include "io/error.h"
#include "io/manifest.h"
#include "io/text.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr size_t most_values_shown = 24;

using Clips = std::vector<train::ClipScore>;
using Value = std::function<double(const train::ClipScore&)>;

bool is_overall(const Group& group) {
  return group.kind == "all" || group.kind.starts_with("seen") || group.kind.starts_with("unseen");
}

/// What counts as seen; empty if nothing does.
std::string rule_text(const std::vector<std::string>& names, const train::TrainingPoints& training) {
  std::string text;
  std::vector<std::string> unknown;
  for (const std::string& name : names) {
    const auto points = training.find(name);
    if (points == training.end() || points->second.empty()) {
      unknown.push_back(name);
      continue;
    }
    text += text.empty() ? "Seen in training: " : "; ";
    text += points->second.are_categories()
                ? fmt::format("{} {}", name, points->second.text())
                : fmt::format("{} within {:.3g} of {}", name, points->second.tolerance(), points->second.text());
  }
  if (!text.empty()) {
    text += ".";
  }
  if (unknown.empty()) {
    return text;
  }
  return text + fmt::format(
                    "{}Of {} no training values are known (a model has those of what it carries, which varied): "
                    "neither seen nor unseen; --training SHARD tells them.",
                    text.empty() ? "" : " ", io::first_names(unknown));
}

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
    for (const auto& [name, values] : training) {
      training_.emplace(name, train::OperatingPoints(values, names_of(name)));
    }
    combinations_ = train::Combinations(rows, table.parameter_names, training_);
    add_outside();
    out_.seen_rule = rule_text(table.parameter_names, training_);
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
    add_estimates();
    return std::move(out_);
  }

 private:
  /// The names that a parameter of the table has, if it is a category.
  std::vector<std::string> names_of(const std::string& parameter) const {
    const std::vector<std::string>& all = table_.parameter_names;
    const auto found = std::find(all.begin(), all.end(), parameter);
    return io::categories_of(table_.categories, static_cast<size_t>(found - all.begin()));
  }

  bool knows_training(size_t e) const {
    const auto training = training_.find(table_.estimated_names[e]);
    return training != training_.end() && !training->second.empty();
  }

  /// The names of a parameter that the training had; where nothing tells, those that some estimate has.
  std::vector<std::string> trained_names(size_t e) const {
    if (!knows_training(e)) {
      return table_.estimated_categories[e];
    }
    const auto training = training_.find(table_.estimated_names[e]);
    std::vector<std::string> names;
    for (size_t i = 0; i < training->second.size(); ++i) {
      names.push_back(training->second[i].name);
    }
    return names;
  }

  void add_outside() {
    train::ScoreTable evaluated{table_.parameter_names, {}, {}, clips_, table_.categories, {}};
    train::TrainedNames trained;
    bool names = false;
    for (size_t e = 0; e < table_.estimated_names.size(); ++e) {
      if (!io::categories_of(table_.estimated_categories, e).empty()) {
        names = true;
        if (knows_training(e)) {
          trained[table_.estimated_names[e]] = trained_names(e);
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

  void add_estimates() {
    for (size_t e = 0; e < table_.estimated_names.size(); ++e) {
      const auto found =
          std::find(table_.parameter_names.begin(), table_.parameter_names.end(), table_.estimated_names[e]);
      if (found == table_.parameter_names.end()) {
        continue;
      }
      const auto p = static_cast<size_t>(found - table_.parameter_names.begin());
      // A name that was trained may have no clip here: the estimate's own list tells.
      const bool name = !io::categories_of(table_.estimated_categories, e).empty();
      if (name != !io::categories_of(table_.categories, p).empty()) {
        continue;  // no clip says a name
      }
      out_.without_estimate += std::count_if(clips_.begin(), clips_.end(), [=](const train::ClipScore& clip) {
        return !std::isnan(clip.clip.parameter[p]) && !std::isfinite(clip.estimate[e]);
      });
      for (const Group& group : out_.groups) {
        if (!is_overall(group)) {
          continue;
        }
        for (const char* clips : {"normal", "anomalous", "both"}) {
          if (name) {
            add_name(group, clips, e, p);
          } else {
            add_estimate(group, clips, e, p);
          }
        }
      }
      if (name) {
        add_names_left_out(e, p);
      }
    }
  }

  /// The group's clips of which both value and estimate are known.
  std::vector<const train::ClipScore*> estimated_clips(const Group& group, const std::string& which, size_t e,
                                                       size_t p) const {
    std::vector<const train::ClipScore*> out;
    for (const size_t row : group.rows) {
      const train::ClipScore& clip = clips_[row];
      if ((which == "both" || (clip.clip.label == 1) == (which == "anomalous")) &&
          !std::isnan(clip.clip.parameter[p]) && std::isfinite(clip.estimate[e])) {
        out.push_back(&clip);
      }
    }
    return out;
  }

  void add_name(const Group& group, const std::string& which, size_t e, size_t p) {
    std::vector<double> probability;
    std::vector<int> right;
    const std::vector<std::string> trained = trained_names(e);
    for (const train::ClipScore* clip : estimated_clips(group, which, e, p)) {
      const double own = io::recoded(clip->clip.parameter[p], table_.categories[p], trained);
      if (!std::isnan(own) && std::isfinite(clip->probability[e])) {
        probability.push_back(clip->probability[e]);
        right.push_back(own == io::recoded(clip->estimate[e], table_.estimated_categories[e], trained) ? 1 : 0);
      }
    }
    if (right.empty()) {
      return;
    }
    const auto count = static_cast<int64_t>(right.size());
    out_.names.push_back({table_.estimated_names[e], group.kind, which, count,
                          static_cast<double>(std::count(right.begin(), right.end(), 1)) / static_cast<double>(count),
                          train::mean(probability), train::expected_calibration_error(probability, right)});
  }

  void add_names_left_out(size_t e, size_t p) {
    const std::vector<std::string> trained = trained_names(e);
    std::map<std::string, NamesLeftOut> by_name;
    for (const train::ClipScore& clip : clips_) {
      const double value = clip.clip.parameter[p];
      if (std::isnan(value) || !std::isnan(io::recoded(value, table_.categories[p], trained))) {
        continue;
      }
      const std::string& name = table_.categories[p][static_cast<size_t>(value)];
      NamesLeftOut& own = by_name.try_emplace(name, NamesLeftOut{table_.estimated_names[e], name}).first->second;
      ++(clip.clip.label == 1 ? own.anomalous : own.normal);
    }
    for (auto& [name, left_out] : by_name) {
      left_out.known = knows_training(e);
      out_.names_left_out.push_back(left_out);
    }
  }

  void add_estimate(const Group& group, const std::string& which, size_t e, size_t p) {
    std::vector<double> estimate, truth;
    for (const train::ClipScore* clip : estimated_clips(group, which, e, p)) {
      estimate.push_back(clip->estimate[e]);
      truth.push_back(clip->clip.parameter[p]);
    }
    if (estimate.empty()) {
      return;
    }
    out_.estimates.push_back({table_.estimated_names[e], group.kind, which, static_cast<int64_t>(estimate.size()),
                              train::mean_absolute_error(estimate, truth),
                              train::pearson_correlation(estimate, truth)});
  }

  const train::ScoreTable& table_;
  train::TrainingPoints training_;
  train::Combinations combinations_;
  Clips clips_;
  Evaluation out_;
};

// ---------------------------------------------------------------------------------------------------------- as text

std::string percent(double value) {
  return std::isnan(value) ? "-" : fmt::format("{:.1f}", 100.0 * value);
}

std::string merit_text(const Merit& merit) {
  return std::isnan(merit.auc) ? "-" : percent(merit.auc) + " / " + percent(merit.pauc);
}

/// In the table "score_" goes without saying.
std::string heading(const std::string& score, const std::string& decided_by) {
  const std::string name = score.starts_with("score_") ? score.substr(6) : score;
  return score == decided_by ? name + " *" : name;
}

std::vector<std::string> merit_cells(const Evaluation& evaluation, const std::map<std::string, Merit>& scores,
                                     std::vector<std::string> cells) {
  for (const std::string& score : evaluation.score_names) {
    cells.push_back(merit_text(scores.at(score)));
  }
  return cells;
}

TextTable merit_table(const Evaluation& evaluation) {
  TextTable table;
  std::vector<std::string> header = {"", "normal", "anomalous"};
  for (const std::string& score : evaluation.score_names) {
    header.push_back(heading(score, evaluation.decided_by));
  }
  table.add(std::move(header));
  return table;
}

void add_group(TextTable& table, const Evaluation& evaluation, const Group& group) {
  table.add(merit_cells(evaluation, group.scores,
                        {group.name, std::to_string(group.normal), std::to_string(group.anomalous)}));
}

/// Single values, domains, machines; nothing if there are none.
std::string groups_text(const Evaluation& evaluation) {
  const auto values = std::count_if(evaluation.groups.begin(), evaluation.groups.end(),
                                    [](const Group& group) { return group.kind == "value"; });
  const bool show_values = values <= static_cast<int64_t>(most_values_shown);
  TextTable table = merit_table(evaluation);
  bool any = false;
  for (const Group& group : evaluation.groups) {
    if (is_overall(group) || (group.kind == "value" && !show_values)) {
      continue;
    }
    add_group(table, evaluation, group);
    any = true;
  }
  std::string text =
      any ? "Group by group, AUC / pAUC in % (read as below; few clips say little)\n\n" + table.text() : "";
  if (!show_values) {
    text += fmt::format("The {} single parameter values are in evaluation.csv (--out).\n", values);
  }
  return text.empty() ? text : text + "\n";
}

std::string scores_text(const Evaluation& evaluation) {
  TextTable table = merit_table(evaluation);
  for (const Group& group : evaluation.groups) {
    if (is_overall(group)) {
      add_group(table, evaluation, group);
    }
  }
  for (const MeanOverValues& mean : evaluation.means) {
    table.add(merit_cells(evaluation, mean.scores, {mean.name, "", ""}));
  }
  return "How well each score tells anomalous from normal clips: AUC / pAUC in %\n"
         "(100: perfectly, 50: not at all; pAUC: where at most 10 % of normal clips raise an alarm; *: what "
         "decides)\n\n" +
         table.text();
}

/// Of an estimate's clips, as the columns of normal and anomalous ones; both together have no column.
template <class Quality>
std::string counts_text(const Quality& quality) {
  return quality.clips == "normal"      ? fmt::format("{},", quality.count)
         : quality.clips == "anomalous" ? fmt::format(",{}", quality.count)
                                        : ",";
}

std::string estimates_text(const Evaluation& evaluation) {
  TextTable table;
  table.add({"", "clips", "mean error", "correlation"});
  bool any = false;
  for (const EstimateQuality& estimate : evaluation.estimates) {
    if (estimate.clips != "normal") {
      continue;
    }
    any = true;
    table.add({estimate.parameter + ", " + estimate.group, std::to_string(estimate.count),
               fmt::format("{:.4g}", estimate.mean_absolute_error),
               std::isnan(estimate.correlation) ? "-" : fmt::format("{:.3f}", estimate.correlation)});
  }
  if (!any) {
    return "";
  }
  return "\nHow well the sound of normal clips tells the parameters (mean error in the parameter's unit)\n\n" +
         table.text();
}

/// A line, or two; empty if no clip is left out of the rows of names.
std::string names_left_out_text(const Evaluation& evaluation) {
  std::string text;
  for (const bool known : {true, false}) {
    std::string names;
    for (const NamesLeftOut& of : evaluation.names_left_out) {
      if (of.known == known) {
        names += fmt::format("{}{} = {} ({} normal, {} anomalous)", names.empty() ? "" : ", ",
                             io::escaped(of.parameter), io::escaped(of.name), of.normal, of.anomalous);
      }
    }
    if (!names.empty()) {
      text += fmt::format(
          "In no row of names, as {}: {}.\n",
          known ? "the name was never trained" : "no estimate has the name (--model tells whether it was trained)",
          names);
    }
  }
  return text;
}

std::string names_text(const Evaluation& evaluation) {
  TextTable table;
  table.add({"", "clips", "right %", "mean probability %", "calibration error %"});
  bool any = false;
  for (const NameQuality& name : evaluation.names) {
    if (name.clips != "normal") {
      continue;
    }
    any = true;
    table.add({name.parameter + ", " + name.group, std::to_string(name.count), percent(name.accuracy),
               percent(name.mean_probability), percent(name.calibration_error)});
  }
  const std::string left_out = names_left_out_text(evaluation);
  if (!any) {
    return left_out.empty() ? "" : "\n" + left_out;
  }
  return "\nHow well the sound of normal clips tells the names (calibration error: how far their probabilities are "
         "from how often they are right)\n\n" +
         table.text() + left_out;
}

std::string decisions_text(const Evaluation& evaluation) {
  TextTable table;
  table.add({"", "false alarms", "missed", "precision %", "recall %", "F1 %"});
  bool any = false;
  for (const Group& group : evaluation.groups) {
    if (!group.decisions || !is_overall(group)) {
      continue;
    }
    any = true;
    const train::DecisionQuality& quality = *group.decisions;
    table.add({group.name, fmt::format("{} of {}", quality.false_positives, group.normal),
               fmt::format("{} of {}", quality.false_negatives, group.anomalous), percent(quality.precision),
               percent(quality.recall), percent(quality.f1)});
  }
  if (!any) {
    return "";
  }
  return "\nWhat the decisions were worth\n\n" + table.text();
}

/// What has no part in the figures, and what counts as seen.
std::string notes_text(const Evaluation& evaluation) {
  std::string text;
  if (!evaluation.seen_rule.empty()) {
    text += io::escaped(evaluation.seen_rule) + "\n";
  }
  if (const size_t count = evaluation.without_score.size(); count > 0) {
    text +=
        fmt::format("Left out, as the score is not finite: {} ({}).\n", count_text(static_cast<int64_t>(count), "clip"),
                    io::escaped(io::first_names(evaluation.without_score, 5)));
  }
  text += without_value_text(evaluation.without_value);
  for (const std::string& outside : evaluation.outside_texts) {
    text += fmt::format("Note: {}.\n", io::escaped(outside));
  }
  if (evaluation.without_estimate > 0) {
    text +=
        fmt::format("{} not finite and left out.\n",
                    evaluation.without_estimate == 1 ? "1 estimate is"
                                                     : fmt::format("{} estimates are", evaluation.without_estimate));
  }
  return text.empty() ? text : "\n" + text;
}

// ------------------------------------------------------------------------------------------------- for programs

nlohmann::json number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

nlohmann::json merits_json(const std::map<std::string, Merit>& scores) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [name, merit] : scores) {
    out[name] = {{"auc", number(merit.auc)}, {"pauc", number(merit.pauc)}};
  }
  return out;
}

std::string csv_row(const std::string& group, const std::string& kind, const std::string& counts,
                    const std::string& measure, const std::string& of, double value) {
  return fmt::format("{},{},{},{},{},{}\n", io::csv_cell(group), kind, counts, measure, io::csv_cell(of),
                     std::isnan(value) ? std::string() : fmt::format("{}", value));
}

}  // namespace

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

std::string without_value_text(const std::vector<std::pair<std::string, int64_t>>& scores) {
  if (scores.empty()) {
    return "";
  }
  std::string text = "Not finite, and so in no figure:";
  for (size_t i = 0; i < scores.size(); ++i) {
    text += fmt::format("{} {} of {}", i == 0 ? "" : ",", io::escaped(scores[i].first),
                        count_text(scores[i].second, "clip"));
  }
  return text + ".\n";
}

std::vector<std::string> outside_calibration_texts(const train::OutsideClips& outside, bool or_unlike) {
  std::vector<std::string> texts;
  const auto clips = [](const std::vector<std::string>& paths) {
    return count_text(static_cast<int64_t>(paths.size()), "clip");
  };
  if (const auto& paths = outside.estimate; !paths.empty()) {
    const bool one = paths.size() == 1;
    texts.push_back(
        fmt::format("{} {} outside of the operating points that were calibrated{}, and {} calibrated scores "
                    "are those of the nearest one: {}",
                    clips(paths), one ? "lies" : "lie",
                    !or_unlike ? ""
                    : one      ? ", or sounds like none of the names"
                               : ", or sound like none of the names",
                    one ? "its" : "their", io::first_names(paths)));
  }
  if (const auto& paths = outside.unlike; !paths.empty()) {
    texts.push_back(fmt::format("{} {} like none of the names that were trained, or like several: {}", clips(paths),
                                paths.size() == 1 ? "sounds" : "sound", io::first_names(paths)));
  }
  for (const train::OutsideClips::Untrained& of : outside.untrained) {
    texts.push_back(
        fmt::format("{} of {} = {}, which was never trained (trained: {}), {} scored as if it were unknown: {}",
                    clips(of.paths), of.parameter, of.name, io::first_names(of.trained, 8),
                    of.paths.size() == 1 ? "is" : "are", io::first_names(of.paths)));
  }
  return texts;
}

std::string to_text(const Evaluation& evaluation) {
  return groups_text(evaluation) + scores_text(evaluation) + estimates_text(evaluation) + names_text(evaluation) +
         decisions_text(evaluation) + notes_text(evaluation);
}

std::string to_csv(const Evaluation& evaluation) {
  std::string out = "group,kind,normal,anomalous,measure,of,value\n";
  const auto merits = [&](const std::string& name, const std::string& kind, const std::string& counts,
                          const std::map<std::string, Merit>& scores) {
    for (const std::string& score : evaluation.score_names) {
      out += csv_row(name, kind, counts, "auc", score, scores.at(score).auc);
      out += csv_row(name, kind, counts, "pauc", score, scores.at(score).pauc);
    }
  };
  for (const Group& group : evaluation.groups) {
    const std::string counts = fmt::format("{},{}", group.normal, group.anomalous);
    merits(group.name, group.kind, counts, group.scores);
    if (!group.decisions) {
      continue;
    }
    const train::DecisionQuality& quality = *group.decisions;
    for (const auto& [measure, value] : {std::pair("precision", quality.precision), std::pair("recall", quality.recall),
                                         std::pair("f1", quality.f1), std::pair("accuracy", quality.accuracy)}) {
      out += csv_row(group.name, group.kind, counts, measure, "decision", value);
    }
  }
  for (const MeanOverValues& mean : evaluation.means) {
    merits(mean.name, "mean", ",", mean.scores);
  }
  for (const EstimateQuality& estimate : evaluation.estimates) {
    const std::string counts = counts_text(estimate);
    const std::string name = estimate.group + ", " + estimate.clips + " clips";
    out +=
        csv_row(name, estimate.group, counts, "mean_absolute_error", estimate.parameter, estimate.mean_absolute_error);
    out += csv_row(name, estimate.group, counts, "correlation", estimate.parameter, estimate.correlation);
  }
  for (const NameQuality& quality : evaluation.names) {
    const std::string name = quality.group + ", " + quality.clips + " clips", counts = counts_text(quality);
    out += csv_row(name, quality.group, counts, "accuracy", quality.parameter, quality.accuracy);
    out += csv_row(name, quality.group, counts, "mean_probability", quality.parameter, quality.mean_probability);
    out += csv_row(name, quality.group, counts, "calibration_error", quality.parameter, quality.calibration_error);
  }
  for (const NamesLeftOut& of : evaluation.names_left_out) {
    out += csv_row("all", "all", fmt::format("{},{}", of.normal, of.anomalous), "clips_of_untrained_name",
                   fmt::format("{} = {}", of.parameter, of.name), static_cast<double>(of.normal + of.anomalous));
  }
  if (!evaluation.without_score.empty()) {
    out += csv_row("all", "all", ",", "clips_without_finite_score", "score",
                   static_cast<double>(evaluation.without_score.size()));
  }
  for (const auto& [score, count] : evaluation.without_value) {
    out += csv_row("all", "all", ",", "clips_without_finite_score", score, static_cast<double>(count));
  }
  if (!evaluation.outside_calibration.empty()) {
    out += csv_row("all", "all", ",", "clips_outside_calibration", "",
                   static_cast<double>(evaluation.outside_calibration.size()));
  }
  return out;
}

std::string to_json(const Evaluation& evaluation) {
  nlohmann::json out;
  out["decided_by"] = evaluation.decided_by;
  out["groups"] = nlohmann::json::array();
  for (const Group& group : evaluation.groups) {
    nlohmann::json entry = {{"name", group.name},
                            {"kind", group.kind},
                            {"normal", group.normal},
                            {"anomalous", group.anomalous},
                            {"scores", merits_json(group.scores)}};
    if (group.decisions) {
      const train::DecisionQuality& quality = *group.decisions;
      entry["decisions"] = {{"true_positives", quality.true_positives},
                            {"false_positives", quality.false_positives},
                            {"true_negatives", quality.true_negatives},
                            {"false_negatives", quality.false_negatives},
                            {"precision", number(quality.precision)},
                            {"recall", number(quality.recall)},
                            {"f1", number(quality.f1)},
                            {"accuracy", quality.accuracy}};
    }
    out["groups"].push_back(std::move(entry));
  }
  out["means"] = nlohmann::json::array();
  for (const MeanOverValues& mean : evaluation.means) {
    out["means"].push_back({{"name", mean.name}, {"values", mean.values}, {"scores", merits_json(mean.scores)}});
  }
  out["estimates"] = nlohmann::json::array();
  for (const EstimateQuality& estimate : evaluation.estimates) {
    out["estimates"].push_back({{"parameter", estimate.parameter},
                                {"group", estimate.group},
                                {"clips", estimate.clips},
                                {"count", estimate.count},
                                {"mean_absolute_error", number(estimate.mean_absolute_error)},
                                {"correlation", number(estimate.correlation)}});
  }
  out["names"] = nlohmann::json::array();
  for (const NameQuality& name : evaluation.names) {
    out["names"].push_back({{"parameter", name.parameter},
                            {"group", name.group},
                            {"clips", name.clips},
                            {"count", name.count},
                            {"accuracy", number(name.accuracy)},
                            {"mean_probability", number(name.mean_probability)},
                            {"calibration_error", number(name.calibration_error)}});
  }
  out["names_left_out"] = nlohmann::json::array();
  for (const NamesLeftOut& of : evaluation.names_left_out) {
    out["names_left_out"].push_back(
        {{"parameter", of.parameter}, {"name", of.name}, {"normal", of.normal}, {"anomalous", of.anomalous}});
  }
  out["seen_rule"] = evaluation.seen_rule;
  out["clips_without_finite_score"] = evaluation.without_score;
  out["clips_outside_calibration"] = evaluation.outside_calibration;
  out["scores_not_finite"] = nlohmann::json::object();
  for (const auto& [score, count] : evaluation.without_value) {
    out["scores_not_finite"][score] = count;
  }
  out["estimates_not_finite"] = evaluation.without_estimate;
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace evenflow::experiments
