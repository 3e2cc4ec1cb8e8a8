#include "train/loop/worker_stepper.h"

#include <cmath>

#include "kernels/check.h"
#include "kernels/reduce.h"

namespace evenflow::train {

WorkerStepper::WorkerStepper(const StepParts& parts)
    : parts_(parts), workers_(dynamic_cast<Workers&>(parts.engine)), nll_(static_cast<size_t>(parts.settings.batch)) {
  if (parts.augment) {
    changes_ = kernels::Buffer<kernels::WindowChange>(parts.settings.batch);
    v_ = kernels::Buffer<double>(parts.settings.batch * parts.model.parameter_count());
  }
}

void WorkerStepper::start_epoch(int64_t epoch, int64_t first_step) {
  parts_.loader.start_epoch(parts_.settings.seed, epoch, parts_.settings.batch, parts_.settings.windows_per_clip,
                            first_step);
  next_step_ = first_step;
}

std::span<const StepOutcome> WorkerStepper::run(int64_t /*count*/) {
  const WindowBatch batch = augmented(parts_.loader.next());
  outcome_ = {.windows = batch.size(), .loss = 0, .gradient_norm = 0, .non_finite = {}};
  step(batch);
  ++next_step_;
  return {&outcome_, 1};
}

WindowBatch WorkerStepper::augmented(const WindowBatch& batch) {
  if (!parts_.augment) {
    return batch;
  }
  update_[0] = parts_.optimizer.step();
  kernels::DrawChanges draw = parts_.augment->draw;
  draw.step = update_.view();
  draw.values = {batch.v.data(), static_cast<int64_t>(batch.v.size()), {}};
  if (parts_.augment->moves) {
    parts_.augment->moves->set(draw);
  }
  draw.changes = changes_.slice(0, batch.size());
  draw.v = v_.slice(0, batch.size() * parts_.model.parameter_count());
  kernels::draw_changes(stream_, draw);
  WindowBatch out = batch;
  out.v = {draw.v.data, static_cast<size_t>(draw.v.size)};
  out.changes = {draw.changes.data, static_cast<size_t>(draw.changes.size)};
  out.mels_per_band = parts_.augment->mels_per_band;
  if (parts_.augment->moves) {
    out.moves = parts_.augment->moves->of_bands();
  }
  return out;
}

void WorkerStepper::step(const WindowBatch& batch) {
  try {
    parts_.model.assemble(stream_);
  } catch (const kernels::SingularError& error) {
    const std::span<const WindowRef> refs = parts_.loader.refs();
    outcome_.non_finite = NonFinite{error.what(), {refs.begin(), refs.end()}};
    return;
  }
  outcome_.loss = workers_.loss_and_gradient(batch, nll_, parts_.optimizer.step());
  const kernels::Array<float> gradient = workers_.gradient();
  kernels::squared_norm(stream_, {.x = gradient, .out = squared_norm_.view()});
  outcome_.gradient_norm = std::sqrt(squared_norm_[0]);
  if (!std::isfinite(outcome_.loss) || !std::isfinite(outcome_.gradient_norm)) {
    outcome_.non_finite =
        trace_non_finite(workers_, parts_.model.layout(), batch, parts_.loader.refs(), nll_, gradient);
    return;
  }
  parts_.guard.accept();
  parts_.optimizer.update(stream_, gradient, parts_.learning_rate(next_step_),
                          clip_scale(outcome_.gradient_norm, parts_.settings.clip_norm));
}

}  // namespace evenflow::train
