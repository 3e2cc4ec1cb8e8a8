#include "experiments/report/comparison.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "experiments/console.h"
#include "experiments/report/evaluation.h"
#include "experiments/report/training_seen.h"
#include "experiments/study/figures.h"
#include "io/error.h"
#include "io/manifest.h"
#include "io/run_folder.h"
#include "io/text.h"
#include "train/statistics/metrics.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

/// Machine and path: what a clip is known by in different tables.
using ClipKey = std::pair<std::string, std::string>;
using ClipsByKey = std::map<ClipKey, const train::ClipScore*>;

/// The labelled test clips of a table.
ClipsByKey labelled_clips(const ComparedRun& run) {
  ClipsByKey clips;
  for (const train::ClipScore& clip : run.scores->clips) {
    if (clip.clip.split != io::Split::test || clip.clip.label < 0) {
      continue;
    }
    const std::string path = clip.clip.path.string();
    if (!clips.emplace(ClipKey{clip.clip.machine, path}, &clip).second) {
      throw io::DataError(
          fmt::format("clip '{}' stands twice in the scores of '{}', and which row to compare cannot "
                      "be told; leave one out",
                      path, run.name));
    }
  }
  return clips;
}

/// Rows of the same clips in all tables.
struct Paired {
  std::vector<int> labels;
  std::vector<std::vector<const train::ClipScore*>> clips;  ///< by table
  int64_t left_out = 0;

  /// Those at these places.
  Paired at(const std::vector<size_t>& places) const {
    Paired out{{}, std::vector<std::vector<const train::ClipScore*>>(clips.size()), 0};
    for (const size_t place : places) {
      out.labels.push_back(labels[place]);
      for (size_t t = 0; t < clips.size(); ++t) {
        out.clips[t].push_back(clips[t][place]);
      }
    }
    return out;
  }
};

class Pairing {
 public:
  /// `columns`: the score's place in each table; none: the one that decides.
  Pairing(const std::vector<const ComparedRun*>& runs, const std::vector<std::optional<size_t>>& columns)
      : runs_(runs), columns_(columns) {
    for (const ComparedRun* run : runs) {
      tables_.push_back(labelled_clips(*run));
    }
  }

  /// The first clip that one table has and another lacks ends in io::DataError.
  void require_the_same_clips() const {
    for (size_t t = 1; t < tables_.size(); ++t) {
      require_all_of(0, t);
      require_all_of(t, 0);
    }
  }

  Paired pair() {
    paired_.clips.resize(runs_.size());
    std::set<ClipKey> all;
    for (const auto& table : tables_) {
      for (const auto& [key, clip] : table) {
        all.insert(key);
      }
    }
    for (const auto& [key, clip] : tables_.front()) {
      if (const std::vector<const train::ClipScore*> same = same_clip(key); !same.empty()) {
        paired_.labels.push_back(clip->clip.label);
        for (size_t t = 0; t < same.size(); ++t) {
          paired_.clips[t].push_back(same[t]);
        }
      }
    }
    paired_.left_out = static_cast<int64_t>(all.size() - paired_.labels.size());
    return std::move(paired_);
  }

  double value(size_t table, const train::ClipScore& clip) const {
    return columns_[table] ? clip.scores[*columns_[table]] : clip.score;
  }

 private:
  void require_all_of(size_t from, size_t in) const {
    std::vector<const ClipKey*> missing;
    bool any = false;
    for (const auto& [key, clip] : tables_[from]) {
      const bool there = tables_[in].contains(key);
      any = any || there;
      if (!there) {
        missing.push_back(&key);
      }
    }
    if (missing.empty() || !any) {  // nothing in common has a sentence of its own
      return;
    }
    throw io::DataError(
        fmt::format("'{}' has {} that '{}' lacks, the first '{}'; score the same inputs, or add --common to compare on "
                    "the clips that all have",
                    runs_[from]->name, count_text(static_cast<int64_t>(missing.size()), "labelled test clip"),
                    runs_[in]->name, missing.front()->second));
  }

