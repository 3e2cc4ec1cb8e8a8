#include "kernels/row_moments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/check.h"
#include "tests/kernels/shapes.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using reference::Maps;

using RowMoments = OpTest<MapShape>;

TEST_P(RowMoments, AreMeanAndRootMeanSquareOfEveryRow) {
  Rng rng(31);
  const MapShape& s = shape();
  const Maps z = s.random(rng, 2.0);
  const GuardedMap in(z, s.around, device());
  const int64_t rows = s.c * s.h, stride = 2 * rows + 3;
  const std::vector<float> before(static_cast<size_t>(s.n * stride), 7.0F);
  const GuardedBuffer<float> out(before, device());
  kernels::row_moments(stream_, {.z = in.view(), .moments = out.view(), .stride = stride});
  stream_.synchronise();
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t row = 0; row < rows; ++row) {
      const double* const mine = z.plane(n, row / s.h) + (row % s.h) * s.w;
      double mean = 0, magnitude = 0, squares = 0;
      for (int64_t i = 0; i < s.w; ++i) {
        const double value = static_cast<float>(mine[i]), length = static_cast<double>(s.w);
        mean += value / length;
        magnitude += std::abs(value) / length;
        squares += value * value / length;
      }
      EXPECT_TRUE(std::abs(out[n * stride + row] - mean) <= eps32 * magnitude) << n << " " << row;
      const double root = std::sqrt(squares);
      EXPECT_TRUE(std::abs(out[n * stride + rows + row] - root) <= eps32 * root) << n << " " << row;
    }
    for (int64_t i = 2 * rows; i < stride; ++i) {
      EXPECT_EQ(out[n * stride + i], 7.0F) << "between the samples";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RowMoments, on_every_backend(map_shapes()), case_name<MapShape>);

TEST(RowMomentsContract, NamesAStrideThatIsTooShort) {
  kernels::Stream stream;
  std::vector<float> z(12), moments(12);
  const kernels::ConstMap map = kernels::make_map<const float>(z.data(), 2, 1, 3, 2);
  const kernels::Array<float> to{moments.data(), 12, {}};
  EXPECT_THROW(kernels::row_moments(stream, {.z = map, .moments = to, .stride = 5}), kernels::ShapeError);
  EXPECT_THROW(kernels::row_moments(stream, {.z = map, .moments = to.slice(0, 11), .stride = 6}), kernels::ShapeError);
  kernels::row_moments(stream, {.z = map, .moments = to, .stride = 6});
}

}  // namespace
}  // namespace evenflow::tests
