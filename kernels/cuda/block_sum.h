// Sums over a block, always in the same order.
#pragma once

#include <cstdint>

#include "kernels/cuda/execution.h"

namespace evenflow::kernels::cuda {

/// Of a block of whole warps, at most 1024 threads.
inline constexpr int most_warps = 32;
inline constexpr int block_sum_bytes = most_warps * static_cast<int>(sizeof(double));

/// The sum of every thread's value, in every thread: a tree over each warp's lanes, then the warps in order. All
/// threads of a one-dimensional block arrive; `memory` holds most_warps.
__device__ inline double block_sum(double value, Shared<double> memory) {
  for (int mask = warp_size / 2; mask > 0; mask /= 2) {
    value += shuffle_xor(value, mask);
  }
  const int warps = static_cast<int>(blockDim.x) / warp_size;
  const int thread = static_cast<int>(threadIdx.x);
  sync_block();  // the sum before may still be read
  if (thread % warp_size == 0) {
    memory[thread / warp_size] = value;
  }
  sync_block();
  double sum = 0;
  for (int warp = 0; warp < warps; ++warp) {
    sum += memory[warp];
  }
  return sum;
}

/// Neither NaN nor infinite.
__device__ inline bool is_finite(double x) {
  return x - x == 0;
}

}  // namespace evenflow::kernels::cuda
