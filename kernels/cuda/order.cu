#include "kernels/order.h"

#include "kernels/cuda/grid.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/sort.h"

namespace evenflow::kernels::cuda {
namespace {

/// mix_bits of order.h.
__device__ uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

constexpr uint64_t increment = 0x9e3779b97f4a7c15ULL;

__global__ void order_keys_kernel(uint64_t base, int64_t n, uint64_t* __restrict__ keys, int64_t* __restrict__ index) {
  for (int64_t i = first_item(); i < n; i += item_stride()) {
    keys[i] = mixed(base + (static_cast<uint64_t>(i) + 1) * increment);
    index[i] = i;
  }
}

// The workspace: keys, sorted keys, indices, then the sort's own, each on a line of its own.
constexpr int64_t alignment = 256;
int64_t array_bytes(int64_t n) {
  return divide_up(n * static_cast<int64_t>(sizeof(uint64_t)), alignment) * alignment;
}

}  // namespace

int64_t random_order_workspace_bytes(int64_t n) {
  return 3 * array_bytes(n) + sort_pairs_workspace_bytes(n);
}

void random_order(Stream& stream, uint64_t seed, uint64_t order_stream, Array<int64_t> order,
                  Array<unsigned char> workspace) {
  const int64_t n = order.size;
  if (n == 0) return;
  auto* keys = reinterpret_cast<uint64_t*>(workspace.data);
  auto* sorted_keys = reinterpret_cast<uint64_t*>(workspace.data + array_bytes(n));
  auto* index = reinterpret_cast<int64_t*>(workspace.data + 2 * array_bytes(n));
  const uint64_t base = mix_bits(mix_bits(seed + increment) ^ order_stream);
  launch(stream, {"order_keys", blocks_for(n), block_threads}, order_keys_kernel, base, n, keys, index);
  sort_pairs(stream, {.n = n, .keys = keys, .sorted_keys = sorted_keys, .values = index, .sorted_values = order.data},
             workspace.data + 3 * array_bytes(n));
}

}  // namespace evenflow::kernels::cuda
