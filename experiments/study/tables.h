// What a study's scores say: areas under the ROC curve with intervals, differences, estimates of the parameter.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "experiments/study/alarms.h"
#include "experiments/study/evidence.h"
#include "experiments/study/study.h"
#include "train/statistics/intervals.h"

namespace evenflow::experiments {

/// One system, one score, one group of test clips (groups.h): "all", "seen", "unseen" or "velocity_mm_s = 300".
struct AucRow {
  std::string system, score, group;
  int64_t normal = 0, anomalous = 0;  ///< clips
  train::Interval over_seeds;         ///< mean of the seeds' AUC, Student's t, cut at 0 and 1
  train::Interval over_clips;         ///< the same mean, bootstrap of clips and seeds
};

/// AUC of one system's score less that of another's, the same clips and seeds (paired bootstrap).
struct DifferenceRow {
  std::string system, score, against_system, against_score, group;
  train::Interval difference;
};

/// The parameter as the normal test clips' zd tells it, mean over the seeds with Student's t.
struct EstimateRow {
  std::string system, group;  ///< "all", "seen", "unseen"
  int64_t clips = 0;
  train::Interval correlation, mean_absolute_error;
  /// After a straight line through the mean estimates of the training clips at the lowest and the highest value.
  train::Interval calibrated_error;
};

/// Why a system's scores do what they do.
struct CauseRows {
  std::string system;
  std::vector<EvidenceRow> of_scores;
};

struct StudyTables {
  std::vector<AucRow> auc;
  std::vector<DifferenceRow> differences;  ///< each constrained flow's scores against its conventional one's nll
  std::vector<EstimateRow> estimates;
  std::vector<AlarmRow> alarms;
  std::vector<ChallengeRow> challenge;
  std::vector<CauseRows> causes;
  std::vector<std::string> without_score;  ///< runs with test clips whose score is not finite: which, and how many
};

StudyTables study_tables(const Study& study, const train::BootstrapSettings& bootstrap = {});

/// The row of that system, score and group, or null.
const AucRow* find_auc(const StudyTables& tables, const std::string& system, const std::string& score,
                       const std::string& group);
const DifferenceRow* find_difference(const StudyTables& tables, const std::string& system, const std::string& score,
                                     const std::string& group);
const AlarmRow* find_alarms(const StudyTables& tables, const std::string& system, const std::string& score,
                            const std::string& group);
const EstimateRow* find_estimate(const StudyTables& tables, const std::string& system, const std::string& group);

/// Names of the files that write_tables makes.
const std::vector<std::string>& study_table_files();
/// In `folder`; AUC and shares from 0 to 1.
void write_tables(const StudyTables& tables, const std::filesystem::path& folder);
/// "0.967 ± 0.005": half of the interval; one that was cut at a bound as "0.992 (0.961 to 1.000)"; without seeds to
/// compare the value alone.
std::string with_half_width(const train::Interval& interval, int decimals);
/// "81.2 ± 1.3" in per cent, or without seeds to compare "81.2".
std::string per_cent(const train::Interval& interval);
/// For the terminal, AUC in per cent.
std::string to_text(const StudyTables& tables, const Study& study);

}  // namespace evenflow::experiments
