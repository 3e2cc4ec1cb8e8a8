// Sorting. sort.cu calls CUB; tests/emulation has the stand-in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/stream.h"

namespace evenflow::kernels::cuda {

/// Device memory that sort_pairs of n pairs needs to work in.
int64_t sort_pairs_workspace_bytes(int64_t n);

struct SortPairs {
  int64_t n = 0;
  const uint64_t* keys = nullptr;
  uint64_t* sorted_keys = nullptr;
  const int64_t* values = nullptr;
  int64_t* sorted_values = nullptr;
};
/// By ascending key; equal keys keep their order. Inputs stay, outputs are other memory.
void sort_pairs(Stream& stream, const SortPairs& pairs, void* workspace);

}  // namespace evenflow::kernels::cuda
