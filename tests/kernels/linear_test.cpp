#include "kernels/linear.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/check.h"
#include "tests/support/backends.h"
#include "tests/support/guard.h"

namespace evenflow::tests {
namespace {

using kernels::LinearShape;
using reference::Vector;

struct Layer {
  int64_t n = 1, in = 1, out = 1;
  bool relu = false;
  std::string name() const { return text_of("n", n, "_", in, "to", out, relu ? "_relu" : ""); }
  LinearShape shape() const { return {.n = n, .in = in, .out = out, .relu = relu}; }
};

/// out [rows, columns] of a [rows, inner] and b [columns, inner].
Vector times_transposed(const Vector& a, const Vector& b, int64_t rows, int64_t columns, int64_t inner) {
  Vector out(static_cast<size_t>(rows * columns));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t k = 0; k < inner; ++k) {
        out[static_cast<size_t>(i * columns + j)] +=
            a[static_cast<size_t>(i * inner + k)] * b[static_cast<size_t>(j * inner + k)];
      }
    }
  }
  return out;
}

Vector transposed(const Vector& a, int64_t rows, int64_t columns) {
  Vector out(a.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      out[static_cast<size_t>(j * rows + i)] = a[static_cast<size_t>(i * columns + j)];
    }
  }
  return out;
}

Vector sum_of(const Vector& a, const Vector& b) {
  Vector out = a;
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] += b[i];
  }
  return out;
}

using Linear = OpTest<Layer>;

TEST_P(Linear, ForwardMatchesTheReference) {
  Rng rng(71);
  const Layer& s = shape();
  const Vector x = random_vector(rng, s.n * s.in), weight = random_vector(rng, s.out * s.in),
               bias = random_vector(rng, s.out, 0.5);
  const GuardedBuffer<float> xs(narrow(x), device()), weights(narrow(weight), device()), biases(narrow(bias), device()),
      y(s.n * s.out, device());
  kernels::linear_forward(
      stream_, {.shape = s.shape(), .x = xs.view(), .weight = weights.view(), .bias = biases.view(), .y = y.view()});
  stream_.synchronise();
  Vector expected = times_transposed(x, weight, s.n, s.out, s.in);
  Vector magnitude = times_transposed(reference::absolute(x), reference::absolute(weight), s.n, s.out, s.in);
  for (size_t i = 0; i < expected.size(); ++i) {
    const double b = bias[i % bias.size()];
    expected[i] += b;
    if (s.relu) {
      expected[i] = std::max(0.0, expected[i]);
    }
    magnitude[i] += std::abs(b);
  }
  expect_close(y.values(), expected, sum_bounds(s.in + 1, magnitude), "y");
}

TEST_P(Linear, BackwardMatchesTheReference) {
  Rng rng(72);
  const Layer& s = shape();
  const Vector x = random_vector(rng, s.n * s.in), weight = random_vector(rng, s.out * s.in),
               y = random_vector(rng, s.n * s.out), dy = random_vector(rng, s.n * s.out),
               dweight = random_vector(rng, s.out * s.in), dbias = random_vector(rng, s.out);
  Vector masked = dy;
  for (size_t i = 0; i < masked.size(); ++i) {
    if (s.relu && y[i] <= 0) {
      masked[i] = 0;
    }
  }
  for (const bool wanted : {true, false}) {
    const GuardedBuffer<float> xs(narrow(x), device()), ys(narrow(y), device()), dys(narrow(dy), device()),
        weights(narrow(weight), device()), dx(wanted ? s.n * s.in : 0, device()), dweights(narrow(dweight), device()),
        dbiases(narrow(dbias), device());
    kernels::linear_backward(stream_, {.shape = s.shape(),
                                       .x = xs.view(),
                                       .y = ys.view(),
                                       .dy = dys.view(),
                                       .weight = weights.view(),
                                       .dx = dx.view(),
                                       .gradients = {dweights.view(), dbiases.view()}});
    stream_.synchronise();
    EXPECT_EQ(dys.values(), masked);
    const Vector gradient = transposed(masked, s.n, s.out), inputs = transposed(x, s.n, s.in);
    expect_close(dweights.values(), sum_of(dweight, times_transposed(gradient, inputs, s.out, s.in, s.n)),
                 sum_bounds(s.n + 1, sum_of(reference::absolute(dweight),
                                            times_transposed(reference::absolute(gradient), reference::absolute(inputs),
                                                             s.out, s.in, s.n))),
                 "dweight");
    const Vector ones(static_cast<size_t>(s.n), 1.0);
    expect_close(dbiases.values(), sum_of(dbias, times_transposed(gradient, ones, s.out, 1, s.n)),
                 sum_bounds(s.n + 1, sum_of(reference::absolute(dbias),
                                            times_transposed(reference::absolute(gradient), ones, s.out, 1, s.n))),
                 "dbias");
    if (!wanted) {
      continue;
    }
    const Vector columns = transposed(weight, s.out, s.in);
    expect_close(dx.values(), times_transposed(masked, columns, s.n, s.in, s.out),
                 sum_bounds(s.out, times_transposed(reference::absolute(masked), reference::absolute(columns), s.n,
                                                    s.in, s.out)),
                 "dx");
  }
}

