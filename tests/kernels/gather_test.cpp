#include "kernels/gather.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/support/backends.h"
#include "tests/support/guard.h"

namespace evenflow::tests {
namespace {

using reference::Maps;
using reference::Vector;

struct WindowShape {
  int64_t n = 1, bands = 1, width = 1;
  std::string name() const { return text_of("n", n, "_bands", bands, "_width", width); }
};

using Gather = OpTest<WindowShape>;

TEST_P(Gather, TakesOverlappingWindowsAndNormalises) {
  Rng rng(41);
  const WindowShape& s = shape();
  const int64_t total = s.width + 2 * s.n + 3;
  const Vector frames = random_vector(rng, total * s.bands, 80.0);
  const Vector mean = random_vector(rng, s.bands, 60.0);
  const Vector inverse_std = random_vector(rng, s.bands, 0.2);
  std::vector<int64_t> start;
  for (int64_t i = 0; i < s.n; ++i) {
    start.push_back(i % 2 == 0 ? total - s.width - i : i);  // both ends included
  }
  const GuardedBuffer<float> frames32(narrow(frames), device());
  const GuardedBuffer<float> mean32(narrow(mean), device());
  const GuardedBuffer<float> inverse32(narrow(inverse_std), device());
  const GuardedBuffer<int64_t> starts(start, device());
  for (const Surroundings& around : {Surroundings{}, Surroundings{.channels_before = 1, .gap = 7}}) {
    const GuardedMap out(s.n, 1, s.bands, s.width, around, device());
    kernels::gather_windows(stream_, {.frames = frames32.view(),
                                      .start = starts.view(),
                                      .mean = mean32.view(),
                                      .inverse_std = inverse32.view(),
                                      .x = out.view()});
    stream_.synchronise();
    const Maps expected = reference::gather_windows(frames, start, mean, inverse_std, s.width);
    Vector minus_mean = reference::absolute(mean);
    for (double& value : minus_mean) {
      value = -value;
    }
    Maps bound = reference::gather_windows(reference::absolute(frames), start, minus_mean,
                                           reference::absolute(inverse_std), s.width);
    for (double& value : bound.values) {
      value *= 2 * eps32;
    }
    expect_close(out.values().values, expected.values, bound.values, "window");
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Gather,
                         on_every_backend<WindowShape>(
                             {{1, 1, 1}, {3, 31, 1}, {1, 32, 31}, {3, 33, 32}, {5, 37, 33}, {3, 1, 37}, {3, 128, 64}}),
                         case_name<WindowShape>);

}  // namespace
}  // namespace evenflow::tests
