// The fused coupling's host side, and the packing of its weights (fused.h says how tiles lie).
// Grid: pack: y is the flow step, x a block of one of its parts.
// Traffic: each packed float is one read of 4 bytes, scattered by the weight's own layout and served by the
// second-level cache, and one coalesced write; 6 packed weights for 3 of the model. Once per optimiser step.
// Sums: none.
#include "kernels/cuda/fused.h"

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/coupling.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/steps.h"

namespace evenflow::kernels::cuda {
namespace {

constexpr int least_hidden = 16, most_hidden = 64;
// Two blocks to a multiprocessor, where that much is enough.
constexpr int64_t comfortable_bytes = 100 * 1024;

constexpr int64_t rounded_bytes(int64_t bytes) {
  return (bytes + 15) / 16 * 16;
}

int64_t forward_bytes(const FusedShape& s, bool own_kernel, int rows) {
  const int64_t hidden_rows = std::min(rows + 2, s.height);
  return rounded_bytes((hidden_rows + 2) * s.tile_width() * pixel_floats(s.half) * int64_t{sizeof(float)}) +
         rounded_bytes(s.conv1.k_tiles * tile_columns * int64_t{sizeof(int)}) +
         rounded_bytes(hidden_rows * s.width * scatter_stride(s.conv3.n_tiles) * int64_t{sizeof(float)}) +
         rounded_bytes(2 * s.outputs * int64_t{sizeof(float)}) + block_sum_bytes +
         (own_kernel ? forward_weight_floats(s) * int64_t{sizeof(float)} : 0);
}

int64_t backward_bytes(const FusedShape& s, bool own_kernel, int rows) {
  const int64_t hidden_rows = std::min(rows + 2, s.height);
  const int64_t tile = (hidden_rows + 2) * s.tile_width() * int64_t{sizeof(float)};
  return rounded_bytes(tile * pixel_floats(s.half)) + rounded_bytes(tile * pixel_floats(s.outputs)) +
         rounded_bytes(s.conv1.k_tiles * tile_columns * int64_t{sizeof(int)}) +
         rounded_bytes(s.conv3_back.k_tiles * tile_columns * int64_t{sizeof(int)}) +
         rounded_bytes(hidden_rows * s.width * scatter_stride(s.conv1_back.n_tiles) * int64_t{sizeof(float)}) +
         2 * rounded_bytes(backward_warps * stage_floats(s.padded) * int64_t{sizeof(float)}) +
         rounded_bytes(2 * s.outputs * int64_t{sizeof(float)}) +
         rounded_bytes(backward_warps * gain_sums * int64_t{sizeof(double)}) +
         (own_kernel ? backward_weight_floats(s) * int64_t{sizeof(float)} : 0) +
         rounded_bytes(backward_warps * tile_pixels * int64_t{sizeof(int)});
}

template <class Bytes>
Strips strips_of(const FusedShape& s, bool own_kernel, const Bytes& bytes, int64_t comfortable, int64_t most) {
  int rows = 0;
  for (int more = 1; more <= s.height; ++more) {
    if (bytes(s, own_kernel, more) <= (rows == 0 ? most : comfortable)) {
      rows = more;
    }
  }
  if (rows == 0) {
    return {};
  }
  // Of equal height, as far as they can be.
  const int count = (s.height + rows - 1) / rows;
  rows = (s.height + count - 1) / count;
  return {rows, (s.height + rows - 1) / rows, bytes(s, own_kernel, rows)};
}

struct FusedPackStep {
  FusedShape shape;
  const float *conv1_weight, *conv1_bias, *conv2_weight, *conv2_bias, *conv3_weight, *conv3_bias, *log_gain;
  float* to;
};

// The parts of a step's packed floats, each by blocks of its own: one after the other they would wait for each other's
// reads.
constexpr unsigned pack_parts = 7, blocks_of_part = 8;

template <class Value>
__device__ void pack_weight(const PackedWeight& w, int keys, int columns, float* to, const Value& value) {
  const int first = static_cast<int>(blockIdx.x / pack_parts * blockDim.x + threadIdx.x);
  for (int i = first; i < w.floats(); i += static_cast<int>(blocks_of_part * blockDim.x)) {
    const PackedPlace at(w, i);
    to[w.offset + i] = at.k < keys && at.n < columns ? without_tail(to_tf32(value(at.k, at.n))) : 0.0F;
  }
}

__device__ void pack_vector(const float* from, int size, int padded, float* to) {
  for (int i = static_cast<int>(threadIdx.x); i < padded; i += static_cast<int>(blockDim.x)) {
    to[i] = i < size ? from[i] : 0.0F;
  }
}

__global__ void fused_pack_kernel(LaneStrides lanes, Steps<FusedPackStep> steps) {
  after_predecessor();
  FusedPackStep p = steps.step[blockIdx.y];
  to_lane(lanes, p.conv1_weight, p.conv1_bias, p.conv2_weight, p.conv2_bias, p.conv3_weight, p.conv3_bias, p.log_gain,
          p.to);
  const FusedShape& s = p.shape;
  const int f = s.hidden;
  const int in = s.half;
  const int out = s.outputs;
  const float* w1 = p.conv1_weight;  // [f, in, tap]
  const float* w2 = p.conv2_weight;  // [f, f]
  const float* w3 = p.conv3_weight;  // [out, f, tap]
  switch (blockIdx.x % pack_parts) {
    case 0:
      return pack_weight(s.conv1, taps * in, f, p.to,
                         [=](int k, int n) { return w1[(n * in + k % in) * taps + k / in]; });
    case 1:
      return pack_weight(s.conv2, f, f, p.to, [=](int k, int n) { return w2[n * f + k]; });
    case 2:
      return pack_weight(s.conv3, f, taps * out, p.to,
                         [=](int k, int n) { return w3[(n % out * f + k) * taps + n / out]; });
    case 3:
      return pack_weight(s.conv3_back, taps * out, f, p.to,
                         [=](int k, int n) { return w3[(k % out * f + n) * taps + k / out]; });
    case 4:
      return pack_weight(s.conv2_back, f, f, p.to, [=](int k, int n) { return w2[k * f + n]; });
    case 5:
      return pack_weight(s.conv1_back, f, taps * in, p.to,
                         [=](int k, int n) { return w1[(k * in + n % in) * taps + n / in]; });
    default:
      break;
  }
  switch (blockIdx.x / pack_parts) {
    case 0:
      return pack_vector(p.conv1_bias, f, s.padded, p.to + s.bias1);
    case 1:
      return pack_vector(p.conv2_bias, f, s.padded, p.to + s.bias2);
    case 2:
      return pack_vector(p.conv3_bias, out, out, p.to + s.bias3);
    case 3:
      return pack_vector(p.log_gain, out, out, p.to + s.log_gain);
    default:
      return;
  }
}

}  // namespace

FusedShape fused_shape(const CouplingShape& shape) {
  FusedShape s;
  s.half = static_cast<int>(shape.channels / 2);
  s.outputs = static_cast<int>(shape.outputs());
  s.height = static_cast<int>(shape.height);
  s.width = static_cast<int>(shape.width);
  s.hidden = static_cast<int>(shape.hidden);
  s.padded = s.hidden <= 16 ? 16 : s.hidden <= 32 ? 32 : 64;
  static_cast<FusedLayout&>(s) = fused_layout(s.half, s.outputs, s.padded);
  return s;
}

Strips forward_strips(const FusedShape& s, bool own_kernel, Device device) {
  const int64_t most = limits_of(device.index).shared_bytes_per_block;
  return strips_of(s, own_kernel, forward_bytes, own_kernel ? most : std::min(comfortable_bytes, most), most);
}
Strips backward_strips(const FusedShape& s, bool own_kernel, Device device) {
  const int64_t most = limits_of(device.index).shared_bytes_per_block;
  return strips_of(s, own_kernel, backward_bytes, most, most);
}

std::string why_not_fused(const CouplingShape& shape, Device device) {
  if (shape.precision == Precision::float32) {
    return "the tensor cores compute in tf32 or bf16, not in float32";
  }
  if (shape.hidden < least_hidden || shape.hidden > most_hidden) {
    return "they are for hidden widths from 16 to 64, not " + std::to_string(shape.hidden);
  }
  const FusedShape s = fused_shape(shape);
  if (s.half > most_half || forward_strips(s, false, device).rows == 0 || backward_strips(s, false, device).rows == 0) {
    return "maps of " + std::to_string(shape.channels) + " channels and width " + std::to_string(shape.width) +
           " at hidden width " + std::to_string(shape.hidden) + " do not fit this GPU's shared memory";
  }
  return "";
}

namespace fused {

BufferSizes sizes(const CouplingBuffers& buffers) {
  const CouplingShape& s = buffers.shape;
  return {.packed = fused_shape(s).packed_floats,
          .saved = s.outputs() * s.height * s.width,
          .workspace = backward_workspace_floats(s, buffers.n, buffers.device),
          .shares = share_floats(s, buffers.n, buffers.device),
          .serves_lanes = true};
}

void run(Stream& stream, const CouplingPack& task) {
  std::vector<FusedPackStep> all;
  for (const PackedCoupling& step : task.steps) {
    const CouplingParameters& p = step.parameters;
    all.push_back({fused_shape(step.shape), p.conv1_weight.data, p.conv1_bias.data, p.conv2_weight.data,
                   p.conv2_bias.data, p.conv3_weight.data, p.conv3_bias.data, p.log_gain.data, step.packed.data});
  }
  launch_all(std::span<const FusedPackStep>(all), [&](const Steps<FusedPackStep>& some, size_t, unsigned count) {
    launch(stream, {"fused_pack", {pack_parts * blocks_of_part, count}, block_threads}, fused_pack_kernel, some);
  });
}

}  // namespace fused

}  // namespace evenflow::kernels::cuda
