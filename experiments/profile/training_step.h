// One training step of a configuration's model as a training makes it, on random weights and random windows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "flow/glow_model.h"
#include "io/config.h"
#include "kernels/train_step.h"
#include "train/loop/training_step.h"

namespace evenflow::experiments {

/// Random everywhere, the couplings' last convolution too, which a training starts at zero: multiplying by zeros draws
/// less power than any real step. Actnorm is initialised. Its condition is example_condition's.
std::unique_ptr<flow::GlowModel> random_model(const io::Config& config, kernels::Device device);

/// A condition of the configuration's parameters, or of one if it names none.
io::ConditionData example_condition(const io::Config& config);

/// Windows beside each other in one run of frames, as normal noise, and the value of each parameter of each.
struct WindowSet {
  std::vector<float> frames;
  std::vector<int64_t> start;
  std::vector<double> values;
};
WindowSet random_windows(const flow::GlowShape& shape, int64_t windows, int64_t parameters);

/// So small a step that the profiled model stays what it was.
inline constexpr double profiled_learning_rate = 1e-12;

/// `windows` at once: on a GPU a whole batch, on the CPU what a thread carries, one window; there the batch's gradients
/// lie in rows, which are summed up.
class TrainingStep {
 public:
  TrainingStep(flow::GlowModel& model, const io::Config& config, int64_t windows, int64_t gradient_rows);

  kernels::Stream& stream() { return stream_; }
  int64_t windows() const { return windows_; }
  /// Queues a step. Its own bookkeeping on the host comes before: none of it may be recorded (kernels/graph.h).
  void run();
  void prepare();  ///< must precede every queue() and every launch of a graph made of queue()
  void queue();
  /// Mean nll per dimension of the last step's windows, nats. Waits.
  double loss();

 private:
  flow::GlowModel& model_;
  kernels::Stream stream_;
  std::unique_ptr<flow::Pass> pass_;
  int64_t windows_, rows_, row_floats_, position_ = 0;
  kernels::StepState first_state_;
  kernels::Buffer<float> frames_, mean_, inverse_std_, raw_, sum_, m_, v_, good_parameters_, good_m_, good_v_;
  kernels::Buffer<int64_t> order_, start_, batch_start_;
  kernels::Buffer<double> values_, batch_values_, nll_, squared_norm_, learning_rate_, loss_, norm_;
  kernels::Buffer<kernels::StepState> state_;
  std::optional<train::TrainingStep::Augment> augment_;
  kernels::Buffer<kernels::WindowChange> changes_;
  kernels::Buffer<double> moved_values_;
};

}  // namespace evenflow::experiments
