#include "kernels/subtract.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {

void subtract(Stream& stream, const Subtract& task) {
  check(task.a.size == task.b.size && task.a.size == task.out.size, "subtract", "arrays of one size");
  dispatch(stream, "subtract", task);
}

Cost cost(const Subtract& task) {
  return {3 * bytes_of_floats(task.out.size), static_cast<double>(task.out.size)};
}

}  // namespace evenflow::kernels
