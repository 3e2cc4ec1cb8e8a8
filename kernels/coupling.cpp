#include "kernels/coupling.h"

#include <fmt/format.h>

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {
namespace {

void check_shape(const char* operation, const CouplingShape& s) {
  if (s.channels >= 2 && s.channels % 2 == 0 && s.hidden >= 1 && s.height >= 1 && s.width >= 1) {
    return;
  }
  throw ShapeError(
      fmt::format("{}: expected an even number of channels and positive sizes, got channels {}, hidden {}, {} x {}",
                  operation, s.channels, s.hidden, s.height, s.width));
}

BufferSizes sizes_of(const char* operation, Device device, const CouplingShape& shape, int64_t n) {
  check_shape(operation, shape);
  return sizes_on(device, CouplingBuffers{.shape = shape, .n = n, .device = device});
}

template <class Tensors>
void check_tensors(const char* operation, const CouplingShape& s, const Tensors& t) {
  const int64_t half = s.channels / 2;
  check_size(operation, "conv1.weight", t.conv1_weight, s.hidden * half * 9);
  check_size(operation, "conv1.bias", t.conv1_bias, s.hidden);
  check_size(operation, "conv2.weight", t.conv2_weight, s.hidden * s.hidden);
  check_size(operation, "conv2.bias", t.conv2_bias, s.hidden);
  check_size(operation, "conv3.weight", t.conv3_weight, s.outputs() * s.hidden * 9);
  check_size(operation, "conv3.bias", t.conv3_bias, s.outputs());
  check_size(operation, "log_gain", t.log_gain, s.outputs());
}

void check_map(const char* operation, const CouplingShape& s, ConstMap x) {
  if (x.c == s.channels && x.h == s.height && x.w == s.width) {
    return;
  }
  throw ShapeError(fmt::format("{}: expected maps of {} channels, {} x {}, got {}", operation, s.channels, s.height,
                               s.width, text(x)));
}

double weights(const CouplingShape& s) {
  const auto c = static_cast<double>(s.channels), f = static_cast<double>(s.hidden);
  return c / 2 * f * 9 + f * f + f * static_cast<double>(s.outputs()) * 9;
}

double parameters(const CouplingShape& s) {
  return weights(s) + 2 * static_cast<double>(s.hidden + s.outputs());
}

/// Of the network's products, forward.
double product_flop(const CouplingShape& s, int64_t n) {
  return 2 * static_cast<double>(n * s.height * s.width) * weights(s);
}

/// Element by element of the second half, forward. Affine: sigmoid or tanh and its logarithm, shift and scale, both
/// through log_gain. Additive: the shift, through log_gain. Backward takes twice as many.
double element_flop(const CouplingShape& s, ConstMap x) {
  return (s.kind == CouplingKind::additive ? 2.0 : 8.0) * static_cast<double>(x.size()) / 2;
}

/// log_det in and out.
double log_det_bytes(const CouplingShape& s, ConstMap x) {
  return s.kind == CouplingKind::additive ? 0 : 2 * bytes_of_doubles(x.n);
}

}  // namespace

bool coupling_serves_lanes(Device device, const CouplingShape& shape) {
  return sizes_of("coupling_serves_lanes", device, shape, 0).serves_lanes;
}

int64_t coupling_packed_floats(Device device, const CouplingShape& shape) {
  return sizes_of("coupling_packed_floats", device, shape, 0).packed;
}

int64_t coupling_saved_floats(Device device, const CouplingShape& shape) {
  return sizes_of("coupling_saved_floats", device, shape, 0).saved;
}

int64_t coupling_workspace_floats(Device device, const CouplingShape& shape, int64_t n) {
  return sizes_of("coupling_workspace_floats", device, shape, n).workspace;
}

int64_t coupling_share_floats(Device device, const CouplingShape& shape, int64_t n) {
  return sizes_of("coupling_share_floats", device, shape, n).shares;
}

void coupling_pack(Stream& stream, const CouplingPack& task) {
  for (const PackedCoupling& step : task.steps) {
    check_shape("coupling_pack", step.shape);
    check_tensors("coupling_pack", step.shape, step.parameters);
    check_size("coupling_pack", "packed", step.packed, coupling_packed_floats(stream.device(), step.shape));
  }
  dispatch(stream, "coupling_pack", task);
}

void coupling_forward(Stream& stream, const CouplingForward& task) {
  check_map("coupling_forward", task.shape, task.x);
  check_same_shape("coupling_forward", task.x, task.y);
  const int64_t n = task.x.n;
  const BufferSizes sizes = sizes_of("coupling_forward", stream.device(), task.shape, n);
  check_size("coupling_forward", "packed", task.packed, sizes.packed);
  check_at_least("coupling_forward", "log_det", task.log_det, n);
  if (task.saved.size != 0) {
    check_at_least("coupling_forward", "saved", task.saved, n * sizes.saved);
  }
  check_at_least("coupling_forward", "workspace", task.workspace, sizes.workspace);
  dispatch(stream, "coupling_forward", task);
}

void coupling_inverse(Stream& stream, const CouplingInverse& task) {
  check_map("coupling_inverse", task.shape, task.y);
  check_same_shape("coupling_inverse", task.y, task.x);
  const BufferSizes sizes = sizes_of("coupling_inverse", stream.device(), task.shape, task.y.n);
  check_size("coupling_inverse", "packed", task.packed, sizes.packed);
  check_at_least("coupling_inverse", "workspace", task.workspace, sizes.workspace);
  dispatch(stream, "coupling_inverse", task);
}

void coupling_backward(Stream& stream, const CouplingBackward& task) {
  check_map("coupling_backward", task.shape, task.x);
  check_same_shape("coupling_backward", task.x, task.dy);
  check_same_shape("coupling_backward", task.x, task.dx);
  check_tensors("coupling_backward", task.shape, task.gradients);
  const int64_t n = task.x.n;
  const BufferSizes sizes = sizes_of("coupling_backward", stream.device(), task.shape, n);
  check_size("coupling_backward", "packed", task.packed, sizes.packed);
  check_at_least("coupling_backward", "saved", task.saved, n * sizes.saved);
  check_at_least("coupling_backward", "workspace", task.workspace, sizes.workspace);
  if (task.shares.size != 0) {
    check_at_least("coupling_backward", "shares", task.shares, sizes.shares);
  }
  dispatch(stream, "coupling_backward", task);
}

void coupling_add_shares(Stream& stream, const CouplingAddShares& task) {
  for (const CouplingShares& step : task.steps) {
    check_tensors("coupling_add_shares", step.shape, step.gradients);
    check_at_least("coupling_add_shares", "shares", step.shares,
                   coupling_share_floats(stream.device(), step.shape, step.n));
  }
  dispatch(stream, "coupling_add_shares", task);
}

Cost cost(const CouplingPack& task) {
  Cost sum;
  for (const PackedCoupling& step : task.steps) {
    sum.bytes += bytes_of_floats(parameters(step.shape)) + bytes_of_floats(step.packed.size);
  }
  return sum;
}

Cost cost(const CouplingForward& task) {
  return {2 * bytes_of_floats(task.x.size()) + bytes_of_floats(task.saved.size) + bytes_of_floats(task.packed.size) +
              log_det_bytes(task.shape, task.x),
          product_flop(task.shape, task.x.n) + element_flop(task.shape, task.x)};
}

Cost cost(const CouplingInverse& task) {
  return {2 * bytes_of_floats(task.y.size()) + bytes_of_floats(task.packed.size),
          product_flop(task.shape, task.y.n) + element_flop(task.shape, task.y)};
}

// The products twice: to the data and to the weights.
Cost cost(const CouplingBackward& task) {
  return {3 * bytes_of_floats(task.x.size()) + bytes_of_floats(task.saved.size) + bytes_of_floats(task.packed.size) +
              2 * bytes_of_floats(parameters(task.shape)),
          2 * product_flop(task.shape, task.x.n) + 2 * element_flop(task.shape, task.x)};
}

Cost cost(const CouplingAddShares& task) {
  Cost sum;
  for (const CouplingShares& step : task.steps) {
    sum.bytes += bytes_of_floats(step.shares.size) + 2 * bytes_of_floats(parameters(step.shape));
  }
  return sum;
}

}  // namespace evenflow::kernels
