#include "kernels/train_step.h"

#include "kernels/check.h"
#include "kernels/operations.h"

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
  dispatch(stream, "select_batch", task);
}

void guarded_update(Stream& stream, const GuardedUpdate& task) {
  const int64_t size = task.parameter.size;
  check(task.state.size == 1 && task.squared_norm.size == 1, "guarded_update", "one state and one squared_norm");
  check(task.gradient.size == size && task.m.size == size && task.v.size == size && task.good_parameter.size == size &&
            task.good_m.size == size && task.good_v.size == size,
        "guarded_update", "gradient, parameter, m, v and their good copies of one size");
  check(task.loss.size == task.learning_rate.size && task.norm.size == task.learning_rate.size, "guarded_update",
        "learning_rate, loss and norm of one size");
  dispatch(stream, "guarded_update", task);
}

Cost cost(const SelectBatch& task) {
  const auto windows = static_cast<double>(task.batch_start.size);
  return {2 * (windows * 2 * sizeof(int64_t) + bytes_of_doubles(task.batch_v.size)), 0};
}

// gradient, parameter, m and v in; parameter, m, v and the copies of the good ones out.
Cost cost(const GuardedUpdate& task) {
  const auto size = static_cast<double>(task.parameter.size);
  return {10 * bytes_of_floats(size) + bytes_of_doubles(task.nll.size), 14 * size};
}

}  // namespace evenflow::kernels
