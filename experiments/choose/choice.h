// Which settings and which score serve operating points that nobody recorded, chosen on normal clips alone.
//
// Every candidate is trained without each of the parameter's training values, one at a time or some together. The
// normal clips of the value left out are what an unseen operating point will be, so they tell how many false alarms to
// expect there, and probes made of them (probes.h) how many departures would be missed. What is chosen by shorter
// trainings is trained again, as long as the detector will be, for its score and its threshold. docs/how-to/choose.md
// has the rule in full.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "experiments/choose/candidates.h"
#include "train/detect/score_table.h"
#include "train/statistics/intervals.h"

namespace evenflow::experiments {

struct ChooseOptions {
  std::filesystem::path shard, folder;
  std::string parameter;                ///< whose values are left out; empty: the shard's first that varies
  std::vector<std::string> candidates;  ///< texts (candidates.h); empty: the usual ones
  io::Config config;                    ///< of all, but for what a candidate sets
  int64_t folds = 0;                    ///< trainings of a candidate, each without every folds-th value; 0: one a value
  /// Of the trainings that several candidates are compared by; 0: as many as `config` says.
  int64_t search_epochs = 0;
  double false_alarms = 0.05;  ///< the share of normal clips that the thresholds are set to
  const std::atomic<bool>* stop = nullptr;
  std::function<void()> claim;  ///< called once the request is found good, before anything is written in the folder
  std::function<void(const std::string& line)> log;
  std::function<void(const std::string& what, double fraction)> progress;
};

/// A candidate decided by one of its scores. Shares from 0 to 1, means over the values left out.
struct ChoiceRow {
  std::string candidate, score;
  /// What the normal clips of all values left out, each scored by the training without it, lie above as rarely as was
  /// asked for.
  double threshold = 0;
  /// Normal clips of the value left out that lie above the threshold which those of the other values give, Student's t.
  train::Interval false_alarms;
  double worst_false_alarms = 0;  ///< the same at the value where they are most
  double missed = 0;              ///< probes of that value that do not lie above it
  bool holds = false;             ///< no more false alarms than `tolerated` times what was asked for
  double estimate_error = 0;      ///< mean distance of the estimate from the value left out; NaN without an estimate
};

/// A handful of clips at a handful of values cannot tell 5 % from 8.
inline constexpr double tolerated = 2.0;

struct Choice {
  std::string parameter;
  std::vector<std::string> values;  ///< left out, as ChooseOptions::folds says: "100", readings as "98 to 102"
  int64_t folds = 0;                ///< the options'
  std::vector<ChoiceRow> rows;  ///< candidate by candidate, the chosen one first; of a candidate, the best score first
  std::vector<ChoiceRow> final_rows;  ///< of the chosen one in trainings of whole length, if `rows` are of shorter ones
  std::vector<std::string> notes;     ///< what could not be compared: a sentence each
  io::Config chosen;                  ///< best()'s, with its score and threshold
  /// Normal clips of the values left out, each scored by the chosen candidate's training without its value.
  train::ScoreTable left_out;
  bool interrupted = false;  ///< then nothing is chosen
  /// What is chosen: settings by `rows`, score and threshold by `final_rows` where there are any.
  const ChoiceRow& best() const { return final_rows.empty() ? rows.front() : final_rows.front(); }
};

/// Trains what is not trained yet, below FOLDER/cells and FOLDER/final, and compares. io::UsageError: a parameter that
/// the shard does not have or that does not vary, folds that leave too little, candidates that cannot be or that differ
/// in what search_epochs sets, or whose whole trainings are not longer, a folder that holds another choice.
/// io::DataError: fewer than three values (two must be left to train on), no candidate with a usable score.
Choice choose(const ChooseOptions& options);

/// candidate,trainings,score,false_alarms,...: final_rows, then rows; `trainings` is "final" or "search", or "all"
/// where they are one.
std::string to_csv(const Choice& choice);
/// What `train --config` and `calibrate --left-out` need of a choice: choice.csv, choice.toml and left_out.csv.
void write_choice(const Choice& choice, const std::filesystem::path& folder);
/// For the terminal: the best rows, and the best of every candidate.
std::string to_text(const Choice& choice);

}  // namespace evenflow::experiments
