#include "kernels/random.h"

#include <cmath>

#include <gtest/gtest.h>

namespace evenflow::kernels {
namespace {

TEST(NormalPair, HasTheMomentsOfTwoIndependentNormals) {
  constexpr int count = 100000;
  double first = 0;
  double squares = 0;
  double fourths = 0;
  double together = 0;
  double squares_together = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const NormalPair pair = normal_pair(random_bits(1, 2, i));
    const double a = pair.first, b = pair.second;
    first += a;
    squares += b * b;
    fourths += a * a * a * a;
    together += a * b;
    squares_together += (a * a - 1) * (b * b - 1);
  }
  // Five standard errors: of x 1, of x^2 2, of x^4 96, of a product of two 1, of their squares' 4, over the count.
  const double root = std::sqrt(static_cast<double>(count));
  EXPECT_TRUE(std::abs(first / count) <= 5.0 / root);
  EXPECT_TRUE(std::abs(squares / count - 1.0) <= 5.0 * std::sqrt(2.0) / root);
  EXPECT_TRUE(std::abs(fourths / count - 3.0) <= 5.0 * std::sqrt(96.0) / root);
  EXPECT_TRUE(std::abs(together / count) <= 5.0 / root);
  EXPECT_TRUE(std::abs(squares_together / count) <= 5.0 * 2.0 / root);
}

TEST(NormalPair, TheOutermostBitsAreFinite) {
  for (const uint64_t bits : {uint64_t{0}, ~uint64_t{0}, uint64_t{0xff}, ~uint64_t{0xff}}) {
    const NormalPair pair = normal_pair(bits);
    EXPECT_TRUE(std::hypot(pair.first, pair.second) <= 5.77) << bits;
  }
}

}  // namespace
}  // namespace evenflow::kernels
