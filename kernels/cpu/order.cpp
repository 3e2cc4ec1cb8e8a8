#include "kernels/order.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/cpu/ops.h"

namespace evenflow::kernels::cpu {

// Keys are computed where they are compared: it is an epoch's order, once per epoch, and no memory is needed.
void random_order(uint64_t seed, uint64_t order_stream, Array<int64_t> order) {
  std::iota(order.data, order.data + order.size, int64_t{0});
  std::sort(order.data, order.data + order.size, [&](int64_t a, int64_t b) {
    return std::pair(random_bits(seed, order_stream, static_cast<uint64_t>(a)), a) <
           std::pair(random_bits(seed, order_stream, static_cast<uint64_t>(b)), b);
  });
}

}  // namespace evenflow::kernels::cpu
