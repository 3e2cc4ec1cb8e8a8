// Test clips of a study that are looked at together: all, seen and unseen ones, those of one value.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "experiments/study/study.h"
#include "train/statistics/intervals.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {

struct ClipGroup {
  std::string name;          ///< "all", "seen", "unseen", their combinations or "velocity_mm_s = 300"
  std::vector<size_t> rows;  ///< of every run's table
  std::vector<int> labels;   ///< of these rows
  int64_t anomalous() const;
  int64_t normal() const;
};

/// Of rows of parameters' values, numbers or codes of names: what occurs together.
train::Combinations combinations_of(std::span<const std::vector<double>> rows, const std::vector<std::string>& names,
                                    const io::Categories& categories);
/// True of a clip that is tested on and whose label is known.
bool is_tested(const train::ClipScore& clip);
/// "seen" or "unseen" in training, or "" where the value of the study's parameter is not known.
std::string side_of(const Study& study, const train::ClipScore& clip);
/// The test clips for which `wanted` holds.
ClipGroup group_of(const Study& study, const std::string& name,
                   const std::function<bool(const train::ClipScore&)>& wanted);
/// Those with clips of both classes; the values last, ascending. Where some clip's parameters have seen values that no
/// training clip has together, "seen combination" and "unseen combination" come before them.
std::vector<ClipGroup> test_groups(const Study& study);
/// The scores that every run of a system has; nll, with which others are compared, first.
std::vector<std::string> scores_to_compare(const SystemScores& system);
/// Is every score of every run finite?
bool are_finite(const train::RunScores& runs);
/// A score of the group's clips, a row per run. io::DataError: a run without that score.
train::RunScores scores_in(const SystemScores& system, const std::string& score, const ClipGroup& group);

}  // namespace evenflow::experiments
