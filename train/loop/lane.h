// A place among trainings that run beside each other on one device (pack.h), as each of them sees it.
#pragma once

#include <memory>
#include <string>

#include "kernels/lanes.h"
#include "train/loop/held_frames.h"
#include "train/loop/stepper.h"

namespace evenflow::train {

class Lane {
 public:
  Lane() = default;
  virtual ~Lane() = default;
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  /// Frames of the training's shards that are in memory already; null: none.
  virtual const HeldFrames* frames() const { return nullptr; }
  /// A line for the training's log; empty: none.
  virtual std::string note() const { return ""; }
  /// On a CPU: the threads of the epoch to come; 0: as the training's settings say.
  virtual int threads() { return 0; }
  /// In which model, engine and optimiser are made, in this order; null: in any.
  virtual std::unique_ptr<kernels::MemoryScope> memory() { return nullptr; }
  /// Goes before the model does.
  virtual std::unique_ptr<Stepper> stepper(const StepParts& parts) { return make_stepper(parts); }
};

}  // namespace evenflow::train
