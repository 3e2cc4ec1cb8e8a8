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
#include "experiments/study/figures.h"
#include "io/error.h"
#include "io/run_folder.h"
#include "io/text.h"
#include "train/statistics/metrics.h"

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
};

class Pairing {
 public:
  /// `column`: the score's place in each table; none: the one that decides.
  Pairing(const std::vector<const ComparedRun*>& runs, const std::vector<std::optional<size_t>>& columns)
      : runs_(runs), columns_(columns) {
    for (const ComparedRun* run : runs) {
      tables_.push_back(labelled_clips(*run));
    }
  }

  Paired pair() {
    paired_.clips.resize(runs_.size());
    for (const auto& [key, clip] : tables_.front()) {
      if (const std::vector<const train::ClipScore*> same = same_clip(key); !same.empty()) {
        paired_.labels.push_back(clip->clip.label);
        for (size_t t = 0; t < same.size(); ++t) {
          paired_.clips[t].push_back(same[t]);
        }
      } else {
        ++paired_.left_out;
      }
    }
    return std::move(paired_);
  }

  double value(size_t table, const train::ClipScore& clip) const {
    return columns_[table] ? clip.scores[*columns_[table]] : clip.score;
  }

 private:
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
    }
    return same;
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

void count_decisions(const std::vector<const train::ClipScore*>& clips, const Comparison& comparison, double confidence,
                     DetectionFigures& figures) {
  if (std::any_of(clips.begin(), clips.end(), [](const train::ClipScore* clip) { return clip->decision < 0; })) {
    return;
  }
  for (const train::ClipScore* clip : clips) {
    (clip->clip.label == 1 ? figures.found : figures.false_alarms) += clip->decision;
  }
  figures.false_alarm_share = train::share_interval(figures.false_alarms, comparison.normal, confidence);
  figures.found_share = train::share_interval(figures.found, comparison.anomalous, confidence);
}

void require_both_classes(const Comparison& comparison) {
  if (comparison.normal + comparison.anomalous == 0) {
    throw io::DataError(
        "the runs have no labelled test clip with a finite score in common; score the same inputs, or give --on SHARD");
  }
  if (comparison.normal == 0 || comparison.anomalous == 0) {
    throw io::DataError(fmt::format("the test clips in common are all {}; an AUC takes normal and anomalous ones",
                                    comparison.normal == 0 ? "anomalous" : "normal"));
  }
}

void add_detection(Comparison& comparison, const std::string& score, const train::BootstrapSettings& bootstrap) {
  comparison.detection.resize(comparison.runs.size());
  std::vector<const ComparedRun*> scored;
  std::vector<std::optional<size_t>> columns;
  std::vector<size_t> places;
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    const ComparedRun& run = comparison.runs[i];
    if (run.scores) {
      scored.push_back(&run);
      places.push_back(i);
      columns.push_back(score.empty() ? std::nullopt : std::optional(run.scores->column(score)));
    }
  }
  if (scored.empty()) {
    return;
  }
  Pairing pairing(scored, columns);
  const Paired paired = pairing.pair();
  comparison.left_out = paired.left_out;
  comparison.anomalous = std::count(paired.labels.begin(), paired.labels.end(), 1);
  comparison.normal = static_cast<int64_t>(paired.labels.size()) - comparison.anomalous;
  require_both_classes(comparison);
  train::BootstrapSettings partial = bootstrap;
  partial.max_fpr = 0.1;
  train::RunScores first;
  for (size_t t = 0; t < scored.size(); ++t) {
    train::RunScores values(1);
    std::transform(paired.clips[t].begin(), paired.clips[t].end(), std::back_inserter(values.front()),
                   [&](const train::ClipScore* clip) { return pairing.value(t, *clip); });
    const std::string deciding = deciding_score(paired.clips[t], scored[t]->scores->score_names);
    DetectionFigures figures{.score = score.empty() ? deciding : score,
                             .auc = train::auc_interval(values, paired.labels, bootstrap),
                             .pauc = train::auc_interval(values, paired.labels, partial)};
    if (t == 0) {
      first = values;
    } else {
      figures.auc_difference = train::auc_difference(values, first, paired.labels, bootstrap);
      figures.pauc_difference = train::auc_difference(values, first, paired.labels, partial);
    }
    if (figures.score == deciding) {
      count_decisions(paired.clips[t], comparison, bootstrap.confidence, figures);
    }
    comparison.detection[places[t]] = std::move(figures);
  }
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
    out.provenance = io::read_model(run.model()).provenance;
  }
  return out;
}

Comparison compare(std::vector<ComparedRun> runs, const std::string& score, const train::BootstrapSettings& bootstrap) {
  Comparison comparison;
  comparison.runs = std::move(runs);
  comparison.settings = settings_that_differ(comparison.runs);
  add_detection(comparison, score, bootstrap);
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
