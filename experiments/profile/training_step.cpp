#include "experiments/profile/training_step.h"

#include <algorithm>
#include <numeric>

#include "kernels/copy.h"
#include "kernels/gather.h"
#include "kernels/reduce.h"
#include "kernels/trace.h"
#include "train/statistics/random.h"

namespace evenflow::experiments {
namespace {

using kernels::Array;
using kernels::Buffer;
using kernels::TraceRange;

// Steps before the state has to be set back: each has a place of its own for its loss.
constexpr int64_t most_steps = 256;

std::vector<float> random_floats(int64_t size, uint64_t stream) {
  std::vector<float> out(static_cast<size_t>(size));
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(train::random_normal(1, stream, i));
  return out;
}

// What is no part of a step, while it lives.
class Untraced {
 public:
  explicit Untraced(kernels::Stream& stream) : stream_(stream), tracer_(stream.tracer()) { stream.set_tracer(nullptr); }
  ~Untraced() { stream_.set_tracer(tracer_); }
  Untraced(const Untraced&) = delete;
  Untraced& operator=(const Untraced&) = delete;

 private:
  kernels::Stream& stream_;
  kernels::Tracer* tracer_;
};

template <class T>
Buffer<T> uploaded(kernels::Stream& stream, const std::vector<T>& values) {
  Buffer<T> buffer(static_cast<int64_t>(values.size()), stream.device());
  kernels::upload<T>(stream, values, buffer.view());
  return buffer;
}

}  // namespace

std::unique_ptr<flow::Glow> random_model(const io::Config& config, kernels::Device device) {
  auto glow = std::make_unique<flow::Glow>(flow::glow_shape(config), config.train.seed, device);
  const flow::GlowShape& shape = glow->shape();
  kernels::Stream stream(device);
  constexpr int64_t windows = 8;
  const Buffer<float> x = uploaded(stream, random_floats(windows * shape.dimensions(), 1));
  glow->initialise_actnorm(stream, kernels::make_map(x.data(), windows, 1, shape.height, shape.width, device));
  stream.synchronise();
  std::vector<io::Tensor> tensors = glow->tensors();
  uint64_t number = 2;
  for (io::Tensor& tensor : tensors) {
    if (!tensor.name.ends_with("conv3.weight")) continue;
    tensor.values = random_floats(static_cast<int64_t>(tensor.values.size()), number++);
    for (float& value : tensor.values) value *= 0.01F;
  }
  glow->load(tensors);
  return glow;
}

WindowSet random_windows(const flow::GlowShape& shape, int64_t windows, int64_t parameters) {
  WindowSet set;
  set.frames = random_floats(windows * shape.dimensions(), 0);
  for (int64_t i = 0; i < windows; ++i) set.start.push_back(i * shape.width);
  for (int64_t i = 0; i < windows * parameters; ++i) set.values.push_back(100.0 + 100.0 * static_cast<double>(i % 7));
  return set;
}

io::ConditionData example_condition(const io::Config& config) {
  io::ConditionData condition;
  if (!config.condition.enabled) return condition;
  condition.names = config.condition.parameters;
  if (condition.names.empty()) condition.names = {"parameter"};
  const size_t count = condition.names.size();
  condition.k.assign(count, 0.01);
  condition.v0.assign(count, 400);
  condition.mean.assign(count, 400);
  condition.std.assign(count, 200);
  condition.training_values.assign(count, {100, 700});
  return condition;
}

TrainingStep::TrainingStep(flow::Glow& glow, const io::Config& config, int64_t windows, int64_t gradient_rows)
    : glow_(glow),
      stream_(glow.device()),
      prior_(glow.shape(), example_condition(config), glow.device()),
      pass_(glow, windows, flow::PassMode::train),
      windows_(windows),
      rows_(gradient_rows),
      row_floats_((glow.raw_gradient_size() + 15) / 16 * 16),
      clip_norm_(config.train.clip_norm) {
  const kernels::Device device = glow.device();
  const flow::GlowShape& shape = glow.shape();
  const int64_t parameters = glow.layout().size();
  const auto bands = static_cast<size_t>(shape.height);
  const WindowSet set = random_windows(shape, windows, prior_.parameters());
  frames_ = uploaded(stream_, set.frames);
  mean_ = uploaded(stream_, std::vector<float>(bands, 0.0F));
  inverse_std_ = uploaded(stream_, std::vector<float>(bands, 1.0F));
  raw_ = Buffer<float>(rows_ * row_floats_, device);
  if (rows_ > 1) sum_ = Buffer<float>(row_floats_, device);
  m_ = Buffer<float>(parameters, device);
  v_ = Buffer<float>(parameters, device);
  good_parameters_ = Buffer<float>(parameters, device);
  good_m_ = Buffer<float>(parameters, device);
  good_v_ = Buffer<float>(parameters, device);

  std::vector<int64_t> order(static_cast<size_t>(most_steps * windows));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i) * 37 % windows;
  start_ = uploaded(stream_, set.start);
  batch_start_ = uploaded(stream_, set.start);
  order_ = uploaded(stream_, order);
  values_ = uploaded(stream_, set.values);
  batch_values_ = uploaded(stream_, set.values);
  nll_ = Buffer<double>(windows, device);
  squared_norm_ = Buffer<double>(1, device);
  learning_rate_ = uploaded(stream_, std::vector<double>(most_steps, profiled_learning_rate));
  loss_ = Buffer<double>(most_steps, device);
  norm_ = Buffer<double>(most_steps, device);
  state_ = Buffer<kernels::StepState>(1, device);
}

