#include <cmath>

#include <gtest/gtest.h>

#include "kernels/actnorm.h"
#include "kernels/log_det.h"
#include "tests/kernels/shapes.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using reference::Maps;
using reference::Vector;

struct Parameters {
  Parameters(Rng& rng, int64_t c, kernels::Device device)
      : bias_values(random_floats(rng, c)),
        log_scale_values(random_floats(rng, c, 0.7)),
        bias(bias_values, device),
        log_scale(log_scale_values, device) {}
  std::vector<float> bias_values, log_scale_values;
  GuardedBuffer<float> bias, log_scale;
  kernels::ActnormParameters view() const { return {bias.view(), log_scale.view()}; }
};

// |x| + |bias|, through the scale: what the roundings are relative to.
Maps magnitude_of(const Maps& x, const Vector& bias, const Vector& log_scale) {
  return reference::actnorm_forward(reference::absolute(x), reference::absolute(bias), log_scale);
}

Vector times(Vector a, double factor) {
  for (double& value : a) {
    value *= factor;
  }
  return a;
}

using Actnorm = OpTest<MapShape>;

TEST_P(Actnorm, ForwardMatchesReference) {
  Rng rng(11);
  const MapShape& s = shape();
  const Parameters p(rng, s.c, device());
  const Maps x = s.random(rng, 3.0);
  const GuardedMap in(x, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  kernels::actnorm_forward(stream_, {.x = in.view(), .parameters = p.view(), .y = out.view()});
  kernels::actnorm_forward(stream_, {.x = in.view(), .parameters = p.view(), .y = in.view()});
  stream_.synchronise();
  const Vector bias = p.bias.values();
  const Vector log_scale = p.log_scale.values();
  // exp, bias * scale, x * scale and the sum: four roundings.
  const Vector bound = times(magnitude_of(x, bias, log_scale).values, 4 * eps32);
  expect_close(out.values().values, reference::actnorm_forward(x, bias, log_scale).values, bound, "y");
  EXPECT_EQ(in.values().values, out.values().values) << "in place";
}

TEST_P(Actnorm, InverseMatchesReferenceAndUndoesForward) {
  Rng rng(12);
  const MapShape& s = shape();
  const Parameters p(rng, s.c, device());
  const Maps y = s.random(rng, 3.0);
  const GuardedMap in(y, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedMap again(s.n, s.c, s.h, s.w, s.around, device());
  kernels::actnorm_inverse(stream_, {.y = in.view(), .parameters = p.view(), .x = out.view()});
  kernels::actnorm_forward(stream_, {.x = out.view(), .parameters = p.view(), .y = again.view()});
  stream_.synchronise();
  const Vector bias = p.bias.values();
  const Vector log_scale = p.log_scale.values();
  const Maps expected = reference::actnorm_inverse(y, bias, log_scale);
  const Maps magnitude =
      reference::actnorm_inverse(reference::absolute(y), times(reference::absolute(bias), -1.0), log_scale);
  expect_close(out.values().values, expected.values, times(magnitude.values, 4 * eps32), "x");
  // Forward's own error, and the inverse's through the scale.
  const Vector bound = times(magnitude_of(magnitude, bias, log_scale).values, 8 * eps32);
  expect_close(again.values().values, y.values, bound, "forward of inverse");
}

TEST_P(Actnorm, BackwardMatchesReferenceAndAddsToParameterGradients) {
  Rng rng(13);
  const MapShape& s = shape();
  const Parameters p(rng, s.c, device());
  const Maps x = s.random(rng, 3.0);
  const Maps dy = s.random(rng);
  const Vector bias = p.bias.values();
  const Vector log_scale = p.log_scale.values();
  const Vector before_bias = random_vector(rng, s.c);
  const Vector before_scale = random_vector(rng, s.c);
  const GuardedMap y(reference::actnorm_forward(x, bias, log_scale), s.around, device());
  const GuardedMap in(dy, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedBuffer<float> dbias(narrow(before_bias), device());
  const GuardedBuffer<float> dlog_scale(narrow(before_scale), device());
  kernels::actnorm_backward(stream_, {.y = y.view(),
                                      .dy = in.view(),
                                      .parameters = p.view(),
                                      .dx = out.view(),
                                      .gradients = {dbias.view(), dlog_scale.view()}});
  stream_.synchronise();

  reference::ActnormBackward expected = reference::actnorm_backward(x, dy, bias, log_scale);
  const reference::ActnormBackward magnitude = reference::actnorm_backward(
      reference::absolute(x), reference::absolute(dy), reference::absolute(bias), log_scale);
  expect_close(out.values().values, expected.dx.values, times(magnitude.dx.values, 4 * eps32), "dx");
  Vector bias_bound = sum_bounds(s.n * s.pixels(), magnitude.dbias);
  Vector scale_bound = sum_bounds(s.n * s.pixels(), magnitude.dlog_scale);
  for (size_t c = 0; c < before_bias.size(); ++c) {
    expected.dbias[c] += before_bias[c];
    expected.dlog_scale[c] += before_scale[c];
    bias_bound[c] += eps32 * std::abs(before_bias[c]);
    scale_bound[c] += eps32 * std::abs(before_scale[c]);
  }
  expect_close(dbias.values(), expected.dbias, bias_bound, "d bias");
  expect_close(dlog_scale.values(), expected.dlog_scale, scale_bound, "d log_scale");

  // dx may be dy's memory.
  kernels::actnorm_backward(stream_, {.y = y.view(),
                                      .dy = in.view(),
                                      .parameters = p.view(),
                                      .dx = in.view(),
                                      .gradients = {dbias.view(), dlog_scale.view()}});
  stream_.synchronise();
  EXPECT_EQ(in.values().values, out.values().values) << "in place";
}

TEST_P(Actnorm, InitialiseIsTwoPass) {
  Rng rng(14);
  const MapShape& s = shape();
  Maps x = s.random(rng);
  for (int64_t n = 0; n < s.n; ++n) {
    // A mean a thousand standard deviations away: a one-pass variance in float32 would be lost.
    for (int64_t i = 0; i < s.c * s.pixels(); ++i) {
      x.plane(n, 0)[i] = static_cast<double>(static_cast<float>(x.plane(n, 0)[i] + 1000.0));
    }
  }
  const GuardedMap in(x, s.around, device());
  const GuardedBuffer<float> bias(s.c, device());
  const GuardedBuffer<float> log_scale(s.c, device());
  kernels::actnorm_initialise(stream_, {.x = in.view(), .bias = bias.view(), .log_scale = log_scale.view()});
  stream_.synchronise();
  const reference::ActnormInitial expected = reference::actnorm_initialise(x);
  Vector bias_bound;
  Vector scale_bound;
  for (size_t c = 0; c < expected.bias.size(); ++c) {
    bias_bound.push_back(eps32 * std::abs(expected.bias[c]));
    scale_bound.push_back(2 * eps32 * (1.0 + std::abs(expected.log_scale[c])));
  }
  expect_close(bias.values(), expected.bias, bias_bound, "bias");
  expect_close(log_scale.values(), expected.log_scale, scale_bound, "log_scale");
}

TEST_P(Actnorm, InitialiseFloorsAConstantChannel) {
  Rng rng(15);
  const MapShape& s = shape();
  for (const double spread : {0.0, 1e-5, 5e-4}) {
    Maps x = s.random(rng, spread);
    for (double& value : x.values) {
      value = static_cast<double>(static_cast<float>(value - 7.0));
    }
    const GuardedMap in(x, s.around, device());
    const GuardedBuffer<float> bias(s.c, device());
    const GuardedBuffer<float> log_scale(s.c, device());
    kernels::actnorm_initialise(stream_, {.x = in.view(), .bias = bias.view(), .log_scale = log_scale.view()});
    stream_.synchronise();
    const double expected = -std::log(1e-3 + 1e-6);
    for (int64_t c = 0; c < s.c; ++c) {
      EXPECT_TRUE(std::abs(log_scale[c] - expected) <= eps32 * expected) << log_scale[c];
      EXPECT_TRUE(std::abs(bias[c] - 7.0) <= spread + eps32 * 7.0) << bias[c];
    }
  }
}

TEST_P(Actnorm, LogDetAndItsGradient) {
  Rng rng(16);
  const MapShape& s = shape();
  const GuardedBuffer<float> first(random_floats(rng, s.c), device());
  const GuardedBuffer<float> second(random_floats(rng, s.c + 3), device());
  const GuardedBuffer<double> invconv(std::vector<double>{0.75, -1.5}, device());
  const GuardedBuffer<double> total(1, device());
  const std::vector<kernels::LogDetTerm> terms = {{first.view(), s.pixels()}, {second.view(), 2 * s.pixels()}};
  kernels::constant_log_det(stream_, {.steps = terms, .invconv_log_det = invconv.view(), .total = total.view()});
  stream_.synchronise();
  const double pixels = static_cast<double>(s.pixels());
  double sum = 0.75 * pixels - 1.5 * 2 * pixels;
  double magnitude = 3.75 * pixels;
  for (const double value : first.values()) {
    sum += pixels * value;
    magnitude += pixels * std::abs(value);
  }
  for (const double value : second.values()) {
    sum += 2 * pixels * value;
    magnitude += 2 * pixels * std::abs(value);
  }
  EXPECT_TRUE(std::abs(total[0] - sum) <= sum_bound(2 * s.c + 5, magnitude, eps64)) << total[0] << " " << sum;

  const Vector before = random_vector(rng, s.c);
  const GuardedBuffer<float> gradient(narrow(before), device());
  const GuardedBuffer<float> other(narrow(before), device());
  const std::vector<kernels::LogDetGradient> gradients = {{-0.3, gradient.view()}, {1.25, other.view()}};
  kernels::actnorm_log_det_backward(stream_, {.steps = gradients});
  stream_.synchronise();
  const Vector actual = gradient.values();
  const Vector second_actual = other.values();
  for (size_t c = 0; c < before.size(); ++c) {
    EXPECT_TRUE(std::abs(actual[c] - (before[c] - 0.3)) <= eps32 * (std::abs(before[c]) + 0.6));
    EXPECT_TRUE(std::abs(second_actual[c] - (before[c] + 1.25)) <= eps32 * (std::abs(before[c]) + 2.5));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Actnorm, on_every_backend(map_shapes()), case_name<MapShape>);

}  // namespace
}  // namespace evenflow::tests
