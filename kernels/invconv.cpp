#include "kernels/invconv.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {

void invconv_apply(Stream& stream, const InvconvApply& task) {
  check_same_shape("invconv_apply", task.x, task.y);
  check_size("invconv_apply", "weight", task.weight, task.x.c * task.x.c);
  check(task.x.data != task.y.data, "invconv_apply", "an output that is not its input");
  dispatch(stream, "invconv_apply", task);
}

void invconv_backward(Stream& stream, const InvconvBackward& task) {
  check_same_shape("invconv_backward", task.x, task.dy);
  check_same_shape("invconv_backward", task.x, task.dx);
  check_size("invconv_backward", "weight", task.weight, task.x.c * task.x.c);
  check_size("invconv_backward", "dweight", task.dweight, task.x.c * task.x.c);
  check(task.dy.data != task.dx.data, "invconv_backward", "a dx that is not dy");
  dispatch(stream, "invconv_backward", task);
}

Cost cost(const InvconvApply& task) {
  const auto elements = static_cast<double>(task.x.size()), c = static_cast<double>(task.x.c);
  return {2 * bytes_of_floats(elements) + bytes_of_floats(c * c), 2 * elements * c};
}

Cost cost(const InvconvBackward& task) {
  const auto elements = static_cast<double>(task.x.size()), c = static_cast<double>(task.x.c);
  return {3 * bytes_of_floats(elements) + 3 * bytes_of_floats(c * c), 4 * elements * c};
}

}  // namespace evenflow::kernels
