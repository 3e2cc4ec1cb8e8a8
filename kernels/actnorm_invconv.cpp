#include "kernels/actnorm_invconv.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {
namespace {

void check_parameters(const char* operation, int64_t channels, const ActnormParameters& parameters,
                      const Array<const float>& weight) {
  check_size(operation, "bias", parameters.bias, channels);
  check_size(operation, "log_scale", parameters.log_scale, channels);
  check_size(operation, "weight", weight, channels * channels);
}

void check_gradients(const char* operation, int64_t channels, const ActnormGradients& gradients,
                     const Array<float>& dweight) {
  check_size(operation, "bias's gradient", gradients.bias, channels);
  check_size(operation, "log_scale's gradient", gradients.log_scale, channels);
  check_size(operation, "dweight", dweight, channels * channels);
}

}  // namespace

void actnorm_invconv_forward(Stream& stream, const ActnormInvconvForward& task) {
  constexpr const char* operation = "actnorm_invconv_forward";
  check_same_shape(operation, task.x, task.normalised);
  check_same_shape(operation, task.x, task.y);
  check_parameters(operation, task.x.c, task.parameters, task.weight);
  check(task.y.data != task.x.data && task.y.data != task.normalised.data, operation, "a y in memory of its own");
  dispatch(stream, operation, task);
}

void actnorm_invconv_backward(Stream& stream, const ActnormInvconvBackward& task) {
  constexpr const char* operation = "actnorm_invconv_backward";
  check_same_shape(operation, task.normalised, task.dy);
  check_same_shape(operation, task.normalised, task.dx);
  check_same_shape(operation, task.normalised, task.workspace);
  check_parameters(operation, task.normalised.c, task.parameters, task.weight);
  check_gradients(operation, task.dx.c, task.gradients, task.dweight);
  if (task.shares.size != 0) {
    const ConstMap& x = task.normalised;
    check_at_least(operation, "shares", task.shares,
                   actnorm_invconv_share_floats(stream.device(), {.n = x.n, .channels = x.c, .pixels = x.pixels()}));
  }
  check(task.workspace.data != task.dy.data, operation, "a workspace in other memory than dy");
  dispatch(stream, operation, task);
}

int64_t actnorm_invconv_share_floats(Device device, const ActnormInvconvBuffers& maps) {
  return sizes_on(device, maps).shares;
}

void actnorm_invconv_add_shares(Stream& stream, const ActnormInvconvAddShares& task) {
  constexpr const char* operation = "actnorm_invconv_add_shares";
  for (const ActnormInvconvShares& layer : task.layers) {
    check_parameters(operation, layer.maps.channels, layer.parameters, layer.weight);
    check_gradients(operation, layer.maps.channels, layer.gradients, layer.dweight);
    check_at_least(operation, "shares", layer.shares, actnorm_invconv_share_floats(stream.device(), layer.maps));
  }
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

Cost cost(const ActnormInvconvAddShares& task) {
  Cost sum;
  for (const ActnormInvconvShares& layer : task.layers) {
    sum.bytes += bytes_of_floats(layer.shares.size) + bytes_of_floats(layer.weight.size * 3 + layer.maps.channels * 5);
  }
  return sum;
}

}  // namespace evenflow::kernels
