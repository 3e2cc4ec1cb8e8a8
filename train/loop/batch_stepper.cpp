#include "train/loop/batch_stepper.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "kernels/copy.h"
#include "kernels/random_order.h"

namespace evenflow::train {
namespace {

using kernels::Array;
using kernels::Buffer;

int64_t round_up(int64_t n, int64_t unit) {
  return (n + unit - 1) / unit * unit;
}

template <class T>
Array<const T> host_view(const std::vector<T>& values) {
  return {values.data(), static_cast<int64_t>(values.size()), {}};
}

}  // namespace

BatchStepper::BatchStepper(const StepParts& parts) : BatchStepper(parts, nullptr) {}

BatchStepper::BatchStepper(const StepParts& parts, const SharedByLanes& shared) : BatchStepper(parts, &shared) {}

BatchStepper::BatchStepper(const StepParts& parts, const SharedByLanes* shared)
    : parts_(parts),
      engine_(dynamic_cast<BatchEngine&>(parts.engine)),
      stream_(engine_.stream()),
      device_(parts.model.device()),
      parameters_(parts.model.parameter_count()),
      loaded_values_(parameters_ + (parts.augment ? parts.augment->more_values() : 0)),
      epoch_windows_(parts.loader.windows_per_epoch(parts.settings.windows_per_clip)),
      most_windows_(round_up(parts.settings.batch, engine_.shares().ranks().ranks()) /
                    engine_.shares().ranks().ranks()),
      row_(alone() ? parts.model.raw_gradient_size() : round_up(parts.model.raw_gradient_size(), 16)),
      resident_(parts.loader.resident()),
      lane_(shared != nullptr),
      device_state_(1, device_),
      host_state_(Buffer<kernels::StepState>::pinned(1, device_)),
      shared_(lane_ ? *shared : SharedByLanes{{}, {}, parts.loader.windows(), epoch_windows_}),
      batch_start_(parts.settings.batch, device_),
      changes_(parts.augment ? parts.settings.batch : 0, device_),
      draws_(lane_ && parts.augment ? 1 : 0, device_),
      moves_(stream_, parts.augment && parts.augment->moves ? *parts.augment->moves : MoveTable{}),
      batch_values_(parts.augment ? parts.settings.batch * loaded_values_ : 0, device_),
      batch_v_(parts.settings.batch * parameters_, device_),
      nll_(most_windows_ * engine_.shares().ranks().ranks(), device_),
      squared_norm_(1, device_),
      learning_rate_(steps_of(shared_.epoch_windows), device_),
      loss_(learning_rate_.size(), device_),
      norm_(learning_rate_.size(), device_),
      host_loss_(Buffer<double>::pinned(steps(), device_)),
      host_norm_(Buffer<double>::pinned(steps(), device_)),
      raw_(row_ * engine_.shares().ranks().ranks(), device_),
      sum_(alone() ? 0 : row_, device_),
      good_parameters_(parts.model.layout().size(), device_),
      good_m_(parts.model.layout().size(), device_),
      good_v_(parts.model.layout().size(), device_) {
  if (draws_.size() > 0) {
    const kernels::DrawChanges& draw = parts.augment->draw;
    const kernels::LaneDraws own{draw.augmentation, draw.seed, draw.speed_column, draw.point_column};
    kernels::upload<kernels::LaneDraws>(stream_, {&own, 1}, draws_.view());
  }
  if (!alone()) {
    device_ranks_ = std::make_unique<kernels::DeviceRanks>(device_, engine_.shares().ranks());
  }
  if (resident_) {
    const WindowTable table = parts.loader.window_table();
    start_ = Buffer<int64_t>(shared_.windows, device_);
    v_ = Buffer<double>(shared_.windows * loaded_values_, device_);
    kernels::upload<int64_t>(stream_, table.start, start_.slice(0, parts.loader.windows()));
    kernels::upload<double>(stream_, table.v, v_.slice(0, parts.loader.windows() * loaded_values_));
    order_ = Buffer<int64_t>(shared_.epoch_windows, device_);
    if (lane_) {
      position_ = steps();
      return;
    }
    engine_.hold(parts.loader.resident_frames());
    order_workspace_ = Buffer<unsigned char>(kernels::random_order_workspace_bytes(device_, epoch_windows_), device_);
    shared_.frames = engine_.held(parts.loader.resident_frames());
    shared_.order_workspace = order_workspace_.view();
    return;
  }
  kernels::check(!lane_, "BatchStepper", "resident frames of a lane");
  const int64_t floats = parts.settings.batch * parts.model.dimensions();
  for (Source& source : sources_) {
    source.host = Buffer<float>::pinned(floats, device_);
    source.device = Buffer<float>(floats, device_);
    source.host_v = Buffer<double>::pinned(loaded().size(), device_);
    source.copied = kernels::Event(device_);
  }
  // A streamed batch's windows lie one behind the other.
  std::vector<int64_t> start(static_cast<size_t>(parts.settings.batch));
  for (size_t i = 0; i < start.size(); ++i) {
    start[i] = static_cast<int64_t>(i) * parts.model.width();
  }
  kernels::upload<int64_t>(stream_, start, batch_start_.view());
}

int64_t BatchStepper::steps() const {
  return steps_of(epoch_windows_);
}

int64_t BatchStepper::steps_of(int64_t windows) const {
  return (windows + parts_.settings.batch - 1) / parts_.settings.batch;
}

int64_t BatchStepper::windows_of(int64_t step) const {
  return std::min<int64_t>(parts_.settings.batch, epoch_windows_ - step * parts_.settings.batch);
}

void BatchStepper::start_epoch(int64_t epoch, int64_t first_step) {
  epoch_ = epoch;
  position_ = first_step;
  state_known_ = false;
  order_windows();
}

void BatchStepper::order_windows() {
  const io::TrainSettings& s = parts_.settings;
  if (!resident_) {
    parts_.loader.start_epoch(s.seed, epoch_, s.batch, s.windows_per_clip, position_);
    for (Source& source : sources_) {
      source.in_use = false;
    }
    return;
  }
  if (epoch_windows_ == parts_.loader.windows()) {
    kernels::random_order(stream_, {.seed = s.seed,
                                    .order_stream = epoch_order_stream(epoch_),
                                    .order = order_.slice(0, epoch_windows_),
                                    .workspace = shared_.order_workspace});
    if (lane_) {
      stream_.synchronise();  // another lane's order is made in the same memory
    }
    return;
  }
  // windows_per_clip draws some of them.
  const std::vector<int64_t> drawn = parts_.loader.epoch_windows(s.seed, epoch_, s.windows_per_clip);
  kernels::upload<int64_t>(stream_, drawn, order_.slice(0, epoch_windows_));
}

// Tells the device where the run stands: at an epoch's start, and after a step was rejected.
void BatchStepper::set_state() {
  if (!good_known_) {
    const OptimizerSnapshot& good = parts_.guard.good();
    kernels::upload<float>(stream_, good.parameters, good_parameters_.view());
    kernels::upload<float>(stream_, good.m, good_m_.view());
    kernels::upload<float>(stream_, good.v, good_v_.view());
    good_known_ = true;
  }
  state_ = {.position = position_,
            .adam_step = parts_.optimizer.step(),
            .good_step = parts_.guard.good().step,
            .halted = 0,
            .accepted = 0,
            .clip_norm = parts_.settings.clip_norm};
  kernels::upload<kernels::StepState>(stream_, {&state_, 1}, device_state_.view());
  std::vector<double> rates(static_cast<size_t>(steps()));
  for (size_t i = 0; i < rates.size(); ++i) {
    rates[i] = parts_.learning_rate(static_cast<int64_t>(i));
  }
  kernels::upload<double>(stream_, rates, learning_rate_.slice(0, steps()));
  state_known_ = true;
}

void BatchStepper::begin() {
  if (!state_known_) {
    set_state();
  }
}

void BatchStepper::pause() {
  state_ = {};
  state_.halted = 1;
  kernels::upload<kernels::StepState>(stream_, {&state_, 1}, device_state_.view());
  state_known_ = false;
}

int64_t BatchStepper::alike_ahead() const {
  const int64_t full = epoch_windows_ / parts_.settings.batch;
  return position_ < full ? full - position_ : steps() - position_;
}

std::span<const StepOutcome> BatchStepper::run(int64_t count) {
  begin();
  const int64_t first = position_;
  const int64_t queued = std::min({count, most_queued, steps() - first});
  for (int64_t i = 0; i < queued; ++i) {
    queue(first + i);
  }
  return collect(queued);
}

// Of the steps queued from `position_` on.
std::span<const StepOutcome> BatchStepper::collect(int64_t queued) {
  const int64_t first = position_;
  kernels::copy(stream_, device_state_.view(), host_state_.view());
  kernels::copy(stream_, loss_.slice(first, queued), host_loss_.slice(first, queued));
  kernels::copy(stream_, norm_.slice(first, queued), host_norm_.slice(first, queued));
  stream_.synchronise();
  state_ = host_state_[0];
  const bool halted = state_.halted != 0;
  outcomes_.clear();
  position_ = state_.position + (halted ? 1 : 0);
  for (int64_t step = first; step < position_; ++step) {
    outcomes_.push_back(
        {.windows = windows_of(step), .loss = host_loss_[step], .gradient_norm = host_norm_[step], .non_finite = {}});
  }
  parts_.optimizer.set_step(state_.adam_step);
  parts_.guard.accept(state_.good_step);
  if (halted) {
    outcomes_.back().non_finite = trace(state_.position);
    settle();
    state_known_ = false;
    if (!resident_) {
      order_windows();
    }
  }
  return outcomes_;
}

void BatchStepper::queue(int64_t step) {
  const int64_t source = resident_ ? 0 : step % 2;
  if (!resident_) {
    fill(source);
  }
  const int64_t windows = windows_of(step);
  Step& recorded = step_for(source, windows);
  // Libraries choose their plans, and scratch memory grows, when an operation first runs: not while it is recorded.
  if (!recorded.warm) {
    queue_operations(stream_, source, windows);
    recorded.warm = true;
    return;
  }
  if (recorded.graph.empty()) {
    recorded.graph = kernels::Graph(stream_, [this, source, windows] { queue_operations(stream_, source, windows); });
  }
  recorded.graph.launch(stream_);
}

// The loader's next batch into a source, once the device has copied what was there.
WindowBatch BatchStepper::fill(int64_t index) {
  Source& source = sources_[static_cast<size_t>(index)];
  const WindowBatch batch = parts_.loader.next();
  if (source.in_use) {
    source.copied.wait();
  }
  const Range mine = engine_.share(batch.size());
  const int64_t floats = mine.count * parts_.model.dimensions(), values = mine.count * loaded_values_;
  std::copy_n(batch.frames.data() + mine.first * parts_.model.dimensions(), floats, source.host.data());
  std::copy_n(batch.v.data() + mine.first * loaded_values_, values, source.host_v.data());
  kernels::copy(stream_, source.host.slice(0, floats), source.device.slice(0, floats));
  kernels::copy(stream_, source.host_v.slice(0, values), loaded().slice(0, values));
  source.copied.record(stream_);
  source.in_use = true;
  return batch;
}

BatchStepper::Step& BatchStepper::step_for(int64_t source, int64_t windows) {
  for (Step& step : recorded_) {
    if (step.source == source && step.windows == windows) {
      return step;
    }
  }
  recorded_.push_back({.source = source, .windows = windows, .warm = false, .graph = {}});
  return recorded_.back();
}

void BatchStepper::queue_operations(kernels::Stream& stream, int64_t source, int64_t batch_windows) {
  const auto [first, windows] = engine_.share(batch_windows);
  const int rank = engine_.shares().ranks().rank();
  const Array<double> v = batch_v_.slice(0, windows * parameters_);
  TrainingStep step{.model = parts_.model,
                    .pass = engine_.pass(),
                    .select = {},
                    .frames = sources_[static_cast<size_t>(source)].device.view(),
                    .mean = engine_.mean(),
                    .inverse_std = engine_.inverse_std(),
                    .batch_start = batch_start_.slice(0, windows),
                    .batch_v = v,
                    .raw = raw_.slice(rank * row_, parts_.model.raw_gradient_size()),
                    .rows = {},
                    .nll = nll_.slice(rank * most_windows_, windows),
                    .squared_norm = squared_norm_.view(),
                    .update = {}};
  if (resident_) {
    step.frames = shared_.frames;
    step.select.emplace();
    step.select->state = device_state_.view();
    step.select->order = order_.slice(first, order_.size() - first);
    step.select->start = start_.view();
    step.select->v = v_.view();
    step.select->stride = parts_.settings.batch;
    step.select->batch_start = batch_start_.slice(0, windows);
    step.select->batch_v = loaded().slice(0, windows * loaded_values_);
  }
  if (parts_.augment) {
    step.augment = {parts_.augment->draw, parts_.augment->mels_per_band, moves_.of_bands()};
    kernels::DrawChanges& draw = step.augment->draw;
    draw.points = moves_.points.view();
    draw.moves = moves_.moves.view();
    draw.step = {&device_state_.data()->adam_step, 1, device_};
    draw.values = batch_values_.slice(0, windows * loaded_values_);
    draw.changes = changes_.slice(0, windows);
    draw.v = v;
    draw.first = first;
    draw.of_lane = draws_.view();
  }
  if (!alone()) {
    share_with_ranks(step, batch_windows);
  }
  step.update.state = device_state_.view();
  step.update.learning_rate = learning_rate_.view();
  step.update.m = parts_.optimizer.m();
  step.update.v = parts_.optimizer.v();
  step.update.good_parameter = good_parameters_.view();
  step.update.good_m = good_m_.view();
  step.update.good_v = good_v_.view();
  step.update.loss = loss_.view();
  step.update.norm = norm_.view();
  queue_training_step(stream, step);
}

// Every rank hands in a row of as many numbers, so those that it has no window for are 0.
void BatchStepper::share_with_ranks(TrainingStep& step, int64_t windows) {
  const kernels::Communicator& ranks = engine_.shares().ranks();
  kernels::zero(stream_, nll_.slice(ranks.rank() * most_windows_, most_windows_));
  step.rows = {.all = raw_.view(), .count = ranks.ranks(), .stride = row_, .sum = sum_.view()};
  step.shared.emplace(TrainingStep::Shared{
      .ranks = *device_ranks_,
      .gathered = {kernels::RankRows{raw_.data(), row_ * static_cast<int64_t>(sizeof(float))},
                   kernels::RankRows{nll_.data(), most_windows_ * static_cast<int64_t>(sizeof(double))}},
      .windows = windows,
      .first = engine_.share(windows).first,
      .nll = nll_.view()});
}

// Without the gaps between the ranks'.
std::vector<double> BatchStepper::nll_of_batch(int64_t windows) {
  const std::vector<double> all = kernels::to_host(stream_, nll_.view());
  std::vector<double> nll;
  for (int rank = 0; rank < engine_.shares().ranks().ranks(); ++rank) {
    const auto begin = all.begin() + rank * most_windows_;
    nll.insert(nll.end(), begin, begin + engine_.shares().of(rank, windows, 1).count);
  }
  return nll;
}

void BatchStepper::settle() {
  OptimizerSnapshot& good = parts_.guard.good_copy();
  if (!good_known_) {
    return;
  }
  kernels::download<float>(stream_, good_parameters_.view(), good.parameters);
  kernels::download<float>(stream_, good_m_.view(), good.m);
  kernels::download<float>(stream_, good_v_.view(), good.v);
}

// Computes the step that halted the run once more, which changes nothing while the run is halted.
NonFinite BatchStepper::trace(int64_t step) {
  const io::TrainSettings& s = parts_.settings;
  const int64_t windows = windows_of(step);
  parts_.loader.start_epoch(s.seed, epoch_, s.batch, s.windows_per_clip, step);
  WindowBatch batch = resident_ ? parts_.loader.next() : fill(0);
  queue_operations(stream_, 0, windows);
  std::vector<kernels::WindowChange> changes;
  if (parts_.augment) {
    const Range mine = engine_.share(windows);
    const std::vector<kernels::WindowChange> own = kernels::to_host(stream_, changes_.slice(0, mine.count));
    changes.resize(static_cast<size_t>(windows));
    std::copy(own.begin(), own.end(), changes.begin() + mine.first);
    batch.changes = changes;
    batch.mels_per_band = parts_.augment->mels_per_band;
    if (parts_.augment->moves) {
      batch.moves = parts_.augment->moves->of_bands();
    }
  }
  const std::vector<double> nll = nll_of_batch(windows);
  const std::vector<float> gradient =
      kernels::to_host(stream_, (alone() ? raw_ : sum_).slice(0, parts_.model.layout().size()));
  return trace_non_finite(engine_, parts_.model.layout(), batch, parts_.loader.refs(), nll, host_view(gradient));
}

}  // namespace evenflow::train
