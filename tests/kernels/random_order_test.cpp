#include "kernels/random_order.h"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "tests/support/backends.h"
#include "tests/support/guard.h"

namespace evenflow::tests {
namespace {

struct OrderLength {
  int64_t n = 0;
  std::string name() const { return text_of("n", n); }
};

using RandomOrder = OpTest<OrderLength>;

// One expectation for all devices: the order is theirs in common.
TEST_P(RandomOrder, SortsByTheStreamsRandomBits) {
  const int64_t n = shape().n;
  for (const uint64_t stream : {uint64_t{3}, uint64_t{4}}) {
    std::vector<int64_t> expected(static_cast<size_t>(n));
    std::iota(expected.begin(), expected.end(), 0);
    std::ranges::stable_sort(expected, {},
                             [&](int64_t i) { return kernels::random_bits(7, stream, static_cast<uint64_t>(i)); });
    const GuardedBuffer<int64_t> order(n, device());
    const GuardedBuffer<unsigned char> workspace(kernels::random_order_workspace_bytes(device(), n), device());
    kernels::random_order(stream_,
                          {.seed = 7, .order_stream = stream, .order = order.view(), .workspace = workspace.view()});
    stream_.synchronise();
    EXPECT_EQ(order.elements(), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Lengths, RandomOrder, on_every_backend<OrderLength>({{0}, {1}, {31}, {1000}}),
                         case_name<OrderLength>);

}  // namespace
}  // namespace evenflow::tests
