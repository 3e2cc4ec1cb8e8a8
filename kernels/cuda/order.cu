#include "kernels/order.h"

#include "kernels/cuda/grid.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/sort.h"

namespace evenflow::kernels::cuda {
namespace {

__global__ void order_keys_kernel(uint64_t seed, uint64_t order_stream, int64_t n, uint64_t* __restrict__ keys,
                                  int64_t* __restrict__ index) {
  for (int64_t i = first_item(); i < n; i += item_stride()) {
    keys[i] = random_bits(seed, order_stream, static_cast<uint64_t>(i));
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
  launch(stream, {"order_keys", blocks_for(n), block_threads}, order_keys_kernel, seed, order_stream, n, keys, index);
  sort_pairs(stream, {.n = n, .keys = keys, .sorted_keys = sorted_keys, .values = index, .sorted_values = order.data},
             workspace.data + 3 * array_bytes(n));
}

}  // namespace evenflow::kernels::cuda
