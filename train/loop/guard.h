// The NaN guard: remembers the last state that gave a finite loss and goes back to it when the next one does not.
//
// An update is good once the state it made has given a finite loss and gradient. A bad one is undone and the learning
// rate halved. Going over a good state again proves nothing new, so the count of bad updates in a row is reset only by
// an update that turned out good.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "flow/arena.h"
#include "train/loop/loader.h"
#include "train/loop/optimizer.h"

namespace evenflow::train {

class Guard {
 public:
  static constexpr int64_t most_in_a_row = 3;

  explicit Guard(Optimizer& optimizer) : optimizer_(optimizer) {}

  /// The present state is good: the beginning of a training.
  void start() { optimizer_.save(good_); }
  /// The present state gave a finite loss and gradient.
  void accept();
  /// The same, found on the device (kernels/train_step.h), which keeps the good state; `good_step` updates had made it.
  /// good_copy() is where it is copied to before it is asked for.
  void accept(int64_t good_step);
  OptimizerSnapshot& good_copy() { return good_; }
  /// It did not. `data_at_fault`: the windows themselves were not finite, so state and learning rate stay.
  void reject(bool data_at_fault);

  /// Goes back to the last good state without counting (the end of a training).
  void undo();
  bool exhausted() const { return in_a_row_ >= most_in_a_row; }
  double learning_rate_factor() const { return factor_; }
  int64_t in_a_row() const { return in_a_row_; }
  const OptimizerSnapshot& good() const { return good_; }
  /// As a checkpoint left it.
  void resume(OptimizerSnapshot good, double learning_rate_factor, int64_t in_a_row);

 private:
  Optimizer& optimizer_;
  OptimizerSnapshot good_;
  double factor_ = 1.0;
  int64_t in_a_row_ = 0;
};

/// Where a non-finite step began.
struct NonFinite {
  std::string layer;               ///< "input", "block2.step3.coupling", "gradient of block1.step1.actnorm.bias"
  std::vector<WindowRef> windows;  ///< those with a non-finite likelihood; all of the batch if only the gradient is
  bool data_at_fault() const { return layer == "input"; }
};

/// Traces a non-finite step: `nll` per window and the gradient (on the host) as it left them.
NonFinite trace_non_finite(Engine& engine, const flow::ArenaLayout& layout, const WindowBatch& batch,
                           std::span<const WindowRef> refs, std::span<const double> nll,
                           kernels::Array<const float> gradient);

/// "clip 'a.wav' at 1.024 s, clip 'b.wav' at 0.000 s and 12 more".
std::string describe_windows(std::span<const WindowRef> windows, const std::vector<const io::Shard*>& shards);

}  // namespace evenflow::train
