#include "tests/bench/gpu/training_step.h"

#include <stdexcept>
#include <string>

#include "kernels/copy.h"
#include "kernels/gather.h"

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
  for (int64_t i = 0; i < count; ++i) order[static_cast<size_t>(i)] = i % windows;
  return order;
}

}  // namespace

TrainingStep::TrainingStep(flow::Glow& glow, const io::ConditionData& condition, const Batch& data, int64_t windows,
                           int64_t most_steps, double learning_rate)
    : glow_(glow),
      windows_(windows),
      stream_(glow.device()),
      pass_(glow, windows, flow::PassMode::train),
      prior_(glow.shape(), condition, glow.device()),
      state_(1, glow.device()),
      order_(to_device(stream_, in_turns(windows * most_steps, static_cast<int64_t>(data.start.size())))),
      start_(to_device(stream_, data.start)),
      batch_start_(windows, glow.device()),
      v_(to_device(stream_, data.v)),
      batch_v_(windows, glow.device()),
      nll_(windows, glow.device()),
      squared_norm_(1, glow.device()),
      learning_rate_(to_device(stream_, std::vector<double>(static_cast<size_t>(most_steps), learning_rate))),
      loss_(most_steps, glow.device()),
      norm_(most_steps, glow.device()),
      frames_(to_device(stream_, data.frames)),
      mean_(glow.shape().height, glow.device()),
      inverse_std_(to_device(stream_, std::vector<float>(static_cast<size_t>(glow.shape().height), 1.0F))),
      raw_(glow.raw_gradient_size(), glow.device()),
      m_(glow.layout().size(), glow.device()),
      v2_(glow.layout().size(), glow.device()),
      good_parameters_(glow.layout().size(), glow.device()),
      good_m_(glow.layout().size(), glow.device()),
      good_v_(glow.layout().size(), glow.device()) {
  start();
}

void TrainingStep::start() {
  kernels::zero(stream_, state_.view());
  kernels::zero(stream_, m_.view());
  kernels::zero(stream_, v2_.view());
  stream_.synchronise();
}

void TrainingStep::gather() {
  kernels::select_batch(stream_, {.state = state_.view(),
                                  .order = order_.view(),
                                  .start = start_.view(),
                                  .v = v_.view(),
                                  .stride = windows_,
                                  .batch_start = batch_start_.view(),
                                  .batch_v = batch_v_.view()});
  kernels::gather_windows(stream_, {.frames = frames_.view(),
                                    .start = batch_start_.view(),
                                    .mean = mean_.view(),
                                    .inverse_std = inverse_std_.view(),
                                    .x = pass_.input()});
}

void TrainingStep::initialise_actnorm() {
  gather();
  glow_.initialise_actnorm(stream_, pass_.input());
  stream_.synchronise();
}

void TrainingStep::queue() {
  const auto dimensions = static_cast<double>(glow_.shape().dimensions());
  const double scale = 1.0 / (static_cast<double>(windows_) * dimensions);
  gather();
  glow_.assemble(stream_);
  pass_.forward(stream_, pass_.input());
  kernels::zero(stream_, raw_.view());
  prior_.loss(stream_, pass_, glow_.constant_log_det(), batch_v_.view(), scale, nll_.view());
  pass_.backward(stream_, -scale, raw_.view());
  glow_.finish_gradient(stream_, raw_.view(), -1.0 / dimensions);
  const kernels::Array<float> gradient = raw_.slice(0, glow_.layout().size());
  kernels::squared_norm(stream_, {.x = gradient, .out = squared_norm_.view()});
  kernels::guarded_update(stream_, {.clip_norm = 0,
                                    .loss_scale = scale,
                                    .state = state_.view(),
                                    .learning_rate = learning_rate_.view(),
                                    .nll = nll_.view(),
                                    .squared_norm = squared_norm_.view(),
                                    .gradient = gradient,
                                    .parameter = glow_.parameters(),
                                    .m = m_.view(),
                                    .v = v2_.view(),
                                    .good_parameter = good_parameters_.view(),
                                    .good_m = good_m_.view(),
                                    .good_v = good_v_.view(),
                                    .loss = loss_.view(),
                                    .norm = norm_.view()});
}

void TrainingStep::record() {
  graph_ = kernels::Graph(stream_, [this] { queue(); });
}

std::vector<float> TrainingStep::gradient() {
  return kernels::to_host(stream_, raw_.slice(0, glow_.layout().size()));
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
