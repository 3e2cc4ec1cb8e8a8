#include "train/loop/training_step.h"

#include "kernels/copy.h"
#include "kernels/gather.h"
#include "kernels/reduce.h"
#include "kernels/trace.h"

namespace evenflow::train {
namespace {

using kernels::Array;
using kernels::TraceRange;

void update(kernels::Stream& stream, const TrainingStep& step, double loss_scale) {
  const TraceRange phase(stream, "update");
  Array<float> raw = step.raw;
  if (step.shared) {
    step.shared->ranks.gather(stream, step.shared->gathered);
  }
  if (step.rows) {
    kernels::sum_rows(
        stream,
        {.in = step.rows->all, .rows = step.rows->count, .row_stride = step.rows->stride, .out = step.rows->sum});
    raw = step.rows->sum.slice(0, raw.size);
  }
  step.model.finish_gradient(stream, raw, 1.0 / static_cast<double>(step.model.dimensions()));
  kernels::GuardedUpdate task = step.update;
  task.gradient = raw.slice(0, step.model.layout().size());
  kernels::squared_norm(stream, {.x = task.gradient, .out = step.squared_norm});
  task.loss_scale = loss_scale;
  task.nll = step.shared ? step.shared->nll : step.nll;
  task.squared_norm = step.squared_norm;
  task.parameter = step.model.parameters();
  kernels::guarded_update(stream, task);
}

}  // namespace

kernels::ConstMap gather_batch(kernels::Stream& stream, const TrainingStep& step) {
  const TraceRange phase(stream, "gather");
  if (step.select) {
    kernels::select_batch(stream, *step.select);
  }
  const kernels::Map x = step.pass.input().samples(0, step.batch_start.size);
  kernels::GatherWindows task{
      .frames = step.frames, .start = step.batch_start, .mean = step.mean, .inverse_std = step.inverse_std, .x = x};
  if (step.augment) {
    kernels::draw_changes(stream, step.augment->draw);
    task.changes = step.augment->draw.changes;
    task.mels_per_band = step.augment->mels_per_band;
    task.moves = step.augment->moves;
  }
  kernels::gather_windows(stream, task);
  return x;
}

void queue_training_step(kernels::Stream& stream, const TrainingStep& step) {
  const int64_t own = step.batch_start.size, windows = step.shared ? step.shared->windows : own;
  const double scale = 1.0 / (static_cast<double>(windows) * static_cast<double>(step.model.dimensions()));
  const kernels::ConstMap x = own > 0 ? gather_batch(stream, step) : kernels::ConstMap{};
  {
    const TraceRange phase(stream, "assemble");
    step.model.assemble(stream);
  }
  {
    const TraceRange phase(stream, "backward");
    kernels::zero(stream, step.raw);
  }
  if (own > 0) {
    const flow::Draws draws{{&step.update.state.data->adam_step, 1, step.update.state.device},
                            step.shared ? step.shared->first : 0};
    step.pass.loss_and_gradient(stream, x, step.batch_v, scale, draws, step.nll, step.raw);
  }
  update(stream, step, scale);
}

const std::vector<std::string>& training_step_phases() {
  static const std::vector<std::string> phases = {"assemble", "gather", "forward", "loss", "backward", "update"};
  return phases;
}

}  // namespace evenflow::train
