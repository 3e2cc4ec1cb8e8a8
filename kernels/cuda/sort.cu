// Sorting through CUB's radix sort.
#include "kernels/cuda/sort.h"

#include <cub/device/device_radix_sort.cuh>

#include "kernels/cuda/execution.h"

namespace evenflow::kernels::cuda {

int64_t sort_pairs_workspace_bytes(int64_t n) {
  size_t bytes = 0;
  const SortPairs none;
  check_cuda(
      cub::DeviceRadixSort::SortPairs(nullptr, bytes, none.keys, none.sorted_keys, none.values, none.sorted_values, n),
      "sizing a sort's memory");
  return static_cast<int64_t>(bytes);
}

void sort_pairs(Stream& stream, const SortPairs& pairs, void* workspace) {
  constexpr int key_bits = 64;
  auto bytes = static_cast<size_t>(sort_pairs_workspace_bytes(pairs.n));
  check_cuda(cub::DeviceRadixSort::SortPairs(workspace, bytes, pairs.keys, pairs.sorted_keys, pairs.values,
                                             pairs.sorted_values, pairs.n, 0, key_bits, queue_of(stream)),
             "sorting");
}

}  // namespace evenflow::kernels::cuda
