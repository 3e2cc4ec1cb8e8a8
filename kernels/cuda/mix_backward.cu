// Grid. Of c = 4, 8 or 16 channels, c / 4 lanes of a warp share a pixel (a pack of 4 where planes are aligned and c is
// below 16): each reads all channels of x and dy, and has four channels of dx and, over all of its pixels, four rows of
// dW in registers. At most 128 blocks, one per multiprocessor of a large GPU; the last to finish adds their shares up,
// unless they are left for mix_add_shares, a block for each layer.
// Traffic: 12 bytes per element, and 4 c (c + 1) bytes per block.
// Sums: dx over channels in order, float32. dW and the sums of dy: a thread's pixels, then its warp's lanes in a tree,
// float32; warps in order and then blocks (last_block.h) in float64. The order depends on the shape alone. Actnorm's
// gradients come of these: with t = W^T dy, the gradient of its output, sum t = W^T sum dy, and
// sum t_k x_k = sum over rows of W_rk dW_rk.
// Dropped: a tile in shared memory per block (invconv.cu, for other channels), 29 % of a copy's bandwidth on an H200: a
// block of it waits for x, then dy, then W, then its barriers, and reads 2 floats of 4 for each product of 4 channels.
#include "kernels/cuda/mix.h"

#include <algorithm>
#include <span>
#include <vector>

#include "kernels/cuda/last_block.h"
#include "kernels/cuda/planes.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/steps.h"

namespace evenflow::kernels::cuda {
namespace {

constexpr int mix_rows = 4;  // of dW, and channels of dx, per thread
/// A block per multiprocessor, and registers for all that a thread has to read at once: so the paper's maps of 128
/// windows are read in one go. Each block leaves a share, which grows with c^2: with many channels they are fewer.
constexpr int most_mix_blocks = 128;
constexpr int mix_threads(int channels) {
  return channels == 4 ? 512 : channels == 8 ? 256 : 384;
}
constexpr int mix_rounds(int channels) {
  return channels < 16 ? 1 : 2;
}

/// Whatever the maps' memory. The kernel counts in 32 bits.
bool serves(int64_t channels, int64_t pixels) {
  return (channels == 4 || channels == 8 || channels == 16) && pixels <= int64_t{1} << 30;
}
int64_t mix_blocks(int channels, int64_t pixels) {
  const int64_t per_block = int64_t{mix_threads(channels)} * mix_rows / channels * mix_rounds(channels);
  return std::min<int64_t>(most_mix_blocks, divide_up(pixels, per_block));
}

/// So many that the last block reads all shares of 128 windows' maps at once.
constexpr int mix_shares_at_once(int channels) {
  return channels == 4 ? 4 : channels == 8 ? 10 : 18;
}

struct MixShape {
  unsigned packs = 0, items = 0;  // of a sample's plane; of all samples'
  int64_t pixels = 0;             // of a sample
  int64_t x_stride = 0, dy_stride = 0, dx_stride = 0;
};

/// Of the kernel's pointers those into a lane's memory.
struct MixPointers {
  const float *x, *dy, *weight, *log_scale;
  float *dx, *dweight, *dbias, *dlog_scale;
};

constexpr int mix_columns(int channels, bool actnorm) {
  return channels * (channels + (actnorm ? 1 : 0));
}
constexpr int mix_shared_bytes(int channels, bool actnorm) {
  const int columns = mix_columns(channels, actnorm);
  const int threads = mix_threads(channels);
  const int floats = channels * (channels + 1) + threads / warp_size * columns + 4;
  return floats * static_cast<int>(sizeof(float)) +
         row_groups(columns, threads) * columns * static_cast<int>(sizeof(double));
}

/// How many of `count` sums a lane is left with when share_sums has gone over so many lanes.
constexpr int shared_sums(int count, int lanes) {
  return lanes == 1 ? count : shared_sums((count + 1) / 2, lanes / 2);
}

/// Where a lane's share of sums lies after share_sums: v[0, ...) are sums `first`, ... below `end`.
struct SumRange {
  int first = 0, end = 0;
};

/// Adds the lanes' v up over the bits kMask, kMask / 2, ..., 1 of the lane: each lane is left with its share of them.
template <int kCount, int kMask, int kSize>
__device__ void share_sums(float (&v)[kSize], SumRange& range) {
  if constexpr (kMask > 0) {
    constexpr int half = (kCount + 1) / 2;
    const bool upper = (threadIdx.x & kMask) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float low = v[i];
      const float high = half + i < kCount ? v[half + i < kCount ? half + i : 0] : 0.0F;
      v[i] = (upper ? high : low) + shuffle_xor(upper ? low : high, kMask);
    }
    const int middle = range.first + half < range.end ? range.first + half : range.end;
    range.first = upper ? middle : range.first;
    range.end = upper ? range.end : middle;
    share_sums<half, kMask / 2>(v, range);
  }
}

/// A pack of each of the channels first, first + 1, ...; zeros where nothing is to be read.
template <int kChannels, int kWidth>
__device__ void load_channels(const float* p, int64_t pixels, bool any, Pack<kWidth> (&out)[kChannels]) {
#pragma unroll
  for (int k = 0; k < kChannels; ++k) {
    out[k] = any ? load_pack<kWidth>(p + k * pixels) : Pack<kWidth>{};
  }
}

/// Of the packs of all channels those of the thread's own rows, without an index that is not known when compiled: it
/// would move them out of the registers.
template <int kChannels, int kWidth>
__device__ void take_rows(const Pack<kWidth> (&all)[kChannels], int first_row, Pack<kWidth> (&own)[mix_rows]) {
#pragma unroll
  for (int r = 0; r < mix_rows; ++r) {
    own[r] = all[r];
#pragma unroll
    for (int first = mix_rows; first < kChannels; first += mix_rows) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        own[r].at[i] = first_row == first ? all[first + r].at[i] : own[r].at[i];
      }
    }
  }
}

