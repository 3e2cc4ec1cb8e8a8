#include "kernels/row_moments.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {
namespace {

int64_t moments_of(const ConstMap& z) {
  return 2 * z.c * z.h;
}

}  // namespace

void row_moments(Stream& stream, const RowMoments& task) {
  check(task.stride >= moments_of(task.z), "row_moments", "a stride of two moments a row or more");
  check_at_least("row_moments", "moments", task.moments, (task.z.n - 1) * task.stride + moments_of(task.z));
  dispatch(stream, "row_moments", task);
}

Cost cost(const RowMoments& task) {
  const auto elements = static_cast<double>(task.z.size());
  return {bytes_of_floats(elements) + bytes_of_floats(task.z.n * moments_of(task.z)),
          3 * elements + static_cast<double>(task.z.n * task.z.c * task.z.h)};
}

}  // namespace evenflow::kernels
