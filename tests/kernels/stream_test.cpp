// What a stream carries besides operations: copies, fills, graphs and events.
#include "kernels/stream.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>

#include <gtest/gtest.h>

#include "kernels/adam.h"
#include "kernels/check.h"
#include "kernels/event.h"
#include "kernels/graph.h"
#include "tests/support/backends.h"
#include "tests/support/guard.h"

namespace evenflow::tests {
namespace {

struct StreamLength {
  int64_t n = 0;
  std::string name() const { return text_of("n", n); }
};

using StreamOp = OpTest<StreamLength>;

std::vector<int32_t> counting(int64_t n) {
  std::vector<int32_t> out(static_cast<size_t>(n));
  std::iota(out.begin(), out.end(), 1);
  return out;
}

TEST_P(StreamOp, CopiesAndFillsStayInTheirOrder) {
  const int64_t n = shape().n;
  const std::vector<int32_t> numbers = counting(n);
  const kernels::Buffer<int32_t> pinned = kernels::Buffer<int32_t>::pinned(n, device());
  EXPECT_EQ(pinned.view().device, kernels::Device{}) << "the host's to read";
  std::ranges::copy(numbers, pinned.data());
  const GuardedBuffer<int32_t> first(n, device()), second(n, device());
  kernels::copy(stream_, pinned.view(), first.view());
  kernels::copy(stream_, first.view(), second.view());
  kernels::zero(stream_, first.view());
  EXPECT_EQ(kernels::to_host(stream_, first.view()), std::vector<int32_t>(numbers.size()));
  EXPECT_EQ(kernels::to_host(stream_, second.view()), numbers);
  std::ranges::fill(std::span(pinned.data(), numbers.size()), 0);
  kernels::copy(stream_, second.view(), pinned.view());
  stream_.synchronise();
  EXPECT_TRUE(std::ranges::equal(numbers, std::span(pinned.data(), numbers.size())));
  const GuardedBuffer<int32_t> larger(n + 1, device());
  EXPECT_THROW(kernels::copy(stream_, second.view(), larger.view()), kernels::ShapeError);
}

TEST_P(StreamOp, AGraphRunsAtEveryLaunchAndNotWhenRecorded) {
  const int64_t n = shape().n;
  const GuardedBuffer<float> gradient(std::vector<float>(static_cast<size_t>(n), 1.0F), device());
  const GuardedBuffer<float> parameter(std::vector<float>(static_cast<size_t>(n)), device());
  const GuardedBuffer<float> sum(std::vector<float>(static_cast<size_t>(n), 5.0F), device());
  const GuardedBuffer<float> m(parameter.elements(), device()), v(parameter.elements(), device());
  const kernels::AdamSettings settings{.learning_rate = 0.5};
  const auto update = [&] {
    kernels::adam_update(stream_, {.settings = settings,
                                   .gradient = gradient.view(),
                                   .parameter = parameter.view(),
                                   .m = m.view(),
                                   .v = v.view()});
    kernels::copy(stream_, parameter.view(), sum.view());
  };
  kernels::Graph graph(stream_, update);
  EXPECT_FALSE(graph.empty());
  stream_.synchronise();
  EXPECT_EQ(parameter[0], 0.0F);
  EXPECT_EQ(sum[0], 5.0F);
  if (device().type == kernels::DeviceType::cpu) {
    EXPECT_EQ(graph.nodes(), 0);
  } else {
    EXPECT_GE(graph.nodes(), 2);
  }
  graph.launch(stream_);
  kernels::Graph moved = std::move(graph);
  moved.launch(stream_);
  stream_.synchronise();
  const std::vector<float> twice = parameter.elements();
  EXPECT_EQ(sum.elements(), twice);
  parameter.set(std::vector<float>(static_cast<size_t>(n)));
  m.set(parameter.elements());
  v.set(parameter.elements());
  for (int i = 0; i < 2; ++i) {
    update();
  }
  stream_.synchronise();
  EXPECT_EQ(twice, parameter.elements());
  EXPECT_LT(twice.back(), 0.0F);
}

TEST_P(StreamOp, AnEmptyGraphCannotBeLaunched) {
  EXPECT_TRUE(kernels::Graph().empty());
  EXPECT_THROW(kernels::Graph().launch(stream_), kernels::ShapeError);
}

TEST_P(StreamOp, EventsMeasureWhatLiesBetweenThem) {
  const GuardedBuffer<int32_t> data(shape().n, device());
  kernels::Event before(device()), after(device());
  before.record(stream_);
  kernels::zero(stream_, data.view());
  after.record(stream_);
  after.wait();
  EXPECT_GE(after.seconds_since(before), 0.0);
  EXPECT_EQ(data[0], 0);
}

INSTANTIATE_TEST_SUITE_P(Lengths, StreamOp, on_every_backend<StreamLength>({{1}, {31}, {1024}}),
                         case_name<StreamLength>);

}  // namespace
}  // namespace evenflow::tests