/// sums[r][j] += own_r x_j over the pixels of the packs; where there is a column more, it is the sum of own_r.
template <int kColumns, int kChannels, int kWidth>
__device__ void add_products(const Pack<kWidth> (&own)[mix_rows], const Pack<kWidth> (&x)[kChannels],
                             float (&sums)[mix_rows * kColumns]) {
#pragma unroll
  for (int r = 0; r < mix_rows; ++r) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
#pragma unroll
      for (int j = 0; j < kChannels; ++j) {
        sums[r * kColumns + j] = fmaf(own[r].at[i], x[j].at[i], sums[r * kColumns + j]);
      }
      if constexpr (kColumns > kChannels) {
        sums[r * kColumns + kChannels] += own[r].at[i];
      }
    }
  }
}

/// Four channels of W^T dy, `w` from the first one's column on.
template <int kChannels, int kWidth>
__device__ void multiply_rows(Shared<float> w, const Pack<kWidth> (&dy)[kChannels], Pack<kWidth> (&t)[mix_rows]) {
#pragma unroll
  for (int row = 0; row < kChannels; ++row) {
    const float4 four = load4(w + row * kChannels);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      t[0].at[i] = fmaf(four.x, dy[row].at[i], t[0].at[i]);
      t[1].at[i] = fmaf(four.y, dy[row].at[i], t[1].at[i]);
      t[2].at[i] = fmaf(four.z, dy[row].at[i], t[2].at[i]);
      t[3].at[i] = fmaf(four.w, dy[row].at[i], t[3].at[i]);
    }
  }
}

/// Of the layer's parameters, what every thread needs.
struct MixParameters {
  Shared<float> w, scale;
};
template <int kChannels, bool kActnorm>
__device__ void copy_parameters(const MixPointers& p, const MixParameters& to) {
  static_assert(mix_threads(kChannels) >= kChannels * kChannels);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < kChannels * kChannels) {
    to.w[thread] = p.weight[thread];
  }
  if (kActnorm && thread < kChannels) {
    to.scale[thread] = expf(p.log_scale[thread]);
  }
}

