#include "kernels/additive.h"

#include <fmt/format.h>

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {
namespace {

void check_shift(const char* operation, ConstMap x, ConstMap shift) {
  if (x.c % 2 == 0 && shift.n == x.n && shift.c == x.c / 2 && shift.h == x.h && shift.w == x.w) {
    return;
  }
  throw ShapeError(fmt::format("{}: expected [n, c, h, w] with even c and a shift [n, c/2, h, w], got {} and {}",
                               operation, text(x), text(shift)));
}

}  // namespace

void additive_forward(Stream& stream, const AdditiveForward& task) {
  check_same_shape("additive_forward", task.x, task.y);
  check_shift("additive_forward", task.x, task.shift);
  dispatch(stream, "additive_forward", task);
}

void additive_inverse(Stream& stream, const AdditiveInverse& task) {
  check_same_shape("additive_inverse", task.y, task.x);
  check_shift("additive_inverse", task.y, task.shift);
  dispatch(stream, "additive_inverse", task);
}

void additive_backward(Stream& stream, const AdditiveBackward& task) {
  check_same_shape("additive_backward", task.dy, task.dx);
  check_shift("additive_backward", task.dy, task.dshift);
  dispatch(stream, "additive_backward", task);
}

Cost cost(const AdditiveForward& task) {
  const auto shifted = static_cast<double>(task.shift.size());
  return {2 * bytes_of_floats(task.x.size()) + bytes_of_floats(shifted), shifted};
}

Cost cost(const AdditiveInverse& task) {
  return cost(AdditiveForward{.x = task.y, .shift = task.shift, .y = task.x});
}

Cost cost(const AdditiveBackward& task) {
  return {2 * bytes_of_floats(task.dy.size()) + bytes_of_floats(task.dshift.size()), 0};
}

}  // namespace evenflow::kernels
