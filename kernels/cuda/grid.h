// How kernels deal out their work.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/execution.h"

namespace evenflow::kernels::cuda {

constexpr int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// Threads of a block where nothing speaks for another number.
inline constexpr int block_threads = 256;

/// Blocks for a grid-stride loop over `items`: enough to fill a large GPU several times over, no more.
inline dim3 blocks_for(int64_t items, int64_t per_block = block_threads) {
  constexpr int64_t most = 16 * 132;
  return {static_cast<unsigned>(std::clamp<int64_t>(divide_up(items, per_block), 0, most))};
}

/// A grid-stride loop's first item and step.
__device__ inline int64_t first_item() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t item_stride() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

}  // namespace evenflow::kernels::cuda
