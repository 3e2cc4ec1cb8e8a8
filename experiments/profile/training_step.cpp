#include "experiments/profile/training_step.h"

#include <algorithm>
#include <numeric>

#include "kernels/copy.h"
#include "train/detect/speeds.h"
#include "train/loop/augmentation.h"
#include "train/statistics/random.h"

namespace evenflow::experiments {
namespace {

using kernels::Buffer;

// Steps before the state has to be set back: each has a place of its own for its loss.
constexpr int64_t most_steps = 256;

std::vector<float> random_floats(int64_t size, uint64_t stream) {
  std::vector<float> out(static_cast<size_t>(size));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(train::random_normal(1, stream, i));
  }
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

constexpr double speed_range = 60.0;  // between values that are 100 apart, where the range is automatic

template <class T>
Buffer<T> uploaded(kernels::Stream& stream, const std::vector<T>& values) {
  Buffer<T> buffer(static_cast<int64_t>(values.size()), stream.device());
  kernels::upload<T>(stream, values, buffer.view());
  return buffer;
}

}  // namespace

std::unique_ptr<flow::GlowModel> random_model(const io::Config& config, kernels::Device device) {
  auto model =
      std::make_unique<flow::GlowModel>(flow::glow_shape(config), example_condition(config), config.train.seed, device);
  const flow::GlowShape& shape = model->glow().shape();
  kernels::Stream stream(device);
  constexpr int64_t windows = 8;
  const Buffer<float> x = uploaded(stream, random_floats(windows * shape.dimensions(), 1));
  model->initialise(stream, kernels::make_map(x.data(), windows, 1, shape.height, shape.width, device));
  stream.synchronise();
  std::vector<io::Tensor> tensors = model->tensors();
  uint64_t number = 2;
  for (io::Tensor& tensor : tensors) {
    if (!tensor.name.ends_with("conv3.weight")) {
      continue;
    }
    tensor.values = random_floats(static_cast<int64_t>(tensor.values.size()), number++);
    for (float& value : tensor.values) {
      value *= 0.01F;
    }
  }
  model->load(tensors);
  return model;
}

WindowSet random_windows(const flow::GlowShape& shape, int64_t windows, int64_t parameters) {
  WindowSet set;
  set.frames = random_floats(windows * shape.dimensions(), 0);
  for (int64_t i = 0; i < windows; ++i) {
    set.start.push_back(i * shape.width);
  }
  for (int64_t i = 0; i < windows * parameters; ++i) {
    set.values.push_back(100.0 + 100.0 * static_cast<double>(i % 7));
  }
  return set;
}

io::ConditionData example_condition(const io::Config& config) {
  io::ConditionData condition;
  if (!config.condition.enabled) {
    return condition;
  }
  condition.names = io::declared_names(config.condition.parameters);
  if (condition.names.empty()) {
    condition.names = {"parameter"};
  }
  const size_t count = condition.names.size();
  condition.k.assign(count, 0.01);
  condition.v0.assign(count, 400);
  condition.mean.assign(count, 400);
  condition.std.assign(count, 200);
  condition.training_values.assign(count, {100, 700});
  return condition;
}

TrainingStep::TrainingStep(flow::GlowModel& model, const io::Config& config, int64_t windows, int64_t gradient_rows)
    : model_(model),
      stream_(model.device()),
      pass_(model.make_pass(windows, flow::PassMode::train)),
      windows_(windows),
      rows_(gradient_rows),
      row_floats_((model.raw_gradient_size() + 15) / 16 * 16),
      first_state_{.clip_norm = config.train.clip_norm} {
  const kernels::Device device = model.device();
  const flow::GlowShape& shape = model.glow().shape();
  const int64_t parameters = model.layout().size();
  const auto bands = static_cast<size_t>(shape.height);
  const WindowSet set = random_windows(shape, windows, model.parameter_count());
  frames_ = uploaded(stream_, set.frames);
  mean_ = uploaded(stream_, std::vector<float>(bands, 0.0F));
  inverse_std_ = uploaded(stream_, std::vector<float>(bands, 1.0F));
  raw_ = Buffer<float>(rows_ * row_floats_, device);
  if (rows_ > 1) {
    sum_ = Buffer<float>(row_floats_, device);
  }
  m_ = Buffer<float>(parameters, device);
  v_ = Buffer<float>(parameters, device);
  good_parameters_ = Buffer<float>(parameters, device);
  good_m_ = Buffer<float>(parameters, device);
  good_v_ = Buffer<float>(parameters, device);

  std::vector<int64_t> order(static_cast<size_t>(most_steps * windows));
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = static_cast<int64_t>(i) * 37 % windows;
  }
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
  state_ = uploaded(stream_, std::vector<kernels::StepState>{first_state_});
  const io::AugmentSettings augment = train::with_change(
      train::with_range(config.augment, model.parameter_count() > 0 ? speed_range : 0.0), io::SpeedChange::warp);
  if (augment.any()) {
    changes_ = Buffer<kernels::WindowChange>(windows, device);
    moved_values_ = uploaded(stream_, set.values);
    augment_ = train::TrainingStep::Augment{};
    augment_->mels_per_band = train::mels_per_band(config.frontend);
    kernels::DrawChanges& draw = augment_->draw;
    draw.augmentation = train::augmentation_of(augment);
    draw.seed = config.train.seed;
    draw.step = {&state_.data()->adam_step, 1, device};
    draw.speed_column = model.parameter_count() > 0 ? 0 : -1;
    draw.values = batch_values_.view();
    draw.bands = shape.height;
    draw.frames = shape.width;
    draw.changes = changes_.view();
    draw.v = moved_values_.view();
  }
}

