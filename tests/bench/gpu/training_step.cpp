#include "tests/bench/gpu/training_step.h"

#include <stdexcept>
#include <string>

#include "kernels/copy.h"

namespace evenflow::bench {
namespace {

template <class T>
kernels::Buffer<T> to_device(kernels::Stream& stream, const std::vector<T>& values) {
  kernels::Buffer<T> buffer(static_cast<int64_t>(values.size()), stream.device());
  kernels::upload<T>(stream, values, buffer.view());
  return buffer;
}

std::vector<int64_t> in_turns(int64_t count, int64_t windows) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    order[static_cast<size_t>(i)] = i % windows;
  }
  return order;
}

}  // namespace

TrainingStep::TrainingStep(flow::GlowModel& model, const Batch& data, int64_t windows, int64_t most_steps,
                           double learning_rate)
    : model_(model),
      windows_(windows),
      stream_(model.device()),
      pass_(model.make_pass(windows, flow::PassMode::train)),
      state_(1, model.device()),
      order_(to_device(stream_, in_turns(windows * most_steps, static_cast<int64_t>(data.start.size())))),
      start_(to_device(stream_, data.start)),
      batch_start_(windows, model.device()),
      v_(to_device(stream_, data.v)),
      batch_v_(windows, model.device()),
      nll_(windows, model.device()),
      squared_norm_(1, model.device()),
      learning_rate_(to_device(stream_, std::vector<double>(static_cast<size_t>(most_steps), learning_rate))),
      loss_(most_steps, model.device()),
      norm_(most_steps, model.device()),
      frames_(to_device(stream_, data.frames)),
      mean_(model.height(), model.device()),
      inverse_std_(to_device(stream_, std::vector<float>(static_cast<size_t>(model.height()), 1.0F))),
      raw_(model.raw_gradient_size(), model.device()),
      m_(model.layout().size(), model.device()),
      v2_(model.layout().size(), model.device()),
      good_parameters_(model.layout().size(), model.device()),
      good_m_(model.layout().size(), model.device()),
      good_v_(model.layout().size(), model.device()) {
  start();
}

void TrainingStep::start() {
  kernels::zero(stream_, state_.view());
  kernels::zero(stream_, m_.view());
  kernels::zero(stream_, v2_.view());
  stream_.synchronise();
}

train::TrainingStep TrainingStep::task() {
  train::TrainingStep step{.model = model_,
                           .pass = *pass_,
                           .select = kernels::SelectBatch{.state = state_.view(),
                                                          .order = order_.view(),
                                                          .start = start_.view(),
                                                          .v = v_.view(),
                                                          .stride = windows_,
                                                          .batch_start = batch_start_.view(),
                                                          .batch_v = batch_v_.view()},
                           .frames = frames_.view(),
                           .mean = mean_.view(),
                           .inverse_std = inverse_std_.view(),
                           .batch_start = batch_start_.view(),
                           .batch_v = batch_v_.view(),
                           .raw = raw_.view(),
                           .rows = {},
                           .nll = nll_.view(),
                           .squared_norm = squared_norm_.view(),
                           .update = {}};
  step.update.state = state_.view();
  step.update.learning_rate = learning_rate_.view();
  step.update.m = m_.view();
  step.update.v = v2_.view();
  step.update.good_parameter = good_parameters_.view();
  step.update.good_m = good_m_.view();
  step.update.good_v = good_v_.view();
  step.update.loss = loss_.view();
  step.update.norm = norm_.view();
  return step;
}

void TrainingStep::initialise_actnorm() {
  const kernels::ConstMap x = train::gather_batch(stream_, task());
  model_.initialise(stream_, x);
  stream_.synchronise();
}

void TrainingStep::queue() {
  train::queue_training_step(stream_, task());
}

void TrainingStep::record() {
  graph_ = kernels::Graph(stream_, [this] { queue(); });
}

std::vector<float> TrainingStep::gradient() {
  return kernels::to_host(stream_, raw_.slice(0, model_.layout().size()));
}

std::vector<double> TrainingStep::losses(int64_t count) {
  const std::vector<kernels::StepState> state = kernels::to_host(stream_, state_.view());
  if (state[0].halted != 0 || state[0].adam_step != count) {
    throw std::runtime_error("step " + std::to_string(state[0].position) + " of " + std::to_string(count) +
                             " was not finite");
  }
  return kernels::to_host(stream_, loss_.slice(0, count));
}

}  // namespace evenflow::bench
