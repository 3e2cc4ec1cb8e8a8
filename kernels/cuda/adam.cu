#include <algorithm>
#include <cmath>

#include "kernels/cuda/adam_factors.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/runtime.h"

namespace evenflow::kernels::cuda {
namespace {

template <int kWidth>
__global__ void adam_update_kernel(AdamFactors a, int64_t packs, const float* __restrict__ gradient,
                                   float* __restrict__ parameter, float* __restrict__ m, float* __restrict__ v) {
  for (int64_t item = first_item(); item < packs; item += item_stride()) {
    const int64_t at = item * kWidth;
    const Pack<kWidth> g = load_pack<kWidth>(gradient + at);
    Pack<kWidth> p = load_pack<kWidth>(parameter + at);
    Pack<kWidth> first = load_pack<kWidth>(m + at);
    Pack<kWidth> second = load_pack<kWidth>(v + at);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      AdamState s = {p.at[i], first.at[i], second.at[i]};
      adam_element(a, g.at[i], s);
      p.at[i] = s.parameter;
      first.at[i] = s.m;
      second.at[i] = s.v;
    }
    store_pack<kWidth>(parameter + at, p);
    store_pack<kWidth>(m + at, first);
    store_pack<kWidth>(v + at, second);
  }
}

// A thread per column, rows in order.
__global__ void sum_rows_kernel(const float* __restrict__ in, int64_t rows, int64_t row_stride, int64_t columns,
                                float* __restrict__ out) {
  for (int64_t j = first_item(); j < columns; j += item_stride()) {
    float sum = rows > 0 ? in[j] : 0.0F;
#pragma unroll 8
    for (int64_t row = 1; row < rows; ++row) sum += in[row * row_stride + j];
    out[j] = sum;
  }
}

// Each block the squares of its piece, then one block the pieces' sums. Where the pieces end depends on the size alone.
template <int kWidth>
__global__ void squared_norm_kernel(const float* __restrict__ x, int64_t packs, double* __restrict__ partials) {
  SharedMemory memory;
  const Shared<double> warps = memory.take<double>(most_warps);
  double sum = 0;
#pragma unroll 4
  for (int64_t item = first_item(); item < packs; item += item_stride()) {
    const Pack<kWidth> value = load_pack<kWidth>(x + item * kWidth);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const auto wide = static_cast<double>(value.at[i]);
      sum += wide * wide;
    }
  }
  const double block = block_sum(sum, warps);
  if (threadIdx.x == 0) partials[blockIdx.x] = block;
}

__global__ void squared_norm_sum_kernel(const double* __restrict__ partials, int count, double* __restrict__ out) {
  SharedMemory memory;
  const Shared<double> warps = memory.take<double>(most_warps);
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) sum += partials[i];
  const double total = block_sum(sum, warps);
  if (threadIdx.x == 0) *out = total;
}

}  // namespace

void adam_update(Stream& stream, const AdamStep& settings, Array<const float> gradient, Array<float> parameter,
                 Array<float> m, Array<float> v) {
  const auto t = static_cast<double>(settings.step);
  const AdamFactors factors = {.gradient_scale = static_cast<float>(settings.gradient_scale),
                               .beta1 = static_cast<float>(settings.beta1),
                               .beta2 = static_cast<float>(settings.beta2),
                               .rest1 = static_cast<float>(1.0 - settings.beta1),
                               .rest2 = static_cast<float>(1.0 - settings.beta2),
                               .rate = static_cast<float>(settings.learning_rate / (1.0 - std::pow(settings.beta1, t))),
                               .correction2 = static_cast<float>(1.0 / (1.0 - std::pow(settings.beta2, t))),
                               .epsilon = static_cast<float>(settings.epsilon)};
  const bool whole = arrays_are_packs(gradient, parameter, m, v);
  const int64_t packs = parameter.size / (whole ? pack_floats : 1);
  launch(stream, {"adam_update", blocks_for(packs), block_threads},
         whole ? adam_update_kernel<pack_floats> : adam_update_kernel<1>, factors, packs, gradient.data, parameter.data,
         m.data, v.data);
}

void sum_rows(Stream& stream, Array<const float> in, int64_t rows, int64_t row_stride, Array<float> out) {
  constexpr int threads = 64;
  launch(stream, {"sum_rows", blocks_for(out.size, threads), threads}, sum_rows_kernel, in.data, rows, row_stride,
         out.size, out.data);
}

void squared_norm(Stream& stream, Array<const float> x, Array<double> out) {
  if (x.size == 0) return zero(stream, out.data, sizeof(double));
  constexpr int64_t most_blocks = 256;
  const bool whole = arrays_are_packs(x);
  const int64_t packs = x.size / (whole ? pack_floats : 1);
  const auto blocks = static_cast<unsigned>(std::min(most_blocks, divide_up(packs, block_threads)));
  auto* partials = static_cast<double*>(scratch(stream, blocks * static_cast<int64_t>(sizeof(double))));
  launch(stream, {"squared_norm", {blocks}, block_threads, block_sum_bytes},
         whole ? squared_norm_kernel<pack_floats> : squared_norm_kernel<1>, x.data, packs, partials);
  launch(stream, {"squared_norm_sum", {1}, block_threads, block_sum_bytes}, squared_norm_sum_kernel, partials,
         static_cast<int>(blocks), out.data);
}

}  // namespace evenflow::kernels::cuda
