// Grid. Forward, inverse: planes.h's, a row of threads per plane, four packs of 16 bytes a thread (of 4 where planes
// are not aligned), all read before the first is written. Backward: x is the channel, y a piece of its n h w values;
// the last block to finish adds the pieces up, a warp per channel. Initialise: a block per channel, once in a model's
// life, simple before fast.
// Traffic: forward and inverse 8 bytes per element, backward 12, plus 16 per channel and piece. A pack reads its
// parameters once.
// Sums: backward adds the four elements of a pack in float32 and all else in float64: a thread's packs, the block's
// tree, then the pieces by lanes and a tree. The order depends on the shape alone. Initialise: two passes in float64.
#include "kernels/actnorm.h"

#include <algorithm>

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/last_block.h"
#include "kernels/cuda/planes.h"
#include "kernels/cuda/runtime.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

template <int kWidth>
__global__ void actnorm_forward_kernel(LaneStrides lanes, PackedPlanes planes, const float* x, int64_t x_stride,
                                       const float* __restrict__ bias, const float* __restrict__ log_scale, float* y,
                                       int64_t y_stride) {
  after_predecessor();
  to_lane(lanes, x, bias, log_scale, y);
  const PlanePlace at = plane_place(planes);
  if (at.n >= planes.n) {
    return;
  }
  const float b = bias[at.c];
  const float scale = expf(log_scale[at.c]);
  const int64_t offset = at.c * planes.packs * kWidth;
  map_packs<kWidth>(planes, at, x + at.n * x_stride + offset, y + at.n * y_stride + offset,
                    [=](float value) { return (value + b) * scale; });
}

template <int kWidth>
__global__ void actnorm_inverse_kernel(PackedPlanes planes, const float* y, int64_t y_stride,
                                       const float* __restrict__ bias, const float* __restrict__ log_scale, float* x,
                                       int64_t x_stride) {
  after_predecessor();
  const PlanePlace at = plane_place(planes);
  if (at.n >= planes.n) {
    return;
  }
  const float b = bias[at.c];
  const float scale = expf(-log_scale[at.c]);
  const int64_t offset = at.c * planes.packs * kWidth;
  map_packs<kWidth>(planes, at, y + at.n * y_stride + offset, x + at.n * x_stride + offset,
                    [=](float value) { return value * scale - b; });
}

// dx = dy scale, and the sums over one channel's piece of all samples: blockIdx.x is the channel, blockIdx.y the piece,
// `per_block` of the channel's n * packs packs. Four elements are added in float32, all else in float64.
struct Sums {
  double dy = 0, dyy = 0;
};

// One warp per channel: lane l adds pieces l, l + 32, ..., then a tree.
__device__ inline void add_pieces(const Sums* partials, int channels, int pieces, const float* log_scale, float* dbias,
                                  float* dlog_scale) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  for (int c = static_cast<int>(threadIdx.x) / warp_size; c < channels; c += static_cast<int>(blockDim.x) / warp_size) {
    Sums sum;
#pragma unroll 8
    for (int piece = lane; piece < pieces; piece += warp_size) {
      const Sums part = partials[static_cast<int64_t>(c) * pieces + piece];
      sum.dy += part.dy;
      sum.dyy += part.dyy;
    }
    for (int mask = warp_size / 2; mask > 0; mask /= 2) {
      sum.dy += shuffle_xor(sum.dy, mask);
      sum.dyy += shuffle_xor(sum.dyy, mask);
    }
    if (lane == 0) {
      dbias[c] += static_cast<float>(sum.dy * static_cast<double>(expf(log_scale[c])));
      dlog_scale[c] += static_cast<float>(sum.dyy);
    }
  }
}

template <int kWidth>
__global__ void actnorm_backward_kernel(LaneStrides lanes, PackedPlanes planes, int64_t per_block, const float* y,
                                        int64_t y_stride, const float* dy, int64_t dy_stride,
                                        const float* __restrict__ log_scale, float* dx, int64_t dx_stride,
                                        float* __restrict__ dbias, float* __restrict__ dlog_scale, Sums* partials,
                                        unsigned* counters) {
  after_predecessor();
  SharedMemory memory;
  const Shared<double> sums = memory.take<double>(most_warps);
  const Shared<unsigned> arrived = memory.take<unsigned>(1);
  const int64_t c = blockIdx.x;
  to_lane(lanes, log_scale);
  scratch_to_lane(lanes, partials);
  const float scale = expf(log_scale[c]);
  const int64_t offset = c * planes.packs * kWidth + lane_offset(lanes, y, dy, dx);
  const int64_t first = blockIdx.y * per_block;
  const int64_t end = first + per_block < planes.n * planes.packs ? first + per_block : planes.n * planes.packs;
  const int64_t step = blockDim.x;
  Sums mine;
  for (int64_t base = first + threadIdx.x; base < end; base += step * packs_per_thread) {
    Pack<kWidth> g[packs_per_thread];
    Pack<kWidth> v[packs_per_thread];
    int64_t to[packs_per_thread];
#pragma unroll
    for (int u = 0; u < packs_per_thread; ++u) {
      const int64_t item = base + u * step;
      if (item >= end) {
        continue;
      }
      const int64_t n = item / planes.packs;
      const int64_t at = offset + (item - n * planes.packs) * kWidth;
      g[u] = load_pack<kWidth>(dy + n * dy_stride + at);
      v[u] = load_pack<kWidth>(y + n * y_stride + at);
      to[u] = n * dx_stride + at;
    }
#pragma unroll
    for (int u = 0; u < packs_per_thread; ++u) {
      if (base + u * step >= end) {
        continue;
      }
      float sum_dy = 0;
      float sum_dyy = 0;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        sum_dy += g[u].at[i];
        sum_dyy = fmaf(g[u].at[i], v[u].at[i], sum_dyy);
        g[u].at[i] *= scale;
      }
      mine.dy += static_cast<double>(sum_dy);
      mine.dyy += static_cast<double>(sum_dyy);
      store_pack<kWidth>(dx + to[u], g[u]);
    }
  }
  const Sums block = {block_sum(mine.dy, sums), block_sum(mine.dyy, sums)};
  if (threadIdx.x == 0) {
    partials[c * gridDim.y + blockIdx.y] = block;
  }
  if (is_last_block(counters, arrived)) {
    to_lane(lanes, dbias, dlog_scale);
    add_pieces(partials, static_cast<int>(gridDim.x), static_cast<int>(gridDim.y), log_scale, dbias, dlog_scale);
  }
}