const std::vector<std::string>& TrainingStep::phases() {
  static const std::vector<std::string> names = {"assemble", "gather", "forward", "loss", "backward", "update"};
  return names;
}

void TrainingStep::run() {
  prepare();
  queue();
}

void TrainingStep::prepare() {
  if (position_ == most_steps) {
    const Untraced untraced(stream_);
    kernels::zero(stream_, state_.view());
    stream_.synchronise();
    position_ = 0;
  }
  ++position_;
}

// As train/loop/batch_stepper.cpp and, with its parts dealt to threads, train/loop/worker_stepper.cpp do it.
void TrainingStep::queue() {
  const auto dimensions = static_cast<double>(glow_.shape().dimensions());
  const double scale = 1.0 / (static_cast<double>(windows_) * dimensions);
  const Array<float> row = raw_.slice(0, glow_.raw_gradient_size());
  {
    const TraceRange phase(stream_, "gather");
    if (glow_.device().type != kernels::DeviceType::cpu) {
      kernels::select_batch(stream_, {.state = state_.view(),
                                      .order = order_.view(),
                                      .start = start_.view(),
                                      .v = values_.view(),
                                      .stride = windows_,
                                      .batch_start = batch_start_.view(),
                                      .batch_v = batch_values_.view()});
    }
    kernels::gather_windows(stream_, {.frames = frames_.view(),
                                      .start = batch_start_.view(),
                                      .mean = mean_.view(),
                                      .inverse_std = inverse_std_.view(),
                                      .x = pass_.input()});
  }
  {
    const TraceRange phase(stream_, "assemble");
    glow_.assemble(stream_);
  }
  {
    const TraceRange phase(stream_, "forward");
    pass_.forward(stream_, pass_.input());
  }
  {
    const TraceRange phase(stream_, "loss");
    prior_.loss(stream_, pass_, glow_.constant_log_det(), batch_values_.view(), scale, nll_.view());
  }
  {
    const TraceRange phase(stream_, "backward");
    kernels::zero(stream_, row);
    pass_.backward(stream_, -scale, row);
  }
  const TraceRange phase(stream_, "update");
  Array<float> raw = row;
  if (rows_ > 1) {
    raw = sum_.slice(0, row.size);
    kernels::sum_rows(stream_, {.in = raw_.view(), .rows = rows_, .row_stride = row_floats_, .out = raw});
  }
  glow_.finish_gradient(stream_, raw, -1.0 / dimensions);
  const Array<float> gradient = raw.slice(0, glow_.layout().size());
  kernels::squared_norm(stream_, {.x = gradient, .out = squared_norm_.view()});
  kernels::guarded_update(stream_, {.clip_norm = clip_norm_,
                                    .loss_scale = scale,
                                    .state = state_.view(),
                                    .learning_rate = learning_rate_.view(),
                                    .nll = nll_.view(),
                                    .squared_norm = squared_norm_.view(),
                                    .gradient = gradient,
                                    .parameter = glow_.parameters(),
                                    .m = m_.view(),
                                    .v = v_.view(),
                                    .good_parameter = good_parameters_.view(),
                                    .good_m = good_m_.view(),
                                    .good_v = good_v_.view(),
                                    .loss = loss_.view(),
                                    .norm = norm_.view()});
}

double TrainingStep::loss() {
  const Untraced untraced(stream_);
  const std::vector<double> nll = kernels::to_host(stream_, nll_.view());
  return std::accumulate(nll.begin(), nll.end(), 0.0) /
         (static_cast<double>(windows_) * static_cast<double>(glow_.shape().dimensions()));
}

}  // namespace evenflow::experiments