/// dx, and this thread's sums over its pixels. The parameters are copied behind the first maps' reads, whose time they
/// share.
template <int kChannels, int kWidth, bool kActnorm, int kColumns>
__device__ void mix_pixels(const MixShape& s, const MixPointers& p, const MixParameters& parameters,
                           float (&sums)[mix_rows * kColumns]) {
  constexpr int parts = kChannels / mix_rows;
  constexpr int across = warp_size / parts;
  constexpr unsigned of_block = mix_threads(kChannels) / parts;
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int row = lane / across * mix_rows;
  const unsigned in_block = threadIdx.x / warp_size * across + static_cast<unsigned>(lane % across);
  unsigned first = blockIdx.x * of_block;
  do {  // once where there is nothing for the block, too
    const unsigned item = first + in_block;
    const bool any = item < s.items;
    const unsigned n = item / s.packs;
    const int64_t at = static_cast<int64_t>(item - n * s.packs) * kWidth;
    Pack<kWidth> dy[kChannels];
    Pack<kWidth> x[kChannels];
    load_channels<kChannels, kWidth>(p.dy + n * s.dy_stride + at, s.pixels, any, dy);
    load_channels<kChannels, kWidth>(p.x + n * s.x_stride + at, s.pixels, any, x);
    if (first == blockIdx.x * of_block) {
      copy_parameters<kChannels, kActnorm>(p, parameters);
      sync_block();
    }
    sync_warp();  // dx may be dy's memory
    Pack<kWidth> t[mix_rows] = {};
    multiply_rows(parameters.w + row, dy, t);
    if (any) {
      const float4 scale = kActnorm ? load4(parameters.scale + row) : make_float4(1, 1, 1, 1);
      const float factor[mix_rows] = {scale.x, scale.y, scale.z, scale.w};
      float* to = p.dx + n * s.dx_stride + at + row * s.pixels;
#pragma unroll
      for (int k = 0; k < mix_rows; ++k) {
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          t[k].at[i] *= factor[k];
        }
        write_pack<kWidth>(to + k * s.pixels, t[k]);
      }
    }
    Pack<kWidth> own[mix_rows];
    take_rows(dy, row, own);
    add_products<kColumns>(own, x, sums);
    first += gridDim.x * of_block;
  } while (first < s.items);
}

/// Adds the totals of all blocks to the parameters' gradients.
template <int kChannels, bool kActnorm>
__device__ void add_gradients(const MixPointers& p, Shared<float> w, Shared<double> totals) {
  constexpr int columns = kChannels + (kActnorm ? 1 : 0);
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kChannels * kChannels; i += static_cast<int>(blockDim.x)) {
    p.dweight[i] += static_cast<float>(totals[i / kChannels * columns + i % kChannels]);
  }
  if constexpr (kActnorm) {
    if (thread >= kChannels) {
      return;
    }
    double sum_t = 0;
    double sum_tx = 0;
    for (int row = 0; row < kChannels; ++row) {
      const double factor = static_cast<double>(w[row * kChannels + thread]);
      sum_t += factor * totals[row * columns + kChannels];
      sum_tx += factor * totals[row * columns + thread];
    }
    p.dbias[thread] += static_cast<float>(sum_t * static_cast<double>(expf(p.log_scale[thread])));
    p.dlog_scale[thread] += static_cast<float>(sum_tx);
  }
}

