#include <gtest/gtest.h>

#include "kernels/squeeze.h"
#include "tests/kernels/shapes.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using Squeeze = OpTest<MapShape>;

TEST_P(Squeeze, MovesEveryPixelToItsPlace) {
  Rng rng(1);
  const MapShape& s = shape();
  const reference::Maps x = s.random(rng);
  const GuardedMap fine(x, s.around, device());
  const GuardedMap coarse(s.n, 4 * s.c, s.h / 2, s.w / 2, s.around, device());
  kernels::squeeze(stream_, {.x = fine.view(), .y = coarse.view()});
  stream_.synchronise();
  EXPECT_EQ(coarse.values().values, reference::squeeze(x).values);
  EXPECT_EQ(fine.values().values, x.values);
}

TEST_P(Squeeze, UnsqueezeIsItsInverse) {
  Rng rng(2);
  const MapShape& s = shape();
  const reference::Maps y = random_maps(rng, s.n, 4 * s.c, s.h / 2, s.w / 2);
  const GuardedMap coarse(y, s.around, device());
  const GuardedMap fine(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedMap again(s.n, 4 * s.c, s.h / 2, s.w / 2, s.around, device());
  kernels::unsqueeze(stream_, {.y = coarse.view(), .x = fine.view()});
  kernels::squeeze(stream_, {.x = fine.view(), .y = again.view()});
  stream_.synchronise();
  EXPECT_EQ(fine.values().values, reference::unsqueeze(y).values);
  EXPECT_EQ(again.values().values, y.values);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Squeeze,
                         on_every_backend<MapShape>({{1, 1, 2, 2, dense},
                                                     {3, 1, 62, 66, strided},
                                                     {1, 31, 64, 2, dense},
                                                     {3, 32, 2, 74, strided},
                                                     {1, 33, 66, 62, dense},
                                                     {3, 37, 74, 64, strided},
                                                     {1, 1, 128, 64, dense}}),
                         case_name<MapShape>);

}  // namespace
}  // namespace evenflow::tests
