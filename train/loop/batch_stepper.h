// The steps of a training on a GPU: each is one graph, queued behind the one before. The host learns of a step's loss
// when it asks for it; whether a step was finite, and so whether it may change anything, is decided on the device.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/event.h"
#include "kernels/graph.h"
#include "kernels/train_step.h"
#include "train/detect/batch_engine.h"
#include "train/loop/stepper.h"
#include "train/loop/training_step.h"

namespace evenflow::train {

/// What the lanes of a pack share (packed_stepper.h), on the device.
struct SharedByLanes {
  kernels::Array<const float> frames;             ///< the loaders' resident ones
  kernels::Array<unsigned char> order_workspace;  ///< of one epoch's order at a time
  int64_t windows = 0, epoch_windows = 0;         ///< for which each lane has room
};

class BatchStepper final : public Stepper {
 public:
  explicit BatchStepper(const StepParts& parts);
  /// A lane's: made in its memory, with no epoch begun.
  BatchStepper(const StepParts& parts, const SharedByLanes& shared);

  void start_epoch(int64_t epoch, int64_t first_step) override;
  std::span<const StepOutcome> run(int64_t count) override;
  void settle() override;

  // ---- run(), in parts, for a pack: begin(), then steps queued, then collect() of them

  /// Steps queued before the host looks: long enough to hide the look, short enough to stop at once when asked to.
  static constexpr int64_t most_queued = 64;
  /// The step that comes next, and its epoch.
  int64_t position() const { return position_; }
  int64_t epoch() const { return epoch_; }
  /// How many steps of as many windows as that one lie ahead of it, itself included.
  int64_t alike_ahead() const;
  int64_t steps() const;  ///< of an epoch
  int64_t windows_of(int64_t step) const;
  /// The device knows where the run stands.
  void begin();
  /// Steps that are queued change nothing until begin().
  void pause();
  void queue_operations(kernels::Stream& stream, int64_t source, int64_t windows);
  std::span<const StepOutcome> collect(int64_t queued);

 private:
  // Where a step's windows come from: the frames held on the device, or one of two buffers filled by the host.
  struct Source {
    kernels::Buffer<float> host, device;
    kernels::Buffer<double> host_v;
    kernels::Event copied;
    bool in_use = false;
  };
  // A step over so many windows, of all ranks, from one source: queued piece by piece at first, recorded the second
  // time.
  struct Step {
    int64_t source = 0, windows = 0;
    bool warm = false;
    kernels::Graph graph;
  };

  BatchStepper(const StepParts& parts, const SharedByLanes* shared);
  bool alone() const { return engine_.shares().alone(); }
  int64_t steps_of(int64_t windows) const;
  void order_windows();
  void set_state();
  void queue(int64_t step);
  WindowBatch fill(int64_t source);
  kernels::Buffer<double>& loaded() { return parts_.augment ? batch_values_ : batch_v_; }
  Step& step_for(int64_t source, int64_t windows);
  void share_with_ranks(TrainingStep& step, int64_t windows);
  std::vector<double> nll_of_batch(int64_t windows);
  NonFinite trace(int64_t step);

  StepParts parts_;
  BatchEngine& engine_;
  kernels::Stream& stream_;
  kernels::Device device_;
  // Values of a window: the model's own and, before it is augmented, perhaps a speed.
  int64_t parameters_, loaded_values_, epoch_windows_, epoch_ = 0, position_ = 0;
  int64_t most_windows_, row_;  // this rank's of a batch, at most; floats of a rank's gradient
  bool resident_, lane_, state_known_ = false, good_known_ = false;
  kernels::StepState state_;

  kernels::Buffer<kernels::StepState> device_state_, host_state_;
  SharedByLanes shared_;  // or this training's own
  kernels::Buffer<int64_t> order_, start_, batch_start_;
  kernels::Buffer<unsigned char> order_workspace_;
  kernels::Buffer<kernels::WindowChange> changes_;
  kernels::Buffer<kernels::LaneDraws> draws_;  // a lane's
  MovesOnDevice moves_;
  kernels::Buffer<double> v_, batch_values_, batch_v_, nll_, squared_norm_, learning_rate_, loss_, norm_;
  kernels::Buffer<double> host_loss_, host_norm_;
  kernels::Buffer<float> raw_, sum_, good_parameters_, good_m_, good_v_;  // raw_: a row of each rank
  std::unique_ptr<kernels::DeviceRanks> device_ranks_;
  std::array<Source, 2> sources_;
  std::vector<Step> recorded_;
  std::vector<StepOutcome> outcomes_;
};

}  // namespace evenflow::train
