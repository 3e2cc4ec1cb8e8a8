// The steps of an epoch: batch, loss, gradient, guard, update. WorkerStepper makes one after the other on the CPU,
// BatchStepper queues them on a GPU and looks at what came of them afterwards; the run they make is the same.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "io/config.h"
#include "train/detect/engine.h"
#include "train/loop/augmentation.h"
#include "train/loop/guard.h"
#include "train/loop/loader.h"
#include "train/loop/optimizer.h"

namespace evenflow::train {

struct StepOutcome {
  int64_t windows = 0;
  double loss = 0;           ///< mean of the windows' nll per dimension, nats
  double gradient_norm = 0;  ///< before clipping
  std::optional<NonFinite> non_finite;
};

/// What a stepper works with; all of it outlives the stepper.
struct StepParts {
  const io::TrainSettings& settings;
  flow::Model& model;
  Engine& engine;
  Loader& loader;
  Optimizer& optimizer;
  Guard& guard;
  std::function<double(int64_t step_in_epoch)> learning_rate;  ///< with the guard's factor
  const std::optional<AugmentPlan>& augment;                   ///< of the loader's windows
};

class Stepper {
 public:
  virtual ~Stepper() = default;
  Stepper() = default;
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;

  virtual void start_epoch(int64_t epoch, int64_t first_step) = 0;
  /// Makes at least one step and at most `count`, and ends with one that was not finite: the caller rejects it
  /// (guard.h) before the next call. Valid until then.
  virtual std::span<const StepOutcome> run(int64_t count) = 0;
  /// Brings guard and optimiser up to date with the device, before either is looked at.
  virtual void settle() = 0;
};

/// The stepper for the model's device.
std::unique_ptr<Stepper> make_stepper(const StepParts& parts);

}  // namespace evenflow::train
