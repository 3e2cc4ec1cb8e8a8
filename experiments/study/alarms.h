// What an operator sees of a system: alarms at one threshold for all values of the parameter. It is set on the normal
// training clips, as `train` does, and so are the challenge's figures of merit beside it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "experiments/study/groups.h"
#include "experiments/study/study.h"
#include "train/statistics/intervals.h"

namespace evenflow::experiments {

/// The threshold of each run that a share `false_alarms` of normal clips is meant to exceed; none if a run has none.
std::optional<std::vector<double>> alarm_thresholds(const SystemScores& system, const std::string& score,
                                                    double false_alarms);
/// The share of a group's clips of one label that lie above each run's threshold; NaN without such clips.
std::vector<double> shares_above(const train::RunScores& runs, const std::vector<double>& thresholds,
                                 const ClipGroup& group, int label);

/// One system decided by one score, in one group of test clips (groups.h). Shares from 0 to 1, means over the seeds
/// with Student's t, cut at 0 and 1.
struct AlarmRow {
  std::string system, score, group;
  int64_t normal = 0, anomalous = 0;  ///< clips
  train::Interval false_alarms;       ///< of the normal clips
  train::Interval found;              ///< of the anomalous ones
};
/// At thresholds that a share `false_alarms` of normal clips is meant to exceed. A score without a finite value, or
/// without a threshold in one of the runs, has no rows.
std::vector<AlarmRow> alarms(const Study& study, double false_alarms = 0.05);

/// DCASE's figures (Task 2, 2022 and later), the seen values being the source domain and the unseen ones the target:
/// the AUC of a domain's normal clips against all anomalous ones, pAUC (up to 10 %) over all, and their harmonic mean.
struct ChallengeRow {
  std::string system, score;
  train::Interval source_auc, target_auc, partial_auc, harmonic_mean;
};
/// No rows where one of the sides has no normal clip, nor of a score without a finite value.
std::vector<ChallengeRow> challenge_figures(const Study& study);

/// alarms.csv and challenge.csv in `folder`.
void write_alarms(const std::vector<AlarmRow>& alarms, const std::vector<ChallengeRow>& challenge,
                  const std::filesystem::path& folder);

}  // namespace evenflow::experiments
