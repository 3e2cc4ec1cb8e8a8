// How good scores, estimates and decisions are, group by group, and as what a person or a program reads.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/detect/score.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {

/// Distinct values that a model was trained on, by parameter name; of a category codes of the names that the table in
/// question has.
using TrainingValues = std::map<std::string, std::vector<double>>;
/// Of each training clip the values of the table's parameters; empty where the clips are not known.
using TrainingRows = std::vector<std::vector<double>>;

struct Merit {
  double auc = 0, pauc = 0;  ///< NaN: one class only, or clips without this score
};

/// Clips that are looked at together.
struct Group {
  /// "all", "seen", "unseen", "seen combination", "unseen combination", "value", "domain", "machine", "section"
  std::string kind;
  std::string name;  ///< "velocity_mm_s = 300", "domain source"
  std::vector<size_t> rows;
  int64_t normal = 0, anomalous = 0;
  std::map<std::string, Merit> scores;
  std::optional<train::DecisionQuality> decisions;  ///< none without decisions
  bool is_overall() const;                          ///< "all", or seen or unseen: it has rows of estimates
};

/// Means over a parameter's values that have both classes; merits as in a group.
struct MeanOverValues {
  std::string name;  ///< "mean over velocity_mm_s, unseen"
  int64_t values = 0;
  std::map<std::string, Merit> scores;
};

struct EstimateQuality {
  std::string parameter;
  std::string group;  ///< as NameQuality's
  std::string clips;  ///< "normal", "anomalous", "both"
  int64_t count = 0;
  double mean_absolute_error = 0, correlation = 0;
};

/// Of a parameter whose values are names: how often the estimate is the clip's own, and what its probability is worth.
struct NameQuality {
  std::string parameter;
  std::string group;  ///< "all", "seen", "unseen", "seen combination", "unseen combination"
  std::string clips;  ///< "normal", "anomalous", "both"
  int64_t count = 0;  ///< clips whose name is known and was trained; NamesLeftOut tells the others
  double accuracy = 0, mean_probability = 0;
  double calibration_error = 0;  ///< train::expected_calibration_error
};

/// Clips of a name that was never trained, and so of no estimate: in no NameQuality.
struct NamesLeftOut {
  std::string parameter, name;
  int64_t normal = 0, anomalous = 0;
  bool known = true;  ///< false: nothing says what was trained, and it is a name that no estimate has
};

struct Evaluation {
  std::vector<std::string> score_names;  ///< in the order of columns
  std::string decided_by;                ///< the score `score` is
  std::vector<Group> groups;
  std::vector<MeanOverValues> means;
  std::vector<EstimateQuality> estimates;
  std::vector<NameQuality> names;
  std::vector<NamesLeftOut> names_left_out;
  std::string seen_rule;                   ///< what counts as seen, a sentence; empty without training values
  std::vector<std::string> without_score;  ///< paths of labelled clips whose score is not finite; in no group
  /// How many of the clips in the groups lack a finite value of another score (train::without_value).
  std::vector<std::pair<std::string, int64_t>> without_value = {};
  std::vector<std::string> outside_calibration = {};  ///< paths of those of them that train::outside_calibration finds
  std::vector<std::string> outside_texts = {};        ///< outside_calibration_texts of these
  int64_t without_estimate = 0;  ///< clips in the groups with a known value whose estimate is not finite
};

/// The named score that `score` repeats; "score" if there is none (files of different models taken together).
std::string decided_by(const std::vector<train::ClipScore>& clips, const std::vector<std::string>& names);

/// Labelled clips with a finite score only. A clip counts as seen or unseen by train/statistics/seen.h; one of unknown
/// value as neither. Where training clips are known and some clip combines seen values that none of them does, so do
/// combinations. io::DataError naming the group if all clips together are of one class.
Evaluation evaluate(const train::ScoreTable& table, const TrainingValues& training, const TrainingRows& rows = {});

/// For the terminal: tables with a sentence on how to read them.
std::string to_text(const Evaluation& evaluation);
/// group,kind,normal,anomalous,measure,of,value; a row per figure, NaN an empty cell.
std::string to_csv(const Evaluation& evaluation);
/// The same as one JSON object; NaN is null.
std::string to_json(const Evaluation& evaluation);

}  // namespace evenflow::experiments