  /// The clip in every table; empty if one lacks it or its score.
  std::vector<const train::ClipScore*> same_clip(const ClipKey& key) const {
    std::vector<const train::ClipScore*> same;
    for (size_t t = 0; t < tables_.size(); ++t) {
      const auto found = tables_[t].find(key);
      if (found == tables_[t].end() || !std::isfinite(value(t, *found->second))) {
        return {};
      }
      same.push_back(found->second);
      if (same.back()->clip.label != same.front()->clip.label) {
        throw io::DataError(fmt::format("clip '{}' is {} in '{}' and {} in '{}'; score it with one label", key.second,
                                        label_name(same.front()), runs_.front()->name, label_name(same.back()),
                                        runs_[t]->name));
      }
      require_one_operating_point(*same.front(), *same.back(), t);
    }
    return same;
  }

  /// Of a clip of the first table and one of table `t`.
  void require_one_operating_point(const train::ClipScore& first, const train::ClipScore& other, size_t t) const {
    const train::ScoreTable &a = *runs_.front()->scores, &b = *runs_[t]->scores;
    for (size_t p = 0; p < a.parameter_names.size(); ++p) {
      const auto found = std::find(b.parameter_names.begin(), b.parameter_names.end(), a.parameter_names[p]);
      if (found == b.parameter_names.end()) {
        continue;
      }
      const auto q = static_cast<size_t>(found - b.parameter_names.begin());
      const double in_a = first.clip.parameter[p], in_b = other.clip.parameter[q];
      if (std::isnan(in_a) || std::isnan(in_b)) {
        continue;
      }
      const std::string text_a = io::value_text(in_a, io::categories_of(a.categories, p));
      const std::string text_b = io::value_text(in_b, io::categories_of(b.categories, q));
      if (text_a != text_b) {
        throw io::DataError(fmt::format(
            "clip '{}' has {} {} in '{}' and {} in '{}', so that they are not the same recording; score the "
            "same inputs",
            first.clip.path.string(), *found, text_a, runs_.front()->name, text_b, runs_[t]->name));
      }
    }
  }

  static const char* label_name(const train::ClipScore* clip) { return clip->clip.label == 1 ? "anomalous" : "normal"; }

  std::vector<const ComparedRun*> runs_;
  std::vector<std::optional<size_t>> columns_;
  std::vector<ClipsByKey> tables_;
  Paired paired_;
};

/// Of clips with finite scores.
std::string deciding_score(const std::vector<const train::ClipScore*>& clips, const std::vector<std::string>& names) {
  std::vector<train::ClipScore> rows;
  std::transform(clips.begin(), clips.end(), std::back_inserter(rows),
                 [](const train::ClipScore* clip) { return *clip; });
  return decided_by(rows, names);
}

void count_decisions(const std::vector<const train::ClipScore*>& clips, const ComparedGroup& group, double confidence,
                     DetectionFigures& figures) {
  if (std::any_of(clips.begin(), clips.end(), [](const train::ClipScore* clip) { return clip->decision < 0; })) {
    return;
  }
  for (const train::ClipScore* clip : clips) {
    (clip->clip.label == 1 ? figures.found : figures.false_alarms) += clip->decision;
  }
  figures.false_alarm_share = train::share_interval(figures.false_alarms, group.normal, confidence);
  figures.found_share = train::share_interval(figures.found, group.anomalous, confidence);
}

void require_both_classes(const Paired& paired) {
  const auto anomalous = std::count(paired.labels.begin(), paired.labels.end(), 1);
  if (paired.labels.empty()) {
    throw io::DataError(
        "the runs have no labelled test clip with a finite score in common; score the same inputs, or give --on SHARD");
  }
  if (anomalous == 0 || anomalous == static_cast<int64_t>(paired.labels.size())) {
    throw io::DataError(fmt::format("the test clips in common are all {}; an AUC takes normal and anomalous ones",
                                    anomalous == 0 ? "normal" : "anomalous"));
  }
}

/// The runs that have scores.
struct ScoredRuns {
  std::vector<const ComparedRun*> runs;
  std::vector<std::optional<size_t>> columns;
  std::vector<size_t> places;  ///< among all runs
};

ScoredRuns scored_runs(const Comparison& comparison, const std::string& score) {
  ScoredRuns scored;
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    const ComparedRun& run = comparison.runs[i];
    if (run.scores) {
      scored.runs.push_back(&run);
      scored.places.push_back(i);
      scored.columns.push_back(score.empty() ? std::nullopt : std::optional(run.scores->column(score)));
    }
  }
  return scored;
}

