// Whether a model's gradient is its loss's derivative.
#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "flow/arena.h"

namespace evenflow::flow {

/// Every tensor of the arena along its own gradient, by central differences of loss(parameters).
inline void expect_derivative(const ArenaLayout& layout, const std::vector<float>& centre,
                              const std::vector<float>& gradient,
                              const std::function<double(const std::vector<float>&)>& loss) {
  for (const ArenaEntry& entry : layout.entries()) {
    double length = 0;
    const auto at = [&](int64_t i) { return static_cast<size_t>(entry.offset + i); };
    for (int64_t i = 0; i < entry.size; ++i) {
      length += std::pow(gradient[at(i)], 2);
    }
    length = std::sqrt(length);
    ASSERT_GT(length, 1e-4) << entry.name;
    constexpr double h = 2e-3;
    const auto loss_at = [&](double distance) {
      std::vector<float> moved = centre;
      for (int64_t i = 0; i < entry.size; ++i) {
        moved[at(i)] = static_cast<float>(centre[at(i)] + distance * gradient[at(i)] / length);
      }
      return loss(moved);
    };
    const double difference = (loss_at(h) - loss_at(-h)) / (2 * h);
    EXPECT_TRUE(std::abs(difference - length) <= 0.01 * length + 1e-3)
        << entry.name << ": " << difference << " " << length;
  }
}

}  // namespace evenflow::flow
