// A study in which every value of the parameter is unseen once (folds.h), with simple detectors beside the flows.
//
// FOLDER/manifest.csv says what it is of; FOLDER/without_VALUE/ is the study of a fold.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "experiments/study/study.h"
#include "train/statistics/intervals.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {

/// Of every fold: the paper's four flows over the settings of `base`; the multi-scale constrained one with additive
/// couplings, augmented, and both, as far as `base` is not so already; and detectors on clip statistics. Augmented as
/// usual_augmentation says, where `speed` (the parameter's name, or empty) and `values` let it.
std::vector<System> leave_out_systems(const io::Config& base, const std::vector<double>& values,
                                      const std::string& speed);

struct FoldStudy {
  train::OperatingPoint value;  ///< that was left out
  Study study;
};

struct LeaveOut {
  std::string parameter;
  train::OperatingPoints points;  ///< of all clips
  std::vector<FoldStudy> folds;
  bool interrupted = false;  ///< then without some of the folds
};

/// Runs what is not done yet. `systems` and `recordings` of the options are its own. Errors as make_folds' and
/// run_study's; io::UsageError: a base that leaves values out itself.
LeaveOut run_leave_out(const StudyOptions& options, const io::Config& base);

/// Of one system by one score in one fold: means over the seeds, from 0 to 1. NaN: it has none, for want of clips or of
/// a finite score or threshold.
struct FoldRow {
  std::string left_out, system, score;
  int64_t normal = 0, anomalous = 0;   ///< test clips of the value left out
  double auc_unseen = 0;               ///< of the clips of the value left out
  double auc_seen = 0;                 ///< of those of the values trained on
  double auc_all = 0;                  ///< of all test clips
  double false_alarms = 0, found = 0;  ///< at the value left out, at a threshold as that of alarms()
};

/// One figure of one system by one score, over the folds that have it.
struct OverFolds {
  std::string system, score, figure;  ///< "auc_unseen", ..., as the members of FoldRow
  int64_t folds = 0;
  train::Interval mean;  ///< with Student's t over the folds
  /// Of the detectors on clip statistics the one with the highest mean of this figure, if it is an AUC and not its own.
  std::string against_system = {}, against_score = {};
  train::Interval difference = {};  ///< from it, fold by fold
};

struct LeaveOutTables {
  std::vector<FoldRow> folds;
  std::vector<OverFolds> over_folds;
};
LeaveOutTables leave_out_tables(const LeaveOut& study);

/// leave_out.csv, leave_out_folds.csv
const std::vector<std::string>& leave_out_files();
void write_tables(const LeaveOutTables& tables, const std::filesystem::path& folder);
/// For the terminal, in per cent.
std::string to_text(const LeaveOutTables& tables, const LeaveOut& study);

}  // namespace evenflow::experiments
