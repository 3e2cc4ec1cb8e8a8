#include "kernels/adam.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {

void adam_update(Stream& stream, const AdamUpdate& task) {
  const int64_t size = task.parameter.size;
  check(task.gradient.size == size && task.m.size == size && task.v.size == size, "adam_update",
        "gradient, parameter, m and v of one size");
  check(task.settings.step >= 1, "adam_update", "a step that counts from 1");
  dispatch(stream, "adam_update", task);
}

Cost cost(const AdamUpdate& task) {
  const auto size = static_cast<double>(task.parameter.size);
  return {7 * bytes_of_floats(size), 14 * size};
}

}  // namespace evenflow::kernels
