// How much each key of a sweep matters to an objective, and how sure that is.
#pragma once

#include <string>
#include <vector>

#include "experiments/sweep/sweep.h"
#include "train/statistics/intervals.h"

namespace evenflow::experiments {

struct KeyImportance {
  std::string key;
  train::Interval importance;  ///< from 0 to 1: it decides everything; of subsamples, 2.5 % to 97.5 %
};

/// Permutation importance (Breiman 2001): a random forest learns the trials' ranks from their values, and for each key
/// it is measured how much its squared error on trials that a tree has not seen grows if the key's values are shuffled
/// among them, as a share of what it is between trials that have nothing to do with each other. Ranks, so that a few
/// diverged trainings do not decide. The interval is over subsamples of two thirds of the trials (at most 300), each
/// with a forest of its own. Trials are compared where all of them have a value, at the first rung. The greatest first;
/// none where there are fewer than 10 trials.
std::vector<KeyImportance> importances(const Sweep& sweep, size_t objective);

}  // namespace evenflow::experiments
