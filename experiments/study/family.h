// The same systems on many rails (rail.h): where on the family does what pay, and which rail is most like the paper's?
//
// FOLDER/RAIL/ holds a rail's recordings (rail/) and its study, which is gone on with where it was stopped.
#pragma once

#include <array>
#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "experiments/rail/synth.h"
#include "experiments/study/study.h"

namespace evenflow::experiments {

struct FamilyOptions {
  std::filesystem::path folder;
  SynthOptions data;  ///< of all rails, but for the four settings below
  std::vector<double> severities, backgrounds, tonalities, variations;  ///< every combination is a rail
  io::Config config;  ///< of every training, but for what a system sets
  int64_t seeds = 1;
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const std::string& line)> log;
  std::function<void(const std::string& what, double fraction)> progress;
};

/// A system on a rail by one score: AUC from 0 to 1, shares at a threshold for 5 % false alarms, means over the seeds.
struct FamilyRow {
  std::string rail, system, score;
  RailSettings settings;
  double all = 0, seen = 0, unseen = 0, false_alarms_unseen = 0, found = 0;
};

struct Family {
  std::vector<FamilyRow> rows;
  /// Of each rail, by name: root mean square distance of the conventional flows' nll (single- and multi-scale, seen and
  /// unseen) from the paper's Table 1, in AUC. Nothing else has a say in which rail is like the paper's.
  std::vector<std::pair<std::string, double>> distances;
  bool interrupted = false;  ///< then with the rails that are finished
};

/// AUC of the paper's conventional rows: single-scale seen and unseen, multi-scale seen and unseen.
inline constexpr std::array<double, 4> paper_conventional = {0.891, 0.727, 1.000, 0.860};

/// Errors as run_study's; io::UsageError: no rail, a rail twice, a folder with rails of other recordings.
Family run_family(const FamilyOptions& options);

/// rail,severity,background,tonality,variation,system,score,all,seen,unseen,false_alarms_unseen,found
std::string to_csv(const Family& family);
/// For the terminal: a line per rail, and the one most like the paper's.
std::string to_text(const Family& family);

}  // namespace evenflow::experiments
