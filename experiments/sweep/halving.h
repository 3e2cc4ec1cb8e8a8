// Asynchronous successive halving (Li, Jamieson, Rostamizadeh and others 2020, "A system for massively parallel
// hyperparameter tuning"): trials are trained for a few epochs, the best of them for more, the best of those for more
// again. It never waits for a rung to fill.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/sweep_file.h"

namespace evenflow::experiments {

/// The epochs of the rungs, ascending: min_epochs, times factor, ..., and last the whole training, which is 0 as there
/// it ends by itself. Without halving the last alone. io::UsageError: a training whose length is not in train.epochs,
/// or is no longer than min_epochs.
std::vector<int64_t> rung_epochs(const io::HalvingSettings& halving, const io::TrainSettings& train);

/// What a trial gave at the rungs that it has reached; less is better.
struct Climber {
  std::vector<double> at_rung;
  bool may_climb = true;  ///< it waits at the last of them
};

/// The trial that goes on: of the highest rung with one among its best 1/factor that waits there, the best. None: more
/// must reach a rung first. NaN is worst, and never goes on.
std::optional<size_t> next_to_climb(const std::vector<Climber>& trials, int64_t rungs, int64_t factor);

}  // namespace evenflow::experiments
