// What a trial is judged by, read from the files that its commands leave.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/sweep_file.h"

namespace evenflow::experiments {

/// More of it is better.
bool is_maximised(io::Objective objective);
/// "nats per dimension", for tables and axes.
std::string unit_of(io::Objective objective);
/// What a trial runs: `evenflow train`, `score` on the labelled features, `choose`.
bool needs_training(io::Objective objective);
bool needs_scores(io::Objective objective);
bool needs_leaving_out(io::Objective objective);

/// Where the commands of one repeat leave what they find.
struct RepeatFiles {
  explicit RepeatFiles(const std::filesystem::path& folder)
      : run(folder / "run"), scores(folder / "scores.csv"), choice(folder / "choice") {}
  std::filesystem::path run, scores, choice;
};

/// As it is reported. NaN: the training gave no finite value. io::DataError: a file that is missing or damaged.
double value_of(io::Objective objective, const RepeatFiles& files);

/// io::UsageError, io::DataError: an objective that no trial can report, or by which trials cannot be compared, and
/// what to do.
void require_reportable(const io::SweepFile& sweep, const std::vector<std::filesystem::path>& features);

}  // namespace evenflow::experiments
