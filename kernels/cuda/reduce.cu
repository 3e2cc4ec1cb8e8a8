// Grid. sum_rows: a thread per column, neighbours on neighbouring columns, eight rows in flight. squared_norm: at
// most 256 blocks over packs of 16 bytes, then one block over their sums.
// Traffic: 4 bytes per element read; sum_rows writes 4 per column.
// Sums: sum_rows down each column in float32, rows in order, so that columns can be dealt out without changing a bit.
// squared_norm in float64: a thread's packs in order, the block's tree, then the blocks; where the pieces end depends
// on the size alone, not on the GPU.
#include "kernels/reduce.h"

#include <algorithm>

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/planes.h"
#include "kernels/cuda/runtime.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

__global__ void sum_rows_kernel(const float* __restrict__ in, int64_t rows, int64_t row_stride, int64_t columns,
                                float* __restrict__ out) {
  after_predecessor();
  for (int64_t j = first_item(); j < columns; j += item_stride()) {
    float sum = rows > 0 ? in[j] : 0.0F;
#pragma unroll 8
    for (int64_t row = 1; row < rows; ++row) {
      sum += in[row * row_stride + j];
    }
    out[j] = sum;
  }
}

template <int kWidth>
__global__ void squared_norm_kernel(LaneStrides lanes, const float* __restrict__ x, int64_t packs,
                                    double* __restrict__ partials) {
  after_predecessor();
  to_lane(lanes, x);
  scratch_to_lane(lanes, partials);
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
  if (threadIdx.x == 0) {
    partials[blockIdx.x] = block;
  }
}

__global__ void squared_norm_sum_kernel(LaneStrides lanes, const double* __restrict__ partials, int count,
                                        double* __restrict__ out) {
  after_predecessor();
  scratch_to_lane(lanes, partials);
  SharedMemory memory;
  const Shared<double> warps = memory.take<double>(most_warps);
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    sum += partials[i];
  }
  const double total = block_sum(sum, warps);
  if (threadIdx.x == 0) {
    to_lane(lanes, out);
    *out = total;
  }
}

}  // namespace

void run(Stream& stream, const SumRows& task) {
  constexpr int threads = 64;
  launch(stream, {"sum_rows", blocks_for(task.out.size, threads), threads}, sum_rows_kernel, task.in.data, task.rows,
         task.row_stride, task.out.size, task.out.data);
}

void run(Stream& stream, const SquaredNorm& task) {
  const Array<const float>& x = task.x;
  if (x.size == 0) {
    return runtime().zero(stream, task.out.data, sizeof(double));
  }
  constexpr int64_t most_blocks = 256;
  const bool whole = arrays_are_packs(x);
  const int64_t packs = x.size / (whole ? pack_floats : 1);
  const auto blocks = static_cast<unsigned>(std::min(most_blocks, divide_up(packs, block_threads)));
  double* partials = scratch_doubles(stream, blocks);
  launch(stream, {"squared_norm", {blocks}, block_threads, block_sum_bytes},
         whole ? squared_norm_kernel<pack_floats> : squared_norm_kernel<1>, x.data, packs, partials);
  launch(stream, {"squared_norm_sum", {1}, block_threads, block_sum_bytes}, squared_norm_sum_kernel, partials,
         static_cast<int>(blocks), task.out.data);
}

}  // namespace evenflow::kernels::cuda
