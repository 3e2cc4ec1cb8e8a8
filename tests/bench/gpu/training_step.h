// A training step of the paper's model as the trainer makes it, on resident windows, piece by piece or as one graph.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "flow/glow_model.h"
#include "kernels/graph.h"
#include "kernels/train_step.h"
#include "tests/bench/paper_model.h"
#include "train/loop/training_step.h"

namespace evenflow::bench {

class TrainingStep {
 public:
  /// Room for `most_steps` steps before start(). Windows of a step: at most `windows`, those of the data in their
  /// order.
  TrainingStep(flow::GlowModel& model, const Batch& data, int64_t windows, int64_t most_steps, double learning_rate);

  kernels::Stream& stream() { return stream_; }
  /// Sets actnorm by the first step's windows.
  void initialise_actnorm();
  /// Forgets Adam's moments and counts from step 0.
  void start();
  void queue();   ///< operation by operation
  void record();  ///< queue() must have run once
  void launch() { graph_.launch(stream_); }
  int64_t graph_nodes() const { return graph_.nodes(); }

  /// The gradient of the last step, [arena]; waits.
  std::vector<float> gradient();
  /// Losses of the first `count` steps since start(). std::runtime_error: one was not finite.
  std::vector<double> losses(int64_t count);

 private:
  train::TrainingStep task();

  flow::GlowModel& model_;
  int64_t windows_;
  kernels::Stream stream_;
  std::unique_ptr<flow::Pass> pass_;
  kernels::Graph graph_;
  kernels::Buffer<kernels::StepState> state_;
  kernels::Buffer<int64_t> order_, start_, batch_start_;
  kernels::Buffer<double> v_, batch_v_, nll_, squared_norm_, learning_rate_, loss_, norm_;
  kernels::Buffer<float> frames_, mean_, inverse_std_, raw_, m_, v2_, good_parameters_, good_m_, good_v_;
};

}  // namespace evenflow::bench