template <int kChannels, int kWidth, bool kActnorm>
__global__ void __launch_bounds__(mix_threads(kChannels))
    mix_backward_kernel(LaneStrides lanes, MixShape s, MixPointers p, float* shares, bool left, unsigned* counters) {
  after_predecessor();
  constexpr int columns = kChannels + (kActnorm ? 1 : 0);
  constexpr int all = kChannels * columns;
  constexpr int threads = mix_threads(kChannels);
  to_lane(lanes, p.x, p.dy, p.weight, p.dx, p.dweight);
  if constexpr (kActnorm) {
    to_lane(lanes, p.log_scale, p.dbias, p.dlog_scale);
  }
  if (left) {
    to_lane(lanes, shares);
  } else {
    scratch_to_lane(lanes, shares);
  }
  SharedMemory memory;
  const MixParameters parameters{memory.take<float>(kChannels * kChannels),
                                 memory.take<float>(kActnorm ? kChannels : 0)};
  const Shared<float> warps = memory.take<float>(threads / warp_size * all);
  const Shared<double> totals = memory.take<double>(row_groups(all, threads) * all);
  const Shared<unsigned> arrived = memory.take<unsigned>(1);
  const int thread = static_cast<int>(threadIdx.x);
  float sums[mix_rows * columns] = {};
  mix_pixels<kChannels, kWidth, kActnorm, columns>(s, p, parameters, sums);

  constexpr int across = warp_size * mix_rows / kChannels;
  SumRange range{0, mix_rows * columns};
  share_sums<mix_rows * columns, across / 2>(sums, range);
  const int row = thread % warp_size / across * mix_rows;
#pragma unroll
  for (int i = 0; i < shared_sums(mix_rows * columns, across); ++i) {
    if (range.first + i < range.end) {
      warps[thread / warp_size * all + row * columns + range.first + i] = sums[i];
    }
  }
  sync_block();
  for (int i = thread; i < all; i += threads) {
    double sum = 0;
    for (int warp = 0; warp < threads / warp_size; ++warp) {
      sum += static_cast<double>(warps[warp * all + i]);
    }
    shares[static_cast<int64_t>(blockIdx.x) * all + i] = static_cast<float>(sum);
  }
  if (!left && is_last_block(counters, arrived)) {
    sum_rows<all, mix_shares_at_once(kChannels)>(shares, static_cast<int>(gridDim.x), totals);
    add_gradients<kChannels, kActnorm>(p, parameters.w, totals);
  }
}

template <int kChannels, int kWidth>
void launch_mix(Stream& stream, const MixBackward& task) {
  const bool actnorm = task.log_scale != nullptr;
  const ConstMap& x = task.x;
  MixShape s{.packs = static_cast<unsigned>(x.pixels() / kWidth),
             .items = static_cast<unsigned>(x.n * x.pixels() / kWidth),
             .pixels = x.pixels(),
             .x_stride = x.sample_stride,
             .dy_stride = task.dy.sample_stride,
             .dx_stride = task.dx.sample_stride};
  constexpr int threads = mix_threads(kChannels);
  const int64_t blocks = mix_blocks(kChannels, x.n * x.pixels());
  const int columns = mix_columns(kChannels, actnorm);
  const bool left = task.shares.size > 0;
  auto* shares = left ? task.shares.data
                      : static_cast<float*>(scratch(stream, blocks * columns * static_cast<int64_t>(sizeof(float))));
  const MixPointers p{.x = x.data,
                      .dy = task.dy.data,
                      .weight = task.weight,
                      .log_scale = task.log_scale,
                      .dx = task.dx.data,
                      .dweight = task.dweight,
                      .dbias = task.actnorm.bias.data,
                      .dlog_scale = task.actnorm.log_scale.data};
  launch(stream,
         {actnorm ? "actnorm_invconv_backward" : "invconv_backward",
          {static_cast<unsigned>(blocks)},
          threads,
          static_cast<size_t>(mix_shared_bytes(kChannels, actnorm))},
         actnorm ? mix_backward_kernel<kChannels, kWidth, true> : mix_backward_kernel<kChannels, kWidth, false>, s, p,
         shares, left, arrival_counters(stream));
}

