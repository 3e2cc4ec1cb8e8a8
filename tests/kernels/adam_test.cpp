#include "kernels/adam.h"
#include "kernels/reduce.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "tests/support/backends.h"
#include "tests/support/guard.h"

namespace evenflow::tests {
namespace {

using reference::Vector;

struct Length {
  int64_t size = 1;
  std::string name() const { return text_of("size", size); }
};

using Adam = OpTest<Length>;

TEST_P(Adam, HundredStepsFollowTheReference) {
  Rng rng(31);
  const int64_t size = shape().size;
  const size_t count = static_cast<size_t>(size);
  Vector parameter = random_vector(rng, size);
  Vector m(count);
  Vector v(count);
  const GuardedBuffer<float> p32(narrow(parameter), device());
  const GuardedBuffer<float> m32(std::vector<float>(count), device());
  const GuardedBuffer<float> v32(std::vector<float>(count), device());
  const reference::AdamSettings settings{.learning_rate = 3e-3, .gradient_scale = 0.125};
  Vector bound(count);
  Vector m_magnitude(count);
  for (int64_t step = 1; step <= 100; ++step) {
    Vector gradient = random_vector(rng, size, 4.0);
    if (size > 2) {
      gradient[1] = 0.0;  // a parameter that never moves
    }
    const GuardedBuffer<float> g32(narrow(gradient), device());
    kernels::adam_update(stream_,
                         {.settings = {.learning_rate = settings.learning_rate, .step = step, .gradient_scale = 0.125},
                          .gradient = g32.view(),
                          .parameter = p32.view(),
                          .m = m32.view(),
                          .v = v32.view()});
    stream_.synchronise();
    reference::adam_update(settings, step, gradient, parameter, m, v);
    const double t = static_cast<double>(step);
    for (size_t i = 0; i < count; ++i) {
      m_magnitude[i] = 0.9 * m_magnitude[i] + 0.1 * std::abs(0.125 * gradient[i]);
      // m gathers three roundings a step with a memory of ten, v three a step with no fading to speak of.
      const double root = std::sqrt(v[i] / (1 - std::pow(0.999, t))) + 1e-8;
      const double update = settings.learning_rate * m_magnitude[i] / (1 - std::pow(0.9, t)) / root;
      bound[i] += eps32 * (update * (30.0 + 8.0 + 1.5 * t) + std::abs(parameter[i]));
    }
  }
  expect_close(p32.values(), parameter, bound, "parameter");
  Vector m_bound(count);
  Vector v_bound(count);
  for (size_t i = 0; i < count; ++i) {
    m_bound[i] = 30 * eps32 * m_magnitude[i];
    v_bound[i] = 300 * eps32 * v[i];
  }
  expect_close(m32.values(), m, m_bound, "m");
  expect_close(v32.values(), v, v_bound, "v");
  if (size > 2) {
    EXPECT_EQ(m32[1], 0.0F);
    EXPECT_EQ(static_cast<double>(p32[1]), parameter[1]);
  }
}

TEST_P(Adam, SumRowsAddsInOrder) {
  Rng rng(32);
  const int64_t size = shape().size;
  for (const int64_t rows : {1, 2, 37}) {
    const std::vector<float> in = random_floats(rng, rows * size);
    const GuardedBuffer<float> in32(in, device());
    const GuardedBuffer<float> out(size, device());
    // In two parts, as threads would share the work.
    const int64_t split = size / 3;
    kernels::sum_rows(stream_,
                      {.in = in32.view(), .rows = rows, .row_stride = size, .out = out.view().slice(0, split)});
    kernels::sum_rows(stream_, {.in = in32.view().slice(split, rows * size - split),
                                .rows = rows,
                                .row_stride = size,
                                .out = out.view().slice(split, size - split)});
    stream_.synchronise();
    // "Rows in order" fixes every bit: the same loop in float32.
    for (int64_t j = 0; j < size; ++j) {
      float sum = in[static_cast<size_t>(j)];
      for (int64_t i = 1; i < rows; ++i) {
        sum += in[static_cast<size_t>(i * size + j)];
      }
      EXPECT_EQ(out[j], sum);
    }
    const Vector expected = reference::sum_rows(widen(in), rows);
    const Vector magnitude = reference::sum_rows(reference::absolute(widen(in)), rows);
    expect_close(out.values(), expected, sum_bounds(rows, magnitude), "sum of rows");
  }
}

TEST_P(Adam, SumOfNoRowsIsZero) {
  const GuardedBuffer<float> out(shape().size, device());
  kernels::sum_rows(stream_, {.in = {}, .rows = 0, .row_stride = shape().size, .out = out.view()});
  stream_.synchronise();
  for (int64_t j = 0; j < shape().size; ++j) {
    EXPECT_EQ(out[j], 0.0F);
  }
}

TEST_P(Adam, SquaredNormIsFloat64AndKeepsWhatIsNotFinite) {
  Rng rng(33);
  const int64_t size = shape().size;
  std::vector<float> x = random_floats(rng, size, 1e20);  // the squares overflow float32
  const GuardedBuffer<float> x32(x, device());
  const GuardedBuffer<double> out(1, device());
  kernels::squared_norm(stream_, {.x = x32.view(), .out = out.view()});
  stream_.synchronise();
  const double expected = reference::squared_norm(widen(x));
  EXPECT_TRUE(std::abs(out[0] - expected) <= sum_bound(size, expected, eps64)) << out[0] << " " << expected;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const int64_t at : {int64_t{0}, size / 2, size - 1}) {
      const float kept = x32[at];
      x32.set(at, bad);
      kernels::squared_norm(stream_, {.x = x32.view(), .out = out.view()});
      stream_.synchronise();
      EXPECT_FALSE(std::isfinite(out[0])) << bad << " at " << at;
      x32.set(at, kept);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Lengths, Adam, on_every_backend<Length>({{1}, {7}, {31}, {32}, {33}, {37}, {1009}, {20011}}),
                         case_name<Length>);

}  // namespace
}  // namespace evenflow::tests
