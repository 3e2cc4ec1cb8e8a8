// Trainings side by side: where their settings differ, how far they came, and how well they detect on the same clips.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/report/evaluation.h"
#include "io/config.h"
#include "io/model_file.h"
#include "train/detect/score_table.h"
#include "train/statistics/delong.h"
#include "train/statistics/intervals.h"

namespace evenflow::experiments {

/// How far a training came. Losses in nats per dimension, NaN: none was held out, or no epoch is finished.
struct TrainingEnd {
  int64_t epochs = 0;
  double training_loss = 0, held_out_loss = 0;  ///< of the last epoch
  double least_held_out_loss = 0;
};

/// What is compared: a run, a table of scores, or a run with its scores.
struct ComparedRun {
  std::string name;                                 ///< as it was given
  std::optional<io::Config> config = {};            ///< none: a table of scores
  std::optional<TrainingEnd> end = {};              ///< none: a table of scores
  std::optional<io::Provenance> provenance = {};    ///< of its model; none: there is no model yet, or a table of scores
  std::optional<io::ConditionData> condition = {};  ///< of its model
  std::optional<train::ScoreTable> scores = {};     ///< none: it is not compared by scores
  TrainingValues training = {};                     ///< what it was trained at, in the names and codes of `scores`
};

/// A run folder's configuration, losses and provenance. io::DataError: not a run, a file of it that cannot be read.
ComparedRun read_run(const std::filesystem::path& run);

/// A setting that is not the same in all runs. `values`: by run, as TOML has them; none of a table of scores.
struct SettingRow {
  std::string key;
  std::vector<std::optional<std::string>> values;
};

/// How well one run's scores detect, in the clips of a group. Intervals hold the figure with the confidence of the
/// bootstrap, in which clips are drawn anew within their label; the differences are to the first run, on the same
/// draws. `delong` is the same of the AUC by a formula, with the test of whether there is a difference.
struct DetectionFigures {
  std::string score;          ///< by which
  train::Interval auc, pauc;  ///< pAUC: up to 10 % false alarms (metrics.h)
  std::optional<train::Interval> auc_difference = {}, pauc_difference = {};  ///< none of the first run
  std::optional<train::DifferenceTest> delong = {};                          ///< none of the first run
  int64_t false_alarms = 0, found = 0;                                       ///< clips that were decided anomalous
  /// Shares of the normal and of the anomalous clips, with exact intervals; none where a clip has no decision, or
  /// another score was asked for than the one that decided.
  std::optional<train::Interval> false_alarm_share = {}, found_share = {};
};

/// Clips that are looked at together, normal and anomalous ones.
struct ComparedGroup {
  /// "all"; "seen": at operating points that the trainings have, by all that tell theirs (train/statistics/seen.h);
  /// "unseen": at such that none of these has
  std::string kind;
  int64_t normal = 0, anomalous = 0;
  std::vector<std::optional<DetectionFigures>> detection = {};  ///< by run; none without scores
};

struct Comparison {
  std::vector<ComparedRun> runs;
  std::vector<SettingRow> settings;
  /// The first is "all": labelled test clips that all runs with scores have, with finite scores. Seen and unseen ones
  /// follow where some are unseen. Empty without scores.
  std::vector<ComparedGroup> groups;
  int64_t left_out = 0;               ///< labelled test clips that not all runs have, or have a finite score of
  std::vector<std::string> notes;     ///< what counts as seen, and what is in neither group; a sentence each
  std::vector<std::string> warnings;  ///< a sentence each on what makes them hard to compare
};

struct CompareOptions {
  std::string score = {};    ///< by which the runs are compared; empty: each by the one that decides
  bool common_only = false;  ///< compare on the clips that all have, where not all have the same
  train::BootstrapSettings bootstrap = {};
};

/// io::DataError: a clip that a table has twice, that another lacks (unless common_only), or that two label differently
/// or place at different operating points; no clips in common, clips of one class only, a score that a table lacks.
Comparison compare(std::vector<ComparedRun> runs, const CompareOptions& options = {});

/// For the terminal.
std::string to_text(const Comparison& comparison);
/// part,name,run,value,low,high: a row per run and figure; what is unknown is an empty cell.
std::string to_csv(const Comparison& comparison);
/// One JSON object; NaN and what is unknown are null.
std::string to_json(const Comparison& comparison);
/// One self-contained HTML page.
std::string to_page(const Comparison& comparison);

}  // namespace evenflow::experiments
