#include "kernels/random_order.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {

BufferSizes sizes(const RandomOrderBuffers&) {
  return {};
}

// Keys are computed where they are compared: it is an epoch's order, once per epoch, and no memory is needed.
void run(Stream&, const RandomOrder& task) {
  const auto key = [&](int64_t i) {
    return std::pair(random_bits(task.seed, task.order_stream, static_cast<uint64_t>(i)), i);
  };
  int64_t* const first = task.order.data;
  std::iota(first, first + task.order.size, int64_t{0});
  std::sort(first, first + task.order.size, [&](int64_t a, int64_t b) { return key(a) < key(b); });
}

}  // namespace evenflow::kernels::cpu
