#include "kernels/additive.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/check.h"
#include "tests/kernels/shapes.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using reference::Maps;
using reference::Vector;

using Additive = OpTest<MapShape>;

// Of the second half x + t in float32; the first as it is.
Maps shifted(const Maps& x, const Maps& shift, float sign) {
  Maps y = x;
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t i = 0; i < shift.c * shift.h * shift.w; ++i) {
      double& value = y.plane(n, shift.c)[i];
      value = static_cast<double>(static_cast<float>(value) + sign * static_cast<float>(shift.plane(n, 0)[i]));
    }
  }
  return y;
}

TEST_P(Additive, ForwardShiftsTheSecondHalfAndRoundsOnce) {
  Rng rng(91);
  const MapShape& s = shape();
  const Maps x = s.random(rng, 3.0), t = random_maps(rng, s.n, s.c / 2, s.h, s.w);
  const GuardedMap in(x, s.around, device()), shift(t, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  kernels::additive_forward(stream_, {.x = in.view(), .shift = shift.view(), .y = out.view()});
  kernels::additive_forward(stream_, {.x = in.view(), .shift = shift.view(), .y = in.view()});
  stream_.synchronise();
  EXPECT_EQ(out.values().values, shifted(x, t, 1.0F).values);
  EXPECT_EQ(in.values().values, out.values().values) << "in place";
}

TEST_P(Additive, InverseUndoesForward) {
  Rng rng(92);
  const MapShape& s = shape();
  const Maps x = s.random(rng, 3.0), t = random_maps(rng, s.n, s.c / 2, s.h, s.w);
  const GuardedMap in(x, s.around, device()), shift(t, s.around, device());
  const GuardedMap y(s.n, s.c, s.h, s.w, s.around, device()), back(s.n, s.c, s.h, s.w, s.around, device());
  kernels::additive_forward(stream_, {.x = in.view(), .shift = shift.view(), .y = y.view()});
  kernels::additive_inverse(stream_, {.y = y.view(), .shift = shift.view(), .x = back.view()});
  stream_.synchronise();
  EXPECT_EQ(back.values().values, shifted(y.values(), t, -1.0F).values);
  Maps bound(s.n, s.c, s.h, s.w);
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t i = 0; i < t.c * t.h * t.w; ++i) {
      bound.plane(n, t.c)[i] = eps32 * (std::abs(x.plane(n, t.c)[i]) + std::abs(t.plane(n, 0)[i]));
    }
  }
  expect_close(back.values().values, x.values, bound.values, "inverse of forward");
  kernels::additive_inverse(stream_, {.y = y.view(), .shift = shift.view(), .x = y.view()});
  stream_.synchronise();
  EXPECT_EQ(y.values().values, back.values().values) << "in place";
}

TEST_P(Additive, BackwardPassesTheGradientToBoth) {
  Rng rng(93);
  const MapShape& s = shape();
  const Maps dy = s.random(rng);
  const GuardedMap in(dy, s.around, device()), out(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedMap dshift(s.n, s.c / 2, s.h, s.w, s.around, device());
  kernels::additive_backward(stream_, {.dy = in.view(), .dx = out.view(), .dshift = dshift.view()});
  stream_.synchronise();
  EXPECT_EQ(out.values().values, dy.values);
  EXPECT_EQ(dshift.values().values, reference::channels(dy, s.c / 2, s.c / 2).values);
  kernels::additive_backward(stream_, {.dy = in.view(), .dx = in.view(), .dshift = dshift.view()});
  stream_.synchronise();
  EXPECT_EQ(in.values().values, dy.values) << "in place";
}

TEST(AdditiveShapes, AreChecked) {
  kernels::Stream stream;
  const kernels::Buffer<float> floats(64);
  const auto map = [&](int64_t c) { return kernels::make_map(floats.data(), 1, c, 2, 2); };
  const auto message_of = [&](const kernels::AdditiveForward& task) -> std::string {
    try {
      kernels::additive_forward(stream, task);
    } catch (const kernels::ShapeError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message_of({.x = map(3), .shift = map(1), .y = map(3)}), testing::HasSubstr("even c"));
  EXPECT_THAT(message_of({.x = map(4), .shift = map(4), .y = map(4)}), testing::HasSubstr("[1, 4, 2, 2]"));
  EXPECT_THAT(message_of({.x = map(4), .shift = map(2), .y = map(2)}), testing::HasSubstr("shapes differ"));
}

INSTANTIATE_TEST_SUITE_P(Shapes, Additive,
                         on_every_backend<MapShape>({{1, 2, 1, 1, dense},
                                                     {3, 4, 31, 33, strided},
                                                     {1, 6, 32, 37, dense},
                                                     {3, 62, 5, 3, strided},
                                                     {2, 8, 32, 16, dense}}),
                         case_name<MapShape>);

}  // namespace
}  // namespace evenflow::tests
