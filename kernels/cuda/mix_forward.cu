// Grid. A thread per pixel (per 4 of them with 4 channels) holds all channels in registers, weight and actnorm's
// parameters in shared memory.
// Traffic: 8 bytes per element, 12 with actnorm.
// Sums: over channels in order, float32.
#include <algorithm>

#include "kernels/cuda/mix.h"
#include "kernels/cuda/planes.h"
#include "kernels/cuda/runtime.h"

namespace evenflow::kernels::cuda {
namespace {

struct MixedPixels {
  int64_t n, pixels;  // of a sample
  int64_t x_stride, y_stride, normalised_stride;
};

/// Null without actnorm, all of them.
struct ActnormPointers {
  const float *bias, *log_scale;
  float* normalised;
};

constexpr int mix_forward_threads(int channels) {
  return channels <= 8 ? block_threads : block_threads / 2;
}

template <int kChannels, int kWidth, bool kActnorm>
__global__ void __launch_bounds__(mix_forward_threads(kChannels))
    mix_forward_kernel(LaneStrides lanes, MixedPixels s, const float* x, const float* __restrict__ weight,
                       float* __restrict__ y, ActnormPointers actnorm) {
  after_predecessor();
  constexpr int threads = mix_forward_threads(kChannels);
  to_lane(lanes, x, weight, y);
  SharedMemory memory;
  const Shared<float> w = memory.take<float>(kChannels * kChannels);
  const Shared<float> bias = memory.take<float>(kActnorm ? kChannels : 0);
  const Shared<float> scale = memory.take<float>(kActnorm ? kChannels : 0);
  const int64_t packs = s.pixels / kWidth;
  const int64_t item = first_item();
  const bool mine = item < s.n * packs;
  const int64_t n = item / packs;
  const int64_t at = (item - n * packs) * kWidth;
  Pack<kWidth> in[kChannels];
  if (mine) {
#pragma unroll
    for (int k = 0; k < kChannels; ++k) {
      in[k] = load_pack<kWidth>(x + n * s.x_stride + k * s.pixels + at);
    }
  }
  // Behind the maps' reads, whose time they share; all are read before the first is stored.
  const int thread = static_cast<int>(threadIdx.x);
  constexpr int each = static_cast<int>(divide_up(kChannels * kChannels, threads));
  float some[each];
#pragma unroll
  for (int u = 0; u < each; ++u) {
    const int i = thread + u * threads;
    some[u] = i < kChannels * kChannels ? weight[i] : 0.0F;
  }
  float b = 0;
  float log_scale = 0;
  if constexpr (kActnorm) {
    to_lane(lanes, actnorm.bias, actnorm.log_scale, actnorm.normalised);
    b = thread < kChannels ? actnorm.bias[thread] : 0.0F;
    log_scale = thread < kChannels ? actnorm.log_scale[thread] : 0.0F;
  }
#pragma unroll
  for (int u = 0; u < each; ++u) {
    const int i = thread + u * threads;
    if (i < kChannels * kChannels) {
      w[i] = some[u];
    }
  }
  if (kActnorm && thread < kChannels) {
    bias[thread] = b;
    scale[thread] = expf(log_scale);
  }
  sync_block();
  if (!mine) {
    return;
  }
  if constexpr (kActnorm) {
#pragma unroll
    for (int k = 0; k < kChannels; ++k) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        in[k].at[i] = (in[k].at[i] + bias[k]) * scale[k];
      }
      write_pack<kWidth>(actnorm.normalised + n * s.normalised_stride + k * s.pixels + at, in[k]);
    }
  }
#pragma unroll 8
  for (int row = 0; row < kChannels; ++row) {
    Pack<kWidth> sum = {};
#pragma unroll
    for (int k = 0; k < kChannels; k += 4) {
      const float4 four = load4(w + (row * kChannels + k));
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        sum.at[i] = fmaf(four.x, in[k].at[i], sum.at[i]);
        sum.at[i] = fmaf(four.y, in[k + 1].at[i], sum.at[i]);
        sum.at[i] = fmaf(four.z, in[k + 2].at[i], sum.at[i]);
        sum.at[i] = fmaf(four.w, in[k + 3].at[i], sum.at[i]);
      }
    }
    write_pack<kWidth>(y + n * s.y_stride + row * s.pixels + at, sum);
  }
}

template <int kChannels, bool kActnorm>
void launch_mix_forward(Stream& stream, const MixForward& task) {
  // Pixels of 4 only where there are threads enough: with 8 channels and more, a thread's own reads fill the pipeline.
  constexpr int width = kChannels <= 4 ? pack_floats : 1;
  constexpr int threads = mix_forward_threads(kChannels);
  const ConstMap& x = task.x;
  const bool packs = planes_are_packs(x, task.y) && (!kActnorm || planes_are_packs(task.normalised));
  const bool wide = packs && width > 1;
  const int64_t items = x.n * (wide ? x.pixels() / pack_floats : x.pixels());
  const MixedPixels s{.n = x.n,
                      .pixels = x.pixels(),
                      .x_stride = x.sample_stride,
                      .y_stride = task.y.sample_stride,
                      .normalised_stride = task.normalised.sample_stride};
  constexpr size_t floats = kChannels * kChannels + (kActnorm ? 2 * kChannels : 0);
  launch(stream,
         {kActnorm ? "actnorm_invconv_forward" : "invconv_apply",
          {static_cast<unsigned>(divide_up(items, threads))},
          threads,
          sizeof(float) * floats},
         wide ? mix_forward_kernel<kChannels, width, kActnorm> : mix_forward_kernel<kChannels, 1, kActnorm>, s, x.data,
         task.weight, task.y.data,
         ActnormPointers{task.actnorm.bias.data, task.actnorm.log_scale.data, task.normalised.data});
}

template <int kChannels>
void mix_forward_of(Stream& stream, const MixForward& task) {
  return task.normalised.data != nullptr ? launch_mix_forward<kChannels, true>(stream, task)
                                         : launch_mix_forward<kChannels, false>(stream, task);
}

}  // namespace

bool mix_forward_serves(ConstMap x) {
  return x.c == 4 || x.c == 8 || x.c == 16 || x.c == 32;
}

void mix_forward(Stream& stream, const MixForward& task) {
  switch (task.x.c) {
    case 4:
      return mix_forward_of<4>(stream, task);
    case 8:
      return mix_forward_of<8>(stream, task);
    case 16:
      return mix_forward_of<16>(stream, task);
    default:
      return mix_forward_of<32>(stream, task);
  }
}

}  // namespace evenflow::kernels::cuda