/// A layer whose shares are to be added.
struct LeftShares {
  MixPointers p;
  const float* shares;
  int channels, blocks;
};
constexpr int adding_threads = 512;
constexpr int adding_shared_bytes() {
  int bytes = 0;
  for (const int c : {4, 8, 16}) {
    const int columns = mix_columns(c, true);
    const int here = c * c * static_cast<int>(sizeof(float)) +
                     row_groups(columns, adding_threads) * columns * static_cast<int>(sizeof(double));
    bytes = here > bytes ? here : bytes;
  }
  return bytes;
}

template <int kChannels>
__device__ void add_layer(const LeftShares& layer) {
  constexpr int all = mix_columns(kChannels, true);
  SharedMemory memory;
  const Shared<float> w = memory.take<float>(kChannels * kChannels);
  const Shared<double> totals = memory.take<double>(row_groups(all, adding_threads) * all);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < kChannels * kChannels) {
    w[thread] = layer.p.weight[thread];
  }
  sum_rows<all, mix_shares_at_once(kChannels)>(layer.shares, layer.blocks, totals);
  add_gradients<kChannels, true>(layer.p, w, totals);
}

__global__ void __launch_bounds__(adding_threads) mix_add_shares_kernel(LaneStrides lanes, Steps<LeftShares> layers) {
  after_predecessor();
  LeftShares layer = layers.step[blockIdx.x];
  MixPointers& p = layer.p;
  to_lane(lanes, p.weight, p.log_scale, p.dweight, p.dbias, p.dlog_scale, layer.shares);
  if (layer.channels == 4) {
    add_layer<4>(layer);
  } else if (layer.channels == 8) {
    add_layer<8>(layer);
  } else {
    add_layer<16>(layer);
  }
}

}  // namespace

bool mix_backward_serves(ConstMap x) {
  return serves(x.c, x.n * x.pixels());
}

int64_t mix_share_floats(const ActnormInvconvBuffers& maps) {
  const int64_t pixels = maps.n * maps.pixels;
  const auto channels = static_cast<int>(maps.channels);
  return serves(channels, pixels) ? mix_blocks(channels, pixels) * mix_columns(channels, true) : 0;
}

void mix_add_shares(Stream& stream, std::span<const ActnormInvconvShares> layers) {
  std::vector<LeftShares> all;
  for (const ActnormInvconvShares& layer : layers) {
    const int64_t pixels = layer.maps.n * layer.maps.pixels;
    const auto channels = static_cast<int>(layer.maps.channels);
    if (pixels == 0 || !serves(channels, pixels)) {
      continue;
    }
    all.push_back({.p = {.x = nullptr,
                         .dy = nullptr,
                         .weight = layer.weight.data,
                         .log_scale = layer.parameters.log_scale.data,
                         .dx = nullptr,
                         .dweight = layer.dweight.data,
                         .dbias = layer.gradients.bias.data,
                         .dlog_scale = layer.gradients.log_scale.data},
                   .shares = layer.shares.data,
                   .channels = channels,
                   .blocks = static_cast<int>(mix_blocks(channels, pixels))});
  }
  launch_all(std::span<const LeftShares>(all), [&](const Steps<LeftShares>& some, size_t, unsigned count) {
    launch(stream, {"actnorm_invconv_add_shares", {count}, adding_threads, adding_shared_bytes()},
           mix_add_shares_kernel, some);
  });
}

void mix_backward(Stream& stream, const MixBackward& task) {
  const bool packs = planes_are_packs(task.x, task.dy, task.dx);
  switch (task.x.c) {
    case 4:
      return packs ? launch_mix<4, pack_floats>(stream, task) : launch_mix<4, 1>(stream, task);
    case 8:
      return packs ? launch_mix<8, pack_floats>(stream, task) : launch_mix<8, 1>(stream, task);
    default:
      return launch_mix<16, 1>(stream, task);
  }
}

}  // namespace evenflow::kernels::cuda
