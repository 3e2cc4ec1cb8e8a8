// Many trainings at once on one device. Each leaves, bit by bit, what it would leave alone.
//
// They share the frames of their shards. On a CPU they share the threads too: with fewer threads than trainings each
// runs on one of its own, and none waits for another in the middle of a step.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <vector>

#include "train/loop/trainer.h"

namespace evenflow::train {

struct PackOptions {
  /// `progress` and `log` are called for one training at a time; `lane` is the pack's to set.
  std::vector<TrainOptions> trainings;
  int threads = 0;      ///< of all trainings on a CPU together; 0: one per core
  int64_t at_once = 0;  ///< the others follow as places become free; 0: as many as the device serves
  /// A training has ended; called for one at a time.
  std::function<void(size_t training)> ended;
};

struct PackResult {
  TrainResult result;
  std::exception_ptr error;  ///< what train() threw; the others go on
};

/// In the order of the trainings. Those that had not begun when `stop` was set are `interrupted` after 0 steps.
std::vector<PackResult> train_pack(const PackOptions& options);

}  // namespace evenflow::train
