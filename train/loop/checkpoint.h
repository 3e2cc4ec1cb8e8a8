// Checkpoints: a model file with the optimiser, the position in the run and the guard's memory, so that a run goes on
// bit by bit as if it had not been stopped.
#pragma once

#include <cstdint>
#include <filesystem>

#include "io/model_file.h"
#include "train/loop/optimizer.h"

namespace evenflow::train {

/// Running figures of the unfinished epoch.
struct EpochSums {
  double loss = 0;      ///< of windows' nll per dimension, nats
  int64_t windows = 0;  ///< that went into `loss`
  double gradient_norm = 0, gradient_norm_max = 0;
  int64_t steps = 0;         ///< that went into `gradient_norm`
  int64_t guard_events = 0;  ///< steps the guard undid
  bool operator==(const EpochSums&) const = default;

  void add(double step_loss, int64_t step_windows, double norm);
};

struct Checkpoint {
  io::ModelData model;     ///< with optimizer and progress
  OptimizerSnapshot good;  ///< the guard's last good state
  EpochSums sums;
};

/// Written whole or not at all. io::DataError names the file and the reason.
void write_checkpoint(const std::filesystem::path& file, const Checkpoint& checkpoint);
/// io::DataError: no such file, damaged, or a model without what a checkpoint holds.
Checkpoint read_checkpoint(const std::filesystem::path& file);

}  // namespace evenflow::train