TEST_P(Linear, NotANumberPassesForwardAndBack) {
  const Layer& s = shape();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto ones = [&](int64_t size) { return std::vector<float>(static_cast<size_t>(size), 1.0F); };
  std::vector<float> x = ones(s.n * s.in);
  x.back() = nan;
  const GuardedBuffer<float> xs(x, device()), weights(ones(s.out * s.in), device()), biases(ones(s.out), device()),
      y(s.n * s.out, device()), dy(ones(s.n * s.out), device()), dx(s.n * s.in, device()),
      dweights(std::vector<float>(static_cast<size_t>(s.out * s.in)), device()),
      dbiases(std::vector<float>(static_cast<size_t>(s.out)), device());
  kernels::linear_forward(
      stream_, {.shape = s.shape(), .x = xs.view(), .weight = weights.view(), .bias = biases.view(), .y = y.view()});
  stream_.synchronise();
  EXPECT_TRUE(std::isnan(y[s.n * s.out - 1]));
  dy.set(s.n * s.out - 1, nan);
  kernels::linear_backward(stream_, {.shape = s.shape(),
                                     .x = xs.view(),
                                     .y = y.view(),
                                     .dy = dy.view(),
                                     .weight = weights.view(),
                                     .dx = dx.view(),
                                     .gradients = {dweights.view(), dbiases.view()}});
  stream_.synchronise();
  EXPECT_TRUE(std::isnan(dx[s.n * s.in - 1]));
  EXPECT_TRUE(std::isnan(dweights[s.out * s.in - 1]));
  EXPECT_TRUE(std::isnan(dbiases[s.out - 1]));
}

TEST(LinearShapes, AreChecked) {
  kernels::Stream stream;
  const kernels::Buffer<float> six(6), two(2), three(3), four(4);
  EXPECT_THROW(kernels::linear_forward(stream, {.shape = {.n = 2, .in = 3, .out = 2},
                                                .x = six.view(),
                                                .weight = six.view(),
                                                .bias = three.view(),
                                                .y = four.view()}),
               kernels::ShapeError);
  EXPECT_THROW(kernels::linear_backward(stream, {.shape = {.n = 2, .in = 3, .out = 2},
                                                 .x = six.view(),
                                                 .y = four.view(),
                                                 .dy = four.view(),
                                                 .weight = six.view(),
                                                 .dx = four.view(),
                                                 .gradients = {six.view(), two.view()}}),
               kernels::ShapeError);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Linear,
    on_every_backend<Layer>(
        {{1, 1, 1, false}, {3, 31, 33, true}, {33, 37, 5, true}, {32, 64, 9, false}, {5, 2081, 6, true}}),
    case_name<Layer>);

}  // namespace
}  // namespace evenflow::tests
