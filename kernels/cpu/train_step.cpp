#include "kernels/train_step.h"

#include <algorithm>
#include <cmath>

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {

void run(Stream&, const SelectBatch& task) {
  const int64_t first = task.state[0].position * task.stride;
  const int64_t columns = task.v.size == 0 ? 0 : task.v.size / task.start.size;
  for (int64_t i = 0; i < task.batch_start.size && first + i < task.order.size; ++i) {
    const int64_t window = task.order[first + i];
    task.batch_start[i] = task.start[window];
    for (int64_t p = 0; p < columns; ++p) {
      task.batch_v[i * columns + p] = task.v[window * columns + p];
    }
  }
}

void run(Stream& stream, const GuardedUpdate& task) {
  StepState& state = task.state[0];
  state.accepted = 0;
  if (state.halted != 0 || state.position >= task.loss.size) {
    return;
  }
  double sum = 0;
  for (int64_t i = 0; i < task.nll.size; ++i) {
    sum += task.nll[i];
  }
  const double loss = task.loss_scale * sum;
  const double norm = std::sqrt(task.squared_norm[0]);
  task.loss[state.position] = loss;
  task.norm[state.position] = norm;
  if (!std::isfinite(loss) || !std::isfinite(norm)) {
    state.halted = 1;
    return;
  }
  const int64_t size = task.parameter.size;
  std::copy_n(task.parameter.data, size, task.good_parameter.data);
  std::copy_n(task.m.data, size, task.good_m.data);
  std::copy_n(task.v.data, size, task.good_v.data);
  state.good_step = state.adam_step;
  const bool clipped = state.clip_norm > 0.0 && norm > state.clip_norm;
  const AdamSettings settings{.learning_rate = task.learning_rate[state.position],
                              .beta1 = task.beta1,
                              .beta2 = task.beta2,
                              .epsilon = task.epsilon,
                              .step = ++state.adam_step,
                              .gradient_scale = clipped ? state.clip_norm / norm : 1.0};
  run(stream,
      AdamUpdate{
          .settings = settings, .gradient = task.gradient, .parameter = task.parameter, .m = task.m, .v = task.v});
  ++state.position;
  state.accepted = 1;
}

}  // namespace evenflow::kernels::cpu
