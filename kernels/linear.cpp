#include "kernels/linear.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {
namespace {

void check_shape(const char* operation, const LinearShape& s) {
  check(s.n >= 1 && s.in >= 1 && s.out >= 1, operation, "n, in and out of one or more");
}

double product_flop(const LinearShape& s) {
  return 2 * static_cast<double>(s.n) * static_cast<double>(s.in) * static_cast<double>(s.out);
}

}  // namespace

void linear_forward(Stream& stream, const LinearForward& task) {
  const LinearShape& s = task.shape;
  check_shape("linear_forward", s);
  check(task.x.size == s.n * s.in && task.y.size == s.n * s.out, "linear_forward", "x [n, in] and y [n, out]");
  check(task.weight.size == s.out * s.in && task.bias.size == s.out, "linear_forward",
        "weight [out, in] and bias [out]");
  dispatch(stream, "linear_forward", task);
}

void linear_backward(Stream& stream, const LinearBackward& task) {
  const LinearShape& s = task.shape;
  check_shape("linear_backward", s);
  check(task.x.size == s.n * s.in && task.y.size == s.n * s.out && task.dy.size == s.n * s.out, "linear_backward",
        "x [n, in], y and dy [n, out]");
  check(task.dx.size == 0 || task.dx.size == s.n * s.in, "linear_backward", "dx [n, in], or none");
  check(task.weight.size == s.out * s.in && task.gradients.weight.size == task.weight.size &&
            task.gradients.bias.size == s.out,
        "linear_backward", "weight and its gradient [out, in], the bias's gradient [out]");
  dispatch(stream, "linear_backward", task);
}

Cost cost(const LinearForward& task) {
  return {bytes_of_floats(task.x.size + task.weight.size + task.bias.size + task.y.size),
          product_flop(task.shape) + static_cast<double>(task.y.size)};
}

Cost cost(const LinearBackward& task) {
  const double products = task.dx.size == 0 ? 1 : 2;
  return {bytes_of_floats(task.x.size + task.y.size + 2 * task.dy.size + task.dx.size + 3 * task.weight.size +
                          2 * task.gradients.bias.size),
          products * product_flop(task.shape) + static_cast<double>(task.dy.size)};
}

}  // namespace evenflow::kernels