ComparedGroup group_of(const std::string& kind, const Paired& paired, const Pairing& pairing, const ScoredRuns& scored,
                       const std::vector<std::string>& deciding, const CompareOptions& options, size_t all_runs) {
  ComparedGroup group{kind};
  group.anomalous = std::count(paired.labels.begin(), paired.labels.end(), 1);
  group.normal = static_cast<int64_t>(paired.labels.size()) - group.anomalous;
  group.detection.resize(all_runs);
  train::BootstrapSettings partial = options.bootstrap;
  partial.max_fpr = 0.1;
  train::RunScores first;
  for (size_t t = 0; t < scored.runs.size(); ++t) {
    train::RunScores values(1);
    std::transform(paired.clips[t].begin(), paired.clips[t].end(), std::back_inserter(values.front()),
                   [&](const train::ClipScore* clip) { return pairing.value(t, *clip); });
    DetectionFigures figures{.score = options.score.empty() ? deciding[t] : options.score,
                             .auc = train::auc_interval(values, paired.labels, options.bootstrap),
                             .pauc = train::auc_interval(values, paired.labels, partial)};
    if (t == 0) {
      first = values;
    } else {
      figures.auc_difference = train::auc_difference(values, first, paired.labels, options.bootstrap);
      figures.pauc_difference = train::auc_difference(values, first, paired.labels, partial);
      figures.delong =
          train::delong_difference(values.front(), first.front(), paired.labels, options.bootstrap.confidence);
    }
    if (figures.score == deciding[t]) {
      count_decisions(paired.clips[t], group, options.bootstrap.confidence, figures);
    }
    group.detection[scored.places[t]] = std::move(figures);
  }
  return group;
}

/// Which clips of all were recorded at operating points of the trainings.
struct SeenPlaces {
  std::vector<size_t> seen, unseen;
  int64_t by_some = 0, unknown = 0;  ///< seen by some and not by others; of unknown value
};

SeenPlaces places_of(const Paired& paired, const std::vector<const ComparedRun*>& runs) {
  std::vector<train::TrainingPoints> points;
  points.reserve(runs.size());
  for (const ComparedRun* run : runs) {
    points.push_back(training_points(*run->scores, run->training));
  }
  SeenPlaces out;
  for (size_t i = 0; i < paired.labels.size(); ++i) {
    bool seen = false, unseen = false;
    for (size_t t = 0; t < runs.size(); ++t) {
      const train::Familiarity familiarity =
          train::familiarity(paired.clips[t][i]->clip.parameter, runs[t]->scores->parameter_names, points[t]);
      seen = seen || familiarity == train::Familiarity::seen;
      unseen = unseen || familiarity == train::Familiarity::unseen;
    }
    if (seen && unseen) {
      ++out.by_some;
    } else if (seen || unseen) {
      (seen ? out.seen : out.unseen).push_back(i);
    } else {
      ++out.unknown;
    }
  }
  return out;
}

/// What counts as seen, once for all runs that say the same.
void add_rules(const std::vector<const ComparedRun*>& runs, Comparison& comparison) {
  std::map<std::string, std::vector<std::string>> names;
  for (const ComparedRun* run : runs) {
    train::TrainingPoints points = training_points(*run->scores, run->training);
    std::vector<std::string> known = run->scores->parameter_names;
    std::erase_if(known, [&](const std::string& name) { return !points.contains(name) || points.at(name).empty(); });
    if (!known.empty()) {
      names[seen_rule(known, points)].push_back(run->name);
    }
  }
  for (const auto& [rule, of_it] : names) {
    comparison.notes.push_back(names.size() == 1 ? rule : fmt::format("{}: {}", io::first_names(of_it), rule));
  }
}

