// Grid: a grid-stride loop makes a key per index; CUB sorts the pairs by key (sort.cu), equal keys keeping their order.
// Traffic: 16 bytes per index for the keys, and what a radix sort of 64-bit keys moves. Once per epoch.
// Sums: none.
#include "kernels/random_order.h"

#include "kernels/cuda/grid.h"
#include "kernels/cuda/sort.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

__global__ void order_keys_kernel(uint64_t seed, uint64_t order_stream, int64_t n, uint64_t* __restrict__ keys,
                                  int64_t* __restrict__ index) {
  after_predecessor();
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

BufferSizes sizes(const RandomOrderBuffers& buffers) {
  return {.workspace = 3 * array_bytes(buffers.n) + sort_pairs_workspace_bytes(buffers.n)};
}

void run(Stream& stream, const RandomOrder& task) {
  const int64_t n = task.order.size;
  unsigned char* workspace = task.workspace.data;
  auto* keys = reinterpret_cast<uint64_t*>(workspace);
  auto* sorted_keys = reinterpret_cast<uint64_t*>(workspace + array_bytes(n));
  auto* index = reinterpret_cast<int64_t*>(workspace + 2 * array_bytes(n));
  launch(stream, {"order_keys", blocks_for(n), block_threads}, order_keys_kernel, task.seed, task.order_stream, n, keys,
         index);
  sort_pairs(stream,
             {.n = n, .keys = keys, .sorted_keys = sorted_keys, .values = index, .sorted_values = task.order.data},
             workspace + 3 * array_bytes(n));
}

}  // namespace evenflow::kernels::cuda