void TrainingStep::run() {
  prepare();
  queue();
}

void TrainingStep::prepare() {
  if (position_ == most_steps) {
    const Untraced untraced(stream_);
    kernels::upload<kernels::StepState>(stream_, {&first_state_, 1}, state_.view());
    position_ = 0;
  }
  ++position_;
}

void TrainingStep::queue() {
  train::TrainingStep step{.model = model_,
                           .pass = *pass_,
                           .select = {},
                           .frames = frames_.view(),
                           .mean = mean_.view(),
                           .inverse_std = inverse_std_.view(),
                           .batch_start = batch_start_.view(),
                           .batch_v = batch_values_.view(),
                           .raw = raw_.slice(0, model_.raw_gradient_size()),
                           .rows = {},
                           .nll = nll_.view(),
                           .squared_norm = squared_norm_.view(),
                           .update = {}};
  if (model_.device().type != kernels::DeviceType::cpu) {
    step.select.emplace();
    step.select->state = state_.view();
    step.select->order = order_.view();
    step.select->start = start_.view();
    step.select->v = values_.view();
    step.select->stride = windows_;
    step.select->batch_start = batch_start_.view();
    step.select->batch_v = batch_values_.view();
  }
  if (augment_) {
    step.augment = augment_;
    step.batch_v = moved_values_.view();
  }
  if (rows_ > 1) {
    step.rows = {.all = raw_.view(), .count = rows_, .stride = row_floats_, .sum = sum_.view()};
  }
  step.update.state = state_.view();
  step.update.learning_rate = learning_rate_.view();
  step.update.m = m_.view();
  step.update.v = v_.view();
  step.update.good_parameter = good_parameters_.view();
  step.update.good_m = good_m_.view();
  step.update.good_v = good_v_.view();
  step.update.loss = loss_.view();
  step.update.norm = norm_.view();
  train::queue_training_step(stream_, step);
}

double TrainingStep::loss() {
  const Untraced untraced(stream_);
  const std::vector<double> nll = kernels::to_host(stream_, nll_.view());
  return std::accumulate(nll.begin(), nll.end(), 0.0) /
         (static_cast<double>(windows_) * static_cast<double>(model_.dimensions()));
}

}  // namespace evenflow::experiments
