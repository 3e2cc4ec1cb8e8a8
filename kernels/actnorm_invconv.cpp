#include "kernels/actnorm_invconv.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {
namespace {

void check_parameters(const char* operation, ConstMap x, const ActnormParameters& parameters,
                      const Array<const float>& weight) {
  check_size(operation, "bias", parameters.bias, x.c);
  check_size(operation, "log_scale", parameters.log_scale, x.c);
  check_size(operation, "weight", weight, x.c * x.c);
}

}  // namespace

void actnorm_invconv_forward(Stream& stream, const ActnormInvconvForward& task) {
  constexpr const char* operation = "actnorm_invconv_forward";
  check_same_shape(operation, task.x, task.normalised);
  check_same_shape(operation, task.x, task.y);
  check_parameters(operation, task.x, task.parameters, task.weight);
  check(task.y.data != task.x.data && task.y.data != task.normalised.data, operation, "a y in memory of its own");
  dispatch(stream, operation, task);
}

void actnorm_invconv_backward(Stream& stream, const ActnormInvconvBackward& task) {
  constexpr const char* operation = "actnorm_invconv_backward";
  check_same_shape(operation, task.normalised, task.dy);
  check_same_shape(operation, task.normalised, task.dx);
  check_same_shape(operation, task.normalised, task.workspace);
  check_parameters(operation, task.normalised, task.parameters, task.weight);
  check_size(operation, "bias's gradient", task.gradients.bias, task.dx.c);
  check_size(operation, "log_scale's gradient", task.gradients.log_scale, task.dx.c);
  check_size(operation, "dweight", task.dweight, task.weight.size);
  check(task.workspace.data != task.dy.data, operation, "a workspace in other memory than dy");
  dispatch(stream, operation, task);
}

Cost cost(const ActnormInvconvForward& task) {
  const auto elements = static_cast<double>(task.x.size()), c = static_cast<double>(task.x.c);
  return {3 * bytes_of_floats(elements) + bytes_of_floats(c * (c + 2)), 2 * elements * (c + 1)};
}

Cost cost(const ActnormInvconvBackward& task) {
  const auto elements = static_cast<double>(task.dy.size()), c = static_cast<double>(task.dy.c);
  return {3 * bytes_of_floats(elements) + bytes_of_floats(c * (3 * c + 6)), 4 * elements * (c + 1)};
}

}  // namespace evenflow::kernels
