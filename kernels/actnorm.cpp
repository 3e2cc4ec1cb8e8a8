#include "kernels/actnorm.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {
namespace {

template <class PerChannel>
void check_channels(const char* operation, ConstMap x, const PerChannel& values) {
  check_size(operation, "bias", values.bias, x.c);
  check_size(operation, "log_scale", values.log_scale, x.c);
}

}  // namespace

void actnorm_forward(Stream& stream, const ActnormForward& task) {
  check_same_shape("actnorm_forward", task.x, task.y);
  check_channels("actnorm_forward", task.x, task.parameters);
  dispatch(stream, "actnorm_forward", task);
}

void actnorm_inverse(Stream& stream, const ActnormInverse& task) {
  check_same_shape("actnorm_inverse", task.y, task.x);
  check_channels("actnorm_inverse", task.y, task.parameters);
  dispatch(stream, "actnorm_inverse", task);
}

void actnorm_backward(Stream& stream, const ActnormBackward& task) {
  check_same_shape("actnorm_backward", task.y, task.dy);
  check_same_shape("actnorm_backward", task.y, task.dx);
  check_channels("actnorm_backward", task.y, task.parameters);
  check_channels("actnorm_backward", task.y, task.gradients);
  dispatch(stream, "actnorm_backward", task);
}

void actnorm_initialise(Stream& stream, const ActnormInitialise& task) {
  check_channels("actnorm_initialise", task.x, task);
  check(task.x.n * task.x.pixels() > 0, "actnorm_initialise", "at least one pixel");
  dispatch(stream, "actnorm_initialise", task);
}

Cost cost(const ActnormForward& task) {
  const auto elements = static_cast<double>(task.x.size());
  return {2 * bytes_of_floats(elements) + 2 * bytes_of_floats(task.x.c), 2 * elements};
}

Cost cost(const ActnormInverse& task) {
  return cost(ActnormForward{.x = task.y, .parameters = task.parameters, .y = task.x});
}

Cost cost(const ActnormBackward& task) {
  const auto elements = static_cast<double>(task.y.size());
  return {3 * bytes_of_floats(elements) + 6 * bytes_of_floats(task.y.c), 4 * elements};
}

Cost cost(const ActnormInitialise& task) {
  const auto elements = static_cast<double>(task.x.size());
  return {bytes_of_floats(elements) + 2 * bytes_of_floats(task.x.c), 4 * elements};
}

}  // namespace evenflow::kernels