void add_groups(const Paired& paired, const Pairing& pairing, const ScoredRuns& scored, const CompareOptions& options,
                Comparison& comparison) {
  std::vector<std::string> deciding;
  for (size_t t = 0; t < scored.runs.size(); ++t) {
    deciding.push_back(deciding_score(paired.clips[t], scored.runs[t]->scores->score_names));
  }
  const auto add = [&](const std::string& kind, const Paired& of) {
    comparison.groups.push_back(group_of(kind, of, pairing, scored, deciding, options, comparison.runs.size()));
  };
  add("all", paired);
  const SeenPlaces places = places_of(paired, scored.runs);
  if (places.unseen.empty() && places.by_some == 0) {
    return;
  }
  add_rules(scored.runs, comparison);
  for (const auto& [kind, of] : {std::pair("seen", &places.seen), std::pair("unseen", &places.unseen)}) {
    const Paired clips = paired.at(*of);
    const auto anomalous = std::count(clips.labels.begin(), clips.labels.end(), 1);
    if (clips.labels.empty()) {
      continue;
    }
    if (anomalous == 0 || anomalous == static_cast<int64_t>(clips.labels.size())) {
      comparison.notes.push_back(fmt::format("At {} operating points all clips ({}) are {}, and there is no AUC.", kind,
                                             clips.labels.size(), anomalous == 0 ? "normal" : "anomalous"));
      continue;
    }
    add(kind, clips);
  }
  if (places.by_some > 0) {
    comparison.notes.push_back(
        fmt::format("Neither seen nor unseen, as some trainings have the operating point and others do not: {}.",
                    count_text(places.by_some, "clip")));
  }
  if (places.unknown > 0) {
    comparison.notes.push_back(fmt::format("Neither seen nor unseen, as the operating point is not known: {}.",
                                           count_text(places.unknown, "clip")));
  }
}

void add_detection(Comparison& comparison, const CompareOptions& options) {
  const ScoredRuns scored = scored_runs(comparison, options.score);
  if (scored.runs.empty()) {
    return;
  }
  Pairing pairing(scored.runs, scored.columns);
  if (!options.common_only) {
    pairing.require_the_same_clips();
  }
  const Paired paired = pairing.pair();
  comparison.left_out = paired.left_out;
  require_both_classes(paired);
  add_groups(paired, pairing, scored, options, comparison);
}

std::vector<SettingRow> settings_that_differ(const std::vector<ComparedRun>& runs) {
  std::vector<SettingRow> rows;
  for (const io::ConfigKey& key : io::config_keys()) {
    SettingRow row{key.name, {}};
    std::set<std::string> distinct;
    for (const ComparedRun& run : runs) {
      row.values.push_back(run.config ? std::optional(key.get(*run.config)) : std::nullopt);
      if (row.values.back()) {
        distinct.insert(*row.values.back());
      }
    }
    if (distinct.size() > 1) {
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

/// A sentence if what `of` gives is not the same for all models.
template <class Of>
void warn_of_differing(const std::vector<ComparedRun>& runs, const std::string& sentence, const Of& of,
                       std::vector<std::string>& warnings) {
  std::map<std::string, std::vector<std::string>> names;
  for (const ComparedRun& run : runs) {
    if (run.provenance) {
      names[of(*run.provenance)].push_back(run.name);
    }
  }
  if (names.size() < 2) {
    return;
  }
  std::string text = sentence;
  for (const auto& [value, of_it] : names) {
    text += fmt::format("{} {} ({})", text == sentence ? ":" : ",", io::first_names(of_it), value);
  }
  warnings.push_back(text);
}

}  // namespace

ComparedRun read_run(const fs::path& path) {
  const io::RunFolder run = io::RunFolder::open(path);
  ComparedRun out{.name = path.string(), .config = io::read_config(run.config())};
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  TrainingEnd end{.training_loss = none, .held_out_loss = none, .least_held_out_loss = none};
  if (fs::exists(run.metrics())) {
    for (const std::vector<double>& row : learning_curve(path)) {
      end.epochs = static_cast<int64_t>(row[0]);
      end.training_loss = row[1];
      end.held_out_loss = row[2];
      end.least_held_out_loss = std::fmin(end.least_held_out_loss, row[2]);
    }
  }
  out.end = end;
  if (fs::exists(run.model())) {
    const io::ModelData model = io::read_model(run.model());
    out.provenance = model.provenance;
    out.condition = model.condition;
  }
  return out;
}

Comparison compare(std::vector<ComparedRun> runs, const CompareOptions& options) {
  Comparison comparison;
  comparison.runs = std::move(runs);
  comparison.settings = settings_that_differ(comparison.runs);
  add_detection(comparison, options);
  using io::Provenance;
  warn_of_differing(
      comparison.runs, "the runs were trained on different data", [](const Provenance& p) { return p.data_hash; },
      comparison.warnings);
  warn_of_differing(
      comparison.runs, "the runs were trained by different versions of evenflow",
      [](const Provenance& p) { return p.version + ", " + p.commit; }, comparison.warnings);
  warn_of_differing(
      comparison.runs, "the runs were trained on different machines",
      [](const Provenance& p) { return fmt::format("{}", fmt::join(p.machines, ", ")); }, comparison.warnings);
  return comparison;
}

}  // namespace evenflow::experiments
