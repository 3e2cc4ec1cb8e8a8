#include "kernels/train_step.h"

#include "kernels/backend.h"
#include "kernels/check.h"
#include "kernels/trace.h"

namespace evenflow::kernels {

void select_batch(Stream& stream, const SelectBatch& task) {
  check(task.state.size == 1, "select_batch", "one state");
  check(task.stride >= 0, "select_batch", "no negative stride");
  // v of P columns needs n rows of as many in the batch, and none if there is none.
  check(task.v.size == 0 || (task.start.size > 0 && task.v.size % task.start.size == 0), "select_batch",
        "v of one row per window");
  check(task.v.size == 0 ? task.batch_v.size == 0
                         : task.batch_v.size == task.v.size / task.start.size * task.batch_start.size,
        "select_batch", "batch_v of one row of v per window of the batch");
  const TraceRange range(stream, "select_batch");
  backend_of(stream.device()).select_batch(stream, task);
}

void guarded_update(Stream& stream, const GuardedUpdate& task) {
  const int64_t size = task.parameter.size;
  check(task.state.size == 1 && task.squared_norm.size == 1, "guarded_update", "one state and one squared_norm");
  check(task.gradient.size == size && task.m.size == size && task.v.size == size && task.good_parameter.size == size &&
            task.good_m.size == size && task.good_v.size == size,
        "guarded_update", "gradient, parameter, m, v and their good copies of one size");
  check(task.loss.size == task.learning_rate.size && task.norm.size == task.learning_rate.size, "guarded_update",
        "learning_rate, loss and norm of one size");
  const TraceRange range(stream, "guarded_update");
  backend_of(stream.device()).guarded_update(stream, task);
}

}  // namespace evenflow::kernels
