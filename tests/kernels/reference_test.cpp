// The reference's own backward passes against central differences of its forward passes, all in float64.
#include "tests/support/reference.h"

#include <cmath>
#include <functional>

#include <gtest/gtest.h>

#include "tests/support/guard.h"

namespace evenflow::tests {
namespace {

using reference::Coupling;
using reference::CouplingWeights;
using reference::Maps;
using reference::Vector;

/// Compares `gradient` with central differences of `loss`, which reads `at`: along every axis of a small tensor, along
/// some of a large one, and along random directions. `magnitude` bounds the absolute terms that loss sums up.
void expect_gradient(const std::function<double()>& loss, Vector& at, const Vector& gradient, double magnitude,
                     const char* what) {
  ASSERT_EQ(at.size(), gradient.size()) << what;
  constexpr double step = 1e-5;
  const auto compare = [&](const Vector& direction, const std::string& which) {
    const Vector here = at;
    const auto moved = [&](double by) {
      for (size_t i = 0; i < at.size(); ++i) {
        at[i] = here[i] + by * direction[i];
      }
      const double value = loss();
      at = here;
      return value;
    };
    const double difference = (moved(step) - moved(-step)) / (2 * step);
    const double expected = reference::dot(direction, gradient);
    // Rounding of the two losses over the step, and the third derivative's share.
    const double bound = magnitude * (32 * eps64 / step + 10 * step * step);
    EXPECT_TRUE(std::abs(difference - expected) <= bound)
        << what << ", " << which << ": " << difference << " by differences, " << expected << " by backward";
  };
  Rng rng(at.size());
  const size_t axes = std::min<size_t>(at.size(), 24);
  for (size_t i = 0; i < axes; ++i) {
    const size_t axis = at.size() <= axes ? i : static_cast<size_t>(rng() % at.size());
    Vector direction(at.size());
    direction[axis] = 1.0;
    compare(direction, text_of("axis ", axis));
  }
  for (int i = 0; i < 3; ++i) {
    Vector direction = random_vector(rng, static_cast<int64_t>(at.size()));
    const double norm = std::sqrt(reference::dot(direction, direction));
    for (double& value : direction) {
      value /= norm;
    }
    compare(direction, "random direction");
  }
}

double sum_of_absolute(const Vector& a, const Vector& b) {
  return reference::dot(reference::absolute(a), reference::absolute(b));
}

TEST(Reference, SqueezeAgainstHandWrittenPixels) {
  Maps x(1, 1, 2, 4);
  x.values = {0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(reference::squeeze(x).values, (Vector{0, 2, 1, 3, 4, 6, 5, 7}));
  EXPECT_EQ(reference::unsqueeze(reference::squeeze(x)).values, x.values);
}

TEST(Reference, ActnormBackward) {
  Rng rng(101);
  Maps x = random_maps(rng, 2, 3, 4, 5, 2.0);
  const Maps dy = random_maps(rng, 2, 3, 4, 5);
  Vector bias = random_vector(rng, 3);
  Vector log_scale = random_vector(rng, 3, 0.5);
  const auto loss = [&] { return reference::dot(dy.values, reference::actnorm_forward(x, bias, log_scale).values); };
  const double magnitude = sum_of_absolute(dy.values, reference::actnorm_forward(x, bias, log_scale).values) + 1.0;
  const reference::ActnormBackward d = reference::actnorm_backward(x, dy, bias, log_scale);
  expect_gradient(loss, x.values, d.dx.values, magnitude, "dx");
  expect_gradient(loss, bias, d.dbias, magnitude, "d bias");
  expect_gradient(loss, log_scale, d.dlog_scale, magnitude, "d log_scale");
}

TEST(Reference, InvconvBackward) {
  Rng rng(102);
  Maps x = random_maps(rng, 2, 5, 3, 4);
  const Maps dy = random_maps(rng, 2, 5, 3, 4);
  Vector weight = random_vector(rng, 25);
  const auto loss = [&] { return reference::dot(dy.values, reference::invconv_apply(x, weight).values); };
  const double magnitude = sum_of_absolute(dy.values, reference::invconv_apply(x, weight).values) + 1.0;
  const reference::InvconvBackward d = reference::invconv_backward(x, dy, weight);
  expect_gradient(loss, x.values, d.dx.values, magnitude, "dx");
  expect_gradient(loss, weight, d.dweight, magnitude, "d weight");
}

TEST(Reference, PluBackward) {
  Rng rng(103);
  constexpr int64_t c = 5;
  reference::Plu p{.permutation = {3, 0, 4, 1, 2}, .sign = {1, -1, 1, 1, -1}, .lower = {}, .upper = {}, .log_s = {}};
  p.lower = random_vector(rng, c * c);
  p.upper = random_vector(rng, c * c);
  p.log_s = random_vector(rng, c, 0.5);
  const Vector dweight = random_vector(rng, c * c);
  // log|det W| by elimination of the whole W, so that the sum of log_s is proven too.
  const auto loss = [&] {
    const Vector weight = reference::plu_weight(p);
    return reference::dot(dweight, weight) - 0.7 * reference::invert(weight, c).log_det;
  };
  const double magnitude = sum_of_absolute(dweight, reference::plu_weight(p)) + 20.0;
  const reference::PluBackward d = reference::plu_backward(p, dweight, -0.7);
  expect_gradient(loss, p.lower, d.dlower, magnitude, "d lower");
  expect_gradient(loss, p.upper, d.dupper, magnitude, "d upper");
  expect_gradient(loss, p.log_s, d.dlog_s, magnitude, "d log_s");
}

TEST(Reference, DenseBackwardAndInverse) {
  Rng rng(104);
  constexpr int64_t c = 6;
  Vector weight = random_vector(rng, c * c);
  for (int64_t i = 0; i < c; ++i) {
    weight[static_cast<size_t>(i * c + (i + 2) % c)] += 3.0;  // well conditioned
  }
  const Vector dweight = random_vector(rng, c * c);
  const auto loss = [&] { return reference::dot(dweight, weight) - 0.7 * reference::invert(weight, c).log_det; };
  expect_gradient(loss, weight, reference::dense_backward(weight, c, dweight, -0.7),
                  sum_of_absolute(dweight, weight) + 20.0, "d weight");
  const Vector product = reference::multiply(reference::invert(weight, c).inverse, weight, c);
  for (int64_t i = 0; i < c * c; ++i) {
    const double expected = i % (c + 1) == 0 ? 1.0 : 0.0;
    EXPECT_TRUE(std::abs(product[static_cast<size_t>(i)] - expected) <= 1000 * eps64);
  }
  // A determinant by hand: |2 1; 4 -3| = -10.
  EXPECT_TRUE(std::abs(reference::invert({2, 1, 4, -3}, 2).log_det - std::log(10.0)) <= 8 * eps64);
}

class ReferenceCoupling : public testing::TestWithParam<Coupling> {};

TEST_P(ReferenceCoupling, BackwardAndInverse) {
  Rng rng(105);
  constexpr int64_t channels = 4;
  constexpr int64_t hidden = 3;
  CouplingWeights p;
  p.conv1_weight = random_vector(rng, hidden * channels / 2 * 9);
  p.conv1_bias = random_vector(rng, hidden);
  p.conv2_weight = random_vector(rng, hidden * hidden);
  p.conv2_bias = random_vector(rng, hidden);
  const int64_t outputs = GetParam() == Coupling::additive ? channels / 2 : channels;
  p.conv3_weight = random_vector(rng, outputs * hidden * 9, 0.5);
  p.conv3_bias = random_vector(rng, outputs);
  p.log_gain = random_vector(rng, outputs, 0.3);
  Maps x = random_maps(rng, 2, channels, 3, 5, 2.0);
  const Maps dy = random_maps(rng, 2, channels, 3, 5);
  const double gradient = -0.7;
  const Coupling kind = GetParam();
  const auto loss = [&] {
    const reference::CouplingForward f = reference::coupling_forward(kind, p, x);
    return reference::dot(dy.values, f.y.values) + gradient * (f.log_det[0] + f.log_det[1]);
  };
  const reference::CouplingForward f = reference::coupling_forward(kind, p, x);
  // Third derivatives reach through exp(3 log_gain) and the products of three layers.
  const double magnitude = 30.0 * (sum_of_absolute(dy.values, f.y.values) + reference::dot(f.h2.values, f.h2.values));
  const reference::CouplingBackward d = reference::coupling_backward(kind, p, x, dy, gradient);
  expect_gradient(loss, x.values, d.dx.values, magnitude, "dx");
  expect_gradient(loss, p.conv1_weight, d.d.conv1_weight, magnitude, "d conv1.weight");
  expect_gradient(loss, p.conv1_bias, d.d.conv1_bias, magnitude, "d conv1.bias");
  expect_gradient(loss, p.conv2_weight, d.d.conv2_weight, magnitude, "d conv2.weight");
  expect_gradient(loss, p.conv2_bias, d.d.conv2_bias, magnitude, "d conv2.bias");
  expect_gradient(loss, p.conv3_weight, d.d.conv3_weight, magnitude, "d conv3.weight");
  expect_gradient(loss, p.conv3_bias, d.d.conv3_bias, magnitude, "d conv3.bias");
  expect_gradient(loss, p.log_gain, d.d.log_gain, magnitude, "d log_gain");

  const Maps back = reference::coupling_inverse(kind, p, f.y);
  for (size_t i = 0; i < x.values.size(); ++i) {
    EXPECT_TRUE(std::abs(back.values[i] - x.values[i]) <= 1e-11);
  }
  double log_det = 0;
  for (const double value : f.log_gain.values) {
    log_det += value;
  }
  EXPECT_TRUE(std::abs(log_det - f.log_det[0] - f.log_det[1]) <= 1e-11);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ReferenceCoupling,
                         testing::Values(Coupling::sigmoid, Coupling::tanh, Coupling::additive));

TEST(Reference, GaussianMomentsGiveTheDensity) {
  Rng rng(106);
  const Maps z = random_maps(rng, 1, 2, 3, 4);
  const reference::Moments m = reference::gaussian_moments(z);
  double squares = 0;
  for (const double value : z.values) {
    squares += (value - 0.4) * (value - 0.4);
  }
  const double mean = m.sum[0] / 24;
  EXPECT_TRUE(std::abs(squares - (m.centred_squares[0] + 24 * (mean - 0.4) * (mean - 0.4))) <= 1e-13);
}

TEST(Reference, AdamsFirstStepIsTheLearningRate) {
  // Bias correction makes the first step lr * sign(g), whatever the gradient's size.
  for (const double g : {-1e-3, 1.0, 1e6}) {
    Vector parameter{1.0};
    Vector m{0.0};
    Vector v{0.0};
    reference::adam_update({.learning_rate = 0.1}, 1, {g}, parameter, m, v);
    EXPECT_TRUE(std::abs(parameter[0] - (1.0 - std::copysign(0.1, g))) <= 1e-5);
  }
}

}  // namespace
}  // namespace evenflow::tests