__global__ void actnorm_initialise_kernel(PackedPlanes planes, const float* __restrict__ x, int64_t stride,
                                          float* __restrict__ bias, float* __restrict__ log_scale) {
  after_predecessor();
  SharedMemory memory;
  const Shared<double> sums = memory.take<double>(most_warps);
  const int64_t count = planes.n * planes.packs;
  const float* plane = x + blockIdx.x * planes.packs;
  const auto mean_of = [&](const auto& term) {
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
      sum += term(static_cast<double>(plane[i / planes.packs * stride + i % planes.packs]));
    }
    return block_sum(sum, sums) / static_cast<double>(count);
  };
  const double mean = mean_of([](double value) { return value; });
  const double variance = mean_of([=](double value) { return (value - mean) * (value - mean); });
  if (threadIdx.x != 0) {
    return;
  }
  constexpr double least = 1e-3;  // a constant channel's
  const double std = sqrt(variance);
  bias[blockIdx.x] = static_cast<float>(-mean);
  log_scale[blockIdx.x] = static_cast<float>(-log((std < least ? least : std) + 1e-6));
}

PackedPlanes planes_of(ConstMap x, int width) {
  return {x.n, x.c, x.pixels() / width};
}

constexpr int initialise_threads = 1024;

}  // namespace

void run(Stream& stream, const ActnormForward& task) {
  const ConstMap& x = task.x;
  const Map& y = task.y;
  const bool packs = planes_are_packs(x, y);
  const PackedPlanes planes = planes_of(x, packs ? pack_floats : 1);
  const PlaneGrid shape = grid_over(planes);
  launch(stream, {"actnorm_forward", shape.grid, shape.block},
         packs ? actnorm_forward_kernel<pack_floats> : actnorm_forward_kernel<1>, planes, x.data, x.sample_stride,
         task.parameters.bias.data, task.parameters.log_scale.data, y.data, y.sample_stride);
}

void run(Stream& stream, const ActnormInverse& task) {
  const ConstMap& y = task.y;
  const Map& x = task.x;
  const bool packs = planes_are_packs(y, x);
  const PackedPlanes planes = planes_of(y, packs ? pack_floats : 1);
  const PlaneGrid shape = grid_over(planes);
  launch(stream, {"actnorm_inverse", shape.grid, shape.block},
         packs ? actnorm_inverse_kernel<pack_floats> : actnorm_inverse_kernel<1>, planes, y.data, y.sample_stride,
         task.parameters.bias.data, task.parameters.log_scale.data, x.data, x.sample_stride);
}

void run(Stream& stream, const ActnormBackward& task) {
  const ConstMap& y = task.y;
  const ConstMap& dy = task.dy;
  const Map& dx = task.dx;
  if (y.size() == 0) {
    return;
  }
  const bool packs = planes_are_packs(y, dy, dx);
  const PackedPlanes planes = planes_of(y, packs ? pack_floats : 1);
  // Each thread one round of packs, until there are blocks enough to fill a large GPU.
  constexpr int64_t per_round = block_threads * packs_per_thread;
  constexpr int64_t enough_blocks = 1024;
  const int64_t items = planes.n * planes.packs;
  const int64_t most = std::max<int64_t>(1, enough_blocks / planes.c);
  const int64_t per_block = divide_up(divide_up(items, per_round), most) * per_round;
  const auto pieces = static_cast<unsigned>(divide_up(items, per_block));
  auto* partials = static_cast<Sums*>(scratch(stream, planes.c * pieces * static_cast<int64_t>(sizeof(Sums))));
  constexpr size_t shared_bytes = block_sum_bytes + sizeof(unsigned);
  launch(stream, {"actnorm_backward", {static_cast<unsigned>(planes.c), pieces}, block_threads, shared_bytes},
         packs ? actnorm_backward_kernel<pack_floats> : actnorm_backward_kernel<1>, planes, per_block, y.data,
         y.sample_stride, dy.data, dy.sample_stride, task.parameters.log_scale.data, dx.data, dx.sample_stride,
         task.gradients.bias.data, task.gradients.log_scale.data, partials, arrival_counters(stream));
}

void run(Stream& stream, const ActnormInitialise& task) {
  const ConstMap& x = task.x;
  launch(stream, {"actnorm_initialise", {static_cast<unsigned>(x.c)}, initialise_threads, block_sum_bytes},
         actnorm_initialise_kernel, planes_of(x, 1), x.data, x.sample_stride, task.bias.data, task.log_scale.data);
}

}  // namespace evenflow::kernels::cuda
