// Map shapes of the op suites: every dimension takes 1, 31, 32, 33 and a prime, batches of 1 and 3, dense and strided.
#pragma once

#include <span>
#include <string>

#include "tests/support/guard.h"

namespace evenflow::tests {

/// A batched operation's tasks: this one.
template <class Task>
std::span<const Task> only(const Task& task) {
  return {&task, 1};
}

struct MapShape {
  int64_t n = 1, c = 1, h = 1, w = 1;
  Surroundings around{};
  std::string name() const {
    const bool apart = around.gap + around.channels_before + around.channels_after > 0;
    return text_of("n", n, "_c", c, "_", h, "x", w, apart ? text_of("_strided", around.gap) : "");
  }
  int64_t pixels() const { return h * w; }
  reference::Maps random(Rng& rng, double scale = 1.0) const { return random_maps(rng, n, c, h, w, scale); }
};

inline constexpr Surroundings dense{};
inline constexpr Surroundings strided{.channels_before = 2, .channels_after = 1, .gap = 5};
/// Samples apart, and each begins where 16-byte packs may.
inline constexpr Surroundings strided_packs{.channels_before = 2, .channels_after = 1, .gap = 4};

inline std::vector<MapShape> map_shapes() {
  return {{1, 1, 1, 1, dense},      {3, 1, 31, 33, strided},  {1, 31, 1, 37, strided},
          {3, 32, 33, 1, dense},    {1, 33, 32, 31, strided}, {3, 37, 5, 37, dense},
          {3, 37, 37, 32, strided}, {1, 4, 64, 32, dense},    {3, 8, 32, 16, strided_packs}};
}

}  // namespace evenflow::tests
