// std::stable_sort for kernels/cuda/sort.h.
#include "kernels/cuda/sort.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "cuda_emulation.h"

namespace evenflow::kernels::cuda {
namespace {
constexpr int64_t sort_workspace = 1024;
}

int64_t sort_pairs_workspace_bytes(int64_t) {
  return sort_workspace;
}

void sort_pairs(Stream& stream, const SortPairs& pairs, void* workspace) {
  emulation::run_later(stream, [=] {
    std::memset(workspace, 0xFF, static_cast<size_t>(sort_workspace));
    std::vector<int64_t> from(static_cast<size_t>(pairs.n));
    std::iota(from.begin(), from.end(), int64_t{0});
    std::stable_sort(from.begin(), from.end(), [&](int64_t a, int64_t b) { return pairs.keys[a] < pairs.keys[b]; });
    for (int64_t i = 0; i < pairs.n; ++i) {
      pairs.sorted_keys[i] = pairs.keys[from[static_cast<size_t>(i)]];
      pairs.sorted_values[i] = pairs.values[from[static_cast<size_t>(i)]];
    }
  });
}

}  // namespace evenflow::kernels::cuda
