#include <cmath>

#include <gtest/gtest.h>

#include "kernels/gaussian.h"
#include "tests/kernels/shapes.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using reference::Maps;
using reference::Vector;

using Gaussian = OpTest<MapShape>;

TEST_P(Gaussian, MomentsAreAddedInFloat64) {
  Rng rng(21);
  const MapShape& s = shape();
  for (const double offset : {0.0, 300.0}) {
    Maps z = s.random(rng, 2.0);
    for (double& value : z.values) {
      value = static_cast<double>(static_cast<float>(value + offset));
    }
    const GuardedMap in(z, s.around, device());
    const Vector before = random_vector(rng, 2 * s.n, 10.0);
    const GuardedBuffer<double> sum(std::vector<double>(before.begin(), before.begin() + s.n), device());
    const GuardedBuffer<double> squares(std::vector<double>(before.begin() + s.n, before.end()), device());
    kernels::gaussian_moments(stream_, {.z = in.view(), .sum = sum.view(), .centred_squares = squares.view()});
    stream_.synchronise();
    const reference::Moments expected = reference::gaussian_moments(z);
    const int64_t count = s.c * s.pixels();
    const double length = static_cast<double>(count);
    for (int64_t i = 0; i < s.n; ++i) {
      const size_t at = static_cast<size_t>(i);
      const double from_sum = before[at];
      const double from_squares = before[at + static_cast<size_t>(s.n)];
      const double most = (offset + 2.0) * length;
      EXPECT_TRUE(std::abs(sum[i] - from_sum - expected.sum[at]) <= sum_bound(count, most + 10.0, eps64));
      // An error e of the mean shifts the squares by n e^2: of second order, below the rounding of the sum.
      const double magnitude = expected.centred_squares[at] + 10.0 + length * eps64 * offset;
      EXPECT_TRUE(std::abs(squares[i] - from_squares - expected.centred_squares[at]) <=
                  sum_bound(count, magnitude, eps64))
          << squares[i] - from_squares << " " << expected.centred_squares[at];
    }
  }
}

TEST_P(Gaussian, SquaresAreAddedInFloat64) {
  Rng rng(23);
  const MapShape& s = shape();
  for (const double offset : {0.0, 300.0}) {
    Maps z = s.random(rng, 2.0);
    for (double& value : z.values) {
      value = static_cast<double>(static_cast<float>(value + offset));
    }
    const GuardedMap in(z, s.around, device());
    const Vector before = random_vector(rng, s.n, 10.0);
    const GuardedBuffer<double> squares(before, device());
    kernels::gaussian_squares(stream_, {.z = in.view(), .squares = squares.view()});
    stream_.synchronise();
    const int64_t count = s.c * s.pixels();
    const Vector actual = squares.values();
    for (int64_t i = 0; i < s.n; ++i) {
      double expected = 0;
      for (int64_t j = 0; j < count; ++j) {
        expected += z.plane(i, 0)[j] * z.plane(i, 0)[j];
      }
      const double added = actual[static_cast<size_t>(i)] - before[static_cast<size_t>(i)];
      EXPECT_TRUE(std::abs(added - expected) <= sum_bound(count, expected + 10.0, eps64)) << added << " " << expected;
    }
  }
}

TEST_P(Gaussian, BackwardIsTheDistanceFromTheShift) {
  Rng rng(22);
  const MapShape& s = shape();
  const Maps z = s.random(rng, 3.0);
  const Vector shift = random_vector(rng, s.n, 3.0);
  const GuardedMap in(z, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedBuffer<double> shifts(shift, device());
  const double scale = 1.0 / 8192;
  kernels::gaussian_backward(stream_, {.z = in.view(), .shift = shifts.view(), .scale = scale, .dz = out.view()});
  stream_.synchronise();
  Maps expected = z;
  Maps bound = z;
  for (int64_t n = 0; n < s.n; ++n) {
    const double mean = shift[static_cast<size_t>(n)];
    for (int64_t i = 0; i < s.c * s.pixels(); ++i) {
      const double value = z.plane(n, 0)[i];
      expected.plane(n, 0)[i] = scale * (value - mean);
      bound.plane(n, 0)[i] = 2 * eps32 * scale * (std::abs(value) + std::abs(mean));
    }
  }
  expect_close(out.values().values, expected.values, bound.values, "dz");
}

// Channels as samples of their own would have them, to the last bit; what lies behind c * n sums stays.
TEST_P(Gaussian, ByChannelEachIsASampleOfItsOwn) {
  Rng rng(24);
  const MapShape& s = shape();
  const Maps z = s.random(rng, 2.0);
  const Vector shift = random_vector(rng, s.c * s.n, 3.0), before = random_vector(rng, s.c * s.n + 1, 10.0);
  const GuardedMap in(z, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device()), alone(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedBuffer<double> shifts(shift, device());
  const GuardedBuffer<double> sum(before, device()), squares(before, device());
  const GuardedBuffer<double> sum_alone(before, device()), squares_alone(before, device());
  kernels::gaussian_moments(stream_,
                            {.z = in.view(), .sum = sum.view(), .centred_squares = squares.view(), .by_channel = true});
  kernels::gaussian_backward(
      stream_, {.z = in.view(), .shift = shifts.view(), .scale = 0.25, .dz = out.view(), .by_channel = true});
  const auto channel = [&](kernels::Map map, int64_t c) {
    map.data += c * s.pixels();
    map.c = 1;
    return map;
  };
  for (int64_t c = 0; c < s.c; ++c) {
    const kernels::Map own = channel(in.view(), c);
    kernels::gaussian_moments(stream_, {.z = own,
                                        .sum = sum_alone.view().slice(c * s.n, s.n),
                                        .centred_squares = squares_alone.view().slice(c * s.n, s.n)});
    kernels::gaussian_backward(
        stream_, {.z = own, .shift = shifts.view().slice(c * s.n, s.n), .scale = 0.25, .dz = channel(alone.view(), c)});
  }
  stream_.synchronise();
  EXPECT_EQ(sum.values(), sum_alone.values());
  EXPECT_EQ(squares.values(), squares_alone.values());
  EXPECT_EQ(out.values().values, alone.values().values);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Gaussian, on_every_backend(map_shapes()), case_name<MapShape>);

}  // namespace
}  // namespace evenflow::tests
