#include "flow/random.h"

#include <cmath>

#include <gtest/gtest.h>

namespace evenflow::flow {
namespace {

TEST(Random, IsSplitMix64) {
  // The published generator's first outputs for this seed.
  Random random(1234567);
  EXPECT_EQ(random.bits(), 6457827717110365317U);
  EXPECT_EQ(random.bits(), 3203168211198807973U);
  EXPECT_EQ(random.bits(), 9817491932198370423U);
}

TEST(Random, NormalHasItsMoments) {
  Random random = stream_of(5, 0);
  constexpr int count = 100000;
  double sum = 0;
  double squares = 0;
  double fourths = 0;
  for (int i = 0; i < count; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
    fourths += x * x * x * x;
  }
  // Five standard errors: sqrt(1 / n), sqrt(2 / n), sqrt(96 / n).
  const double root = std::sqrt(static_cast<double>(count));
  EXPECT_TRUE(std::abs(sum / count) <= 5.0 / root);
  EXPECT_TRUE(std::abs(squares / count - 1.0) <= 5.0 * std::sqrt(2.0) / root);
  EXPECT_TRUE(std::abs(fourths / count - 3.0) <= 5.0 * std::sqrt(96.0) / root);
}

TEST(Random, UniformStaysBelowOne) {
  Random random(0);
  for (int i = 0; i < 10000; ++i) {
    const double x = random.uniform();
    EXPECT_TRUE(x >= 0.0 && x < 1.0) << x;
  }
}

TEST(Random, StreamsDiffer) {
  EXPECT_NE(stream_of(1, 0).bits(), stream_of(1, 1).bits());
  EXPECT_NE(stream_of(1, 0).bits(), stream_of(2, 0).bits());
  EXPECT_EQ(stream_of(7, 3).bits(), stream_of(7, 3).bits());
}

}  // namespace
}  // namespace evenflow::flow
