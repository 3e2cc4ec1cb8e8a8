// Sums over a grid without a kernel of their own: every block leaves its share in device memory, and the last one to
// finish adds them up, in an order that does not depend on which block that is.
//
// One multiprocessor reads all shares, about 64 bytes a clock: less than a launch for some 100 KB, and many times as
// long for megabytes, which want a kernel of many blocks.
#pragma once

#include "kernels/cuda/execution.h"

namespace evenflow::kernels::cuda {

/// Whether the calling block is the last of its grid to come here, of its lane's where there are several; it then sees
/// what all of them wrote before. Every thread of every block comes here, once. `counters`: arrival_counters()
/// (runtime.h). Shares are read through a pointer that is neither const nor __restrict__.
__device__ inline bool is_last_block(unsigned* counters, Shared<unsigned> arrived) {
  sync_block();
  const unsigned most = gridDim.x * gridDim.y - 1;
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    arrived[0] = count_arrival(counters + blockIdx.z, most);
  }
  sync_block();
  return arrived[0] == most;
}

/// How many ways sum_rows splits the rows of `columns`, a multiple of 4.
constexpr int row_groups(int columns, int threads) {
  constexpr int most = 40;
  const int groups = threads / (columns / 4);
  return groups < most ? groups : most;
}

/// memory[column] = the sum of shares [rows, kColumns] over its rows in float64, for all threads of the block, which is
/// one-dimensional: a thread adds every row_groups()-th row of four columns, then the groups are added in order.
/// `memory` holds row_groups() * kColumns, and nobody reads it any more. A thread has kAtOnce rows in flight.
template <int kColumns, int kAtOnce, class Pointer>
__device__ void sum_rows(Pointer shares, int rows, Shared<double> memory) {
  constexpr int packs = kColumns / 4;
  const int threads = static_cast<int>(blockDim.x);
  const int thread = static_cast<int>(threadIdx.x);
  const int groups = row_groups(kColumns, threads);
  const int column = thread % packs * 4;
  if (thread < groups * packs) {
    double sum[4] = {};
    for (int first = thread / packs; first < rows; first += kAtOnce * groups) {
      float4 v[kAtOnce];
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        const int row = first + u * groups;
        v[u] = row < rows ? load4(shares + (static_cast<int64_t>(row) * kColumns + column)) : make_float4(0, 0, 0, 0);
      }
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        sum[0] += static_cast<double>(v[u].x);
        sum[1] += static_cast<double>(v[u].y);
        sum[2] += static_cast<double>(v[u].z);
        sum[3] += static_cast<double>(v[u].w);
      }
    }
    for (int i = 0; i < 4; ++i) {
      memory[thread / packs * kColumns + column + i] = sum[i];
    }
  }
  sync_block();
  for (int i = thread; i < kColumns; i += threads) {
    double sum = memory[i];
    for (int group = 1; group < groups; ++group) {
      sum += memory[group * kColumns + i];
    }
    memory[i] = sum;
  }
  sync_block();
}

}  // namespace evenflow::kernels::cuda
