// The steps of many trainings on one GPU, one launch for all: each is a lane (kernels/lanes.h). A lane's losses, norms
// and parameters are the bits that it would have alone (batch_stepper.h).
//
// A lane is an ordinary training: its model, engine, optimiser and guard are its own, made in scope(). Only its steps
// are made here, all lanes' at once. Lanes differ in numbers: seed, learning rate, k and v0, clipping, amounts of
// augmentation, and which windows of the frames they take. They have the frames, shapes and batches in common, and
// whether windows are changed at all.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/graph.h"
#include "kernels/lanes.h"
#include "train/loop/batch_stepper.h"
#include "train/loop/stepper.h"

namespace evenflow::train {

/// What the trainings of a pack have in common, as any one of them has it; all of it outlives the pack.
struct PackParts {
  const io::Config& config;
  const io::ConditionData& condition;
  const io::NormaliserData& normaliser;
  Loader& loader;
  const std::optional<AugmentPlan>& augment;
  /// The most that one of them has, in all and in an epoch; 0: as many as this one.
  int64_t windows = 0, epoch_windows = 0;
};

/// Why such trainings cannot be packed on the device: a sentence without its end, with what would help. Empty: they
/// can.
std::string why_not_packed(const PackParts& parts, kernels::Device device);

/// Device memory of a pack. What a lane's engine takes for validation, and keeps when it is made, is beside it.
struct PackMemory {
  int64_t lane_bytes = 0;     ///< model, passes, optimiser, guard's copy, step: of one lane
  int64_t scratch_bytes = 0;  ///< of the operations, of one lane
  int64_t shared_bytes = 0;   ///< frames, the sort of an epoch's order, the stream's counters
  int64_t bytes(int64_t lanes) const { return lanes * (lane_bytes + scratch_bytes) + shared_bytes; }
};

class PackedStepper {
 public:
  /// Of up to so many lanes, all absent. Builds one training and forgets it, to learn what a lane takes. DeviceError if
  /// memory().bytes(lanes) do not fit.
  PackedStepper(const PackParts& parts, kernels::Device device, int64_t lanes);
  ~PackedStepper();
  PackedStepper(const PackedStepper&) = delete;
  PackedStepper& operator=(const PackedStepper&) = delete;

  int64_t lanes() const { return static_cast<int64_t>(lanes_.size()); }
  const PackMemory& memory() const { return bytes_; }

  /// While it lives, the calling thread's device memory is the lane's, anew: for flow::make_model, make_engine and
  /// Optimizer, in this order and nothing else. The lane must be absent, and what was made in it before gone.
  std::unique_ptr<kernels::MemoryScope> scope(int64_t lane);
  /// Frames that engines will view besides the training's (validation): one copy for all, which put() gives them.
  void hold(std::span<const float> frames);
  /// The lane is present from its next epoch on, with what was made in its scope. ShapeError if it was made unlike the
  /// others.
  void put(int64_t lane, const StepParts& parts);
  /// The lane is absent: ended, pruned. Before its model goes.
  void remove(int64_t lane);
  bool present(int64_t lane) const { return stepper(lane) != nullptr; }

  // As a Stepper's, of a present lane (stepper.h).
  void start_epoch(int64_t lane, int64_t epoch, int64_t first_step);
  void settle(int64_t lane);
  /// Makes up to `count` steps of every lane that has some left in its epoch, and at least one of some lane; one
  /// element per lane, empty where none was made. Lanes go side by side while their batches are of a size; where the
  /// last, smaller one of an epoch comes, those that are furthest behind go first. One that a step that was not finite
  /// has set back (its outcomes end with it, and the caller rejects it before the next call) is waited for there. Valid
  /// until the next call.
  const std::vector<std::span<const StepOutcome>>& run(int64_t count);

 private:
  struct Recorded {
    int64_t first = 0, lanes = 0, windows = 0;  // which lanes, and windows of the step
    bool warm = false;
    kernels::Graph graph;
  };
  struct Frames {
    std::span<const float> host;
    std::shared_ptr<const kernels::Buffer<float>> device;
  };
  const BatchStepper* stepper(int64_t lane) const { return lanes_[static_cast<size_t>(lane)].get(); }
  BatchStepper& present_stepper(int64_t lane);
  kernels::LaneLayout measure(const PackParts& parts);
  Recorded& recorded_for(int64_t first, int64_t lanes, int64_t windows);
  std::vector<int64_t> lanes_to_step(int64_t windows);
  void queue(int64_t windows, int64_t steps);

  kernels::Device device_;
  kernels::Stream stream_;
  std::vector<Frames> held_;  // the training's first
  kernels::Buffer<unsigned char> order_workspace_;
  SharedByLanes shared_;
  PackMemory bytes_;
  kernels::LaneMemory memory_;
  std::vector<std::unique_ptr<BatchStepper>> lanes_;
  std::vector<Recorded> recorded_;
  std::vector<std::span<const StepOutcome>> outcomes_;
};

}  // namespace evenflow::train
