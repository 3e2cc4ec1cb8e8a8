#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/coupling.h"
#include "tests/kernels/coupling_case.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using reference::Vector;

// Bounds on what float32 may lose, pixel by pixel, from magnitudes: every weight and input replaced by its absolute
// value, so that cancellation is accounted for.
struct Bounds {
  Maps raw, shift;  ///< of s and t
  Maps y, inverse;  ///< of y_b and of x_b in the inverse, from one and the same y
  Maps round_trip;  ///< of x_b in the inverse of forward
  Vector log_det;
  Maps dx;
  CouplingWeights d;
};

Bounds bounds_of(const CouplingCase& s, const CouplingWeights& p, const Maps& x, const Maps& dy, double gradient) {
  constexpr double few = 8 * eps32;  // exp, log1p, tanh of the vector library and the handful of operations round them
  const int64_t half = s.c / 2;
  const int64_t shift_at = p.outputs() - half;
  const reference::CouplingForward f = reference::coupling_forward(s.kind, p, x);
  const Maps magnitude =
      reference::convolve(f.h2, reference::absolute(p.conv3_weight), reference::absolute(p.conv3_bias), 3);
  Bounds b;
  b.raw = b.shift = b.inverse = b.round_trip = f.raw;
  b.y = x;
  std::fill(b.y.values.begin(), b.y.values.end(), 0.0);  // y_a is x_a
  b.log_det = Vector(static_cast<size_t>(s.n));
  b.dx = dy;
  Maps dh3(s.n, p.outputs(), s.h, s.w);  // bound of the error plus what its use rounds
  Vector dlog_gain(static_cast<size_t>(p.outputs()));
  const double network_length = 9.0 * static_cast<double>(s.hidden + s.c) + static_cast<double>(s.hidden);
  const double pixel_count = static_cast<double>(s.n * s.h * s.w);
  // Lengths of the longest chain of sums: conv3's, conv2's and conv1's transposes, then the sum over pixels.
  const double chain = eps32 * (4.0 + 2.0 * std::sqrt(network_length) + 2.0 * std::sqrt(pixel_count));
  for (int64_t n = 0; n < s.n; ++n) {
    double log_det_magnitude = 0;
    for (int64_t c = 0; c < half; ++c) {
      const double gain_s = std::exp(3.0 * p.log_gain[static_cast<size_t>(c)]);
      const double gain_t = std::exp(3.0 * p.log_gain[static_cast<size_t>(shift_at + c)]);
      for (int64_t i = 0; i < s.h * s.w; ++i) {
        const double error_s = s.additive() ? 0 : sum_bound(9 * s.hidden, gain_s * magnitude.plane(n, c)[i]);
        const double error_t = sum_bound(9 * s.hidden, gain_t * magnitude.plane(n, shift_at + c)[i]);
        const double value_s = f.raw.plane(n, c)[i];
        const double value_t = f.shift.plane(n, c)[i];
        const double g = f.gain.plane(n, c)[i];
        const double log_g = f.log_gain.plane(n, c)[i];
        const double xb = std::abs(x.plane(n, half + c)[i]) + std::abs(value_t);
        b.raw.plane(n, c)[i] = error_s;
        b.shift.plane(n, c)[i] = error_t;
        // d log g / d s <= 1 in both affine kinds; exp(log g) carries log g's error. An additive one has no g, and
        // rounds the sum.
        const double relative_g = s.additive() ? 0 : error_s + few * (1.0 + std::abs(log_g));
        const double relative_y = s.additive() ? eps32 : relative_g;
        const double error_y = g * (xb * relative_y + error_t);
        b.y.plane(n, half + c)[i] = error_y;
        b.inverse.plane(n, c)[i] = xb * relative_y + error_t;
        // Both ways know one and the same t: of an additive coupling the two sums' roundings are left.
        b.round_trip.plane(n, c)[i] = s.additive() ? eps32 * xb : 2 * b.inverse.plane(n, c)[i];
        b.log_det[static_cast<size_t>(n)] += error_s + few * std::abs(log_g);
        log_det_magnitude += std::abs(log_g);

        const double dyb = std::abs(dy.plane(n, half + c)[i]);
        const double slope = s.kind == Coupling::sigmoid ? 1.0 - g : 1.0 - 0.25 * log_g * log_g;
        const double dlog_g = dyb * g * xb + std::abs(gradient);
        // slope's own error: relative error_s for the sigmoid; for tanh eps next to t^2, absolute.
        const double error_ds = dyb * error_y * slope + dlog_g * (slope * (error_s + few) + few);
        const double dt = dyb * g;
        const double error_dt = dt * relative_g;
        b.dx.plane(n, half + c)[i] = error_dt;
        if (!s.additive()) {
          dh3.plane(n, c)[i] = gain_s * (error_ds + dlog_g * slope * (few + chain));
          const double ds = dlog_g * slope;
          dlog_gain[static_cast<size_t>(c)] +=
              3.0 * (error_ds * std::abs(value_s) + ds * error_s) + 3.0 * chain * ds * std::abs(value_s);
        }
        dh3.plane(n, shift_at + c)[i] = gain_t * (error_dt + dt * (few + chain));
        dlog_gain[static_cast<size_t>(shift_at + c)] +=
            3.0 * (error_dt * std::abs(value_t) + dt * error_t) + 3.0 * chain * dt * std::abs(value_t);
      }
    }
    b.log_det[static_cast<size_t>(n)] += sum_bound(s.h * s.w, log_det_magnitude);
  }
  const reference::NetworkBackward network = reference::network_backward(
      reference::absolute(p), reference::absolute(reference::channels(x, 0, half)), f.h1, f.h2, dh3);
  b.d = network.d;
  b.d.log_gain = dlog_gain;
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t i = 0; i < half * s.h * s.w; ++i) {
      b.dx.plane(n, 0)[i] = network.dxa.plane(n, 0)[i] + eps32 * std::abs(dy.plane(n, 0)[i]);
    }
  }
  return b;
}

class CouplingOp : public OpTest<CouplingCase> {
 protected:
  void pack(const CouplingWeights& p) {
    const WeightsOnDevice on_device(p, device());
    kernels::coupling_pack(stream_,
                           {.steps = only(kernels::PackedCoupling{kernel_, on_device.parameters(), packed_.view()})});
    stream_.synchronise();
  }
  kernels::CouplingShape kernel_ = shape().kernel_shape();
  GuardedBuffer<float> packed_{kernels::coupling_packed_floats(device(), kernel_), device()};
  GuardedBuffer<float> saved_{shape().n * kernels::coupling_saved_floats(device(), kernel_), device()};
  GuardedBuffer<float> workspace_{kernels::coupling_workspace_floats(device(), kernel_, shape().n), device()};
  static constexpr double gradient_ = -1.0 / 64;  // d loss / d log_det
};

TEST_P(CouplingOp, ForwardMatchesReference) {
  Rng rng(61);
  const CouplingCase& s = shape();
  const CouplingWeights p = random_weights(rng, s);
  const Maps x = random_input(rng, s);
  pack(p);
  const GuardedMap in(x, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  const std::vector<double> before(static_cast<size_t>(s.n), 5.0);
  const GuardedBuffer<double> log_det(before, device());
  kernels::coupling_forward(stream_, {.shape = kernel_,
                                      .x = in.view(),
                                      .packed = packed_.view(),
                                      .y = out.view(),
                                      .log_det = log_det.view(),
                                      .saved = saved_.view(),
                                      .workspace = workspace_.view()});
  stream_.synchronise();
  const reference::CouplingForward expected = reference::coupling_forward(s.kind, p, x);
  const Bounds bounds = bounds_of(s, p, x, x, gradient_);
  expect_close(out.values().values, expected.y.values, bounds.y.values, "y");
  Vector added = log_det.values();
  for (double& value : added) {
    value -= 5.0;
  }
  expect_close(added, expected.log_det, bounds.log_det, "log_det");

  // Scoring keeps nothing, and may run in place: the same bits.
  const GuardedBuffer<double> again(before, device());
  kernels::coupling_forward(stream_, {.shape = kernel_,
                                      .x = in.view(),
                                      .packed = packed_.view(),
                                      .y = in.view(),
                                      .log_det = again.view(),
                                      .saved = {},
                                      .workspace = workspace_.view()});
  stream_.synchronise();
  EXPECT_EQ(in.values().values, out.values().values);
  EXPECT_EQ(again.values(), log_det.values());
}

TEST_P(CouplingOp, InverseMatchesReferenceAndUndoesForward) {
  Rng rng(62);
  const CouplingCase& s = shape();
  const CouplingWeights p = random_weights(rng, s);
  const Maps x = random_input(rng, s);
  pack(p);
  const GuardedMap in(x, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedMap back(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedBuffer<double> log_det(std::vector<double>(static_cast<size_t>(s.n)), device());
  kernels::coupling_forward(stream_, {.shape = kernel_,
                                      .x = in.view(),
                                      .packed = packed_.view(),
                                      .y = out.view(),
                                      .log_det = log_det.view(),
                                      .saved = {},
                                      .workspace = workspace_.view()});
  kernels::coupling_inverse(
      stream_,
      {.shape = kernel_, .y = out.view(), .packed = packed_.view(), .x = back.view(), .workspace = workspace_.view()});
  stream_.synchronise();
  const Bounds bounds = bounds_of(s, p, x, x, gradient_);
  const Maps y = out.values();
  const Maps expected = reference::coupling_inverse(s.kind, p, y);
  Maps bound(s.n, s.c, s.h, s.w);
  Maps round_trip = bound;
  const int64_t half = s.c / 2;
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t i = 0; i < half * s.h * s.w; ++i) {
      bound.plane(n, half)[i] = bounds.inverse.plane(n, 0)[i] * 1.001;  // magnitudes of x, not of the rounded inverse
      round_trip.plane(n, half)[i] = bounds.round_trip.plane(n, 0)[i];
    }
  }
  expect_close(back.values().values, expected.values, bound.values, "x");
  expect_close(back.values().values, x.values, round_trip.values, "inverse of forward");

  kernels::coupling_inverse(
      stream_,
      {.shape = kernel_, .y = out.view(), .packed = packed_.view(), .x = out.view(), .workspace = workspace_.view()});
  stream_.synchronise();
  EXPECT_EQ(out.values().values, back.values().values) << "in place";
}

TEST_P(CouplingOp, BackwardMatchesReferenceInAllGradients) {
  Rng rng(63);
  const CouplingCase& s = shape();
  const CouplingWeights p = random_weights(rng, s);
  const Maps x = random_input(rng, s);
  const Maps dy = random_maps(rng, s.n, s.c, s.h, s.w);
  CouplingWeights before = random_weights(rng, s);  // gradients are added to
  pack(p);
  const GuardedMap in(x, s.around, device());
  const GuardedMap y(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedMap gradient(dy, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  const WeightsOnDevice d(before, device());
  const GuardedBuffer<double> log_det(std::vector<double>(static_cast<size_t>(s.n)), device());
  kernels::coupling_forward(stream_, {.shape = kernel_,
                                      .x = in.view(),
                                      .packed = packed_.view(),
                                      .y = y.view(),
                                      .log_det = log_det.view(),
                                      .saved = saved_.view(),
                                      .workspace = workspace_.view()});
  kernels::coupling_backward(stream_, {.shape = kernel_,
                                       .x = in.view(),
                                       .dy = gradient.view(),
                                       .packed = packed_.view(),
                                       .saved = saved_.view(),
                                       .log_det_gradient = gradient_,
                                       .dx = out.view(),
                                       .gradients = d.gradients(),
                                       .workspace = workspace_.view()});
  stream_.synchronise();

  reference::CouplingBackward expected = reference::coupling_backward(s.kind, p, x, dy, gradient_);
  Bounds bounds = bounds_of(s, p, x, dy, gradient_);
  expect_close(out.values().values, expected.dx.values, bounds.dx.values, "dx");
  const std::vector<const GuardedBuffer<float>*> actual = {
      &d.conv1_weight, &d.conv1_bias, &d.conv2_weight, &d.conv2_bias, &d.conv3_weight, &d.conv3_bias, &d.log_gain};
  const char* names[] = {"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias",
                         "conv3.weight", "conv3.bias", "log_gain"};
  const std::vector<Vector*> start = reference::tensors_of(before);
  const std::vector<Vector*> gradients = reference::tensors_of(expected.d);
  const std::vector<Vector*> bound = reference::tensors_of(bounds.d);
  // Partial sums (samples, panels of pixels) are added to what is there one after the other.
  const double additions = static_cast<double>(s.n) * (1.0 + static_cast<double>(s.h * (s.w + 1)) / 512.0);
  for (size_t tensor = 0; tensor < actual.size(); ++tensor) {
    for (size_t i = 0; i < start[tensor]->size(); ++i) {
      (*bound[tensor])[i] += additions * eps32 * (std::abs((*start[tensor])[i]) + std::abs((*gradients[tensor])[i]));
      (*gradients[tensor])[i] += (*start[tensor])[i];
    }
    expect_close(actual[tensor]->values(), *gradients[tensor], *bound[tensor], text_of("d ", names[tensor]));
  }

  kernels::coupling_backward(stream_, {.shape = kernel_,
                                       .x = in.view(),
                                       .dy = gradient.view(),
                                       .packed = packed_.view(),
                                       .saved = saved_.view(),
                                       .log_det_gradient = gradient_,
                                       .dx = gradient.view(),
                                       .gradients = d.gradients(),
                                       .workspace = workspace_.view()});
  stream_.synchronise();
  EXPECT_EQ(gradient.values().values, out.values().values) << "in place";
}

TEST_P(CouplingOp, SaturatedGainsStayFinite) {
  Rng rng(64);
  const CouplingCase& s = shape();
  CouplingWeights p = random_weights(rng, s);
  const Maps x = random_input(rng, s);
  // s far on either side: log(sigmoid) would be -inf, or exp would overflow.
  for (size_t c = 0; c < p.conv3_bias.size(); ++c) {
    p.conv3_bias[c] = c % 2 == 0 ? -60.0 : 60.0;
  }
  std::fill(p.log_gain.begin(), p.log_gain.end(), 0.0);
  pack(p);
  const GuardedMap in(x, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedBuffer<double> log_det(std::vector<double>(static_cast<size_t>(s.n)), device());
  kernels::coupling_forward(stream_, {.shape = kernel_,
                                      .x = in.view(),
                                      .packed = packed_.view(),
                                      .y = out.view(),
                                      .log_det = log_det.view(),
                                      .saved = saved_.view(),
                                      .workspace = workspace_.view()});
  stream_.synchronise();
  const reference::CouplingForward expected = reference::coupling_forward(s.kind, p, x);
  const Bounds bounds = bounds_of(s, p, x, x, gradient_);
  expect_close(out.values().values, expected.y.values, bounds.y.values, "y");
  expect_close(log_det.values(), expected.log_det, bounds.log_det, "log_det");
}

TEST_P(CouplingOp, NotANumberInAnyWeightShows) {
  Rng rng(65);
  const CouplingCase& s = shape();
  const CouplingWeights good = random_weights(rng, s);
  const Maps x = random_input(rng, s);
  const GuardedMap in(x, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  CouplingWeights p = good;
  for (Vector* tensor : reference::tensors_of(p)) {
    // The middle of a 3x3 tap, which meets every pixel.
    const size_t at = tensor == &p.conv1_weight || tensor == &p.conv3_weight ? 4 : 0;
    (*tensor)[at] = std::numeric_limits<double>::quiet_NaN();
    pack(p);
    const GuardedBuffer<double> log_det(std::vector<double>(static_cast<size_t>(s.n)), device());
    kernels::coupling_forward(stream_, {.shape = kernel_,
                                        .x = in.view(),
                                        .packed = packed_.view(),
                                        .y = out.view(),
                                        .log_det = log_det.view(),
                                        .saved = {},
                                        .workspace = workspace_.view()});
    stream_.synchronise();
    const Maps y = out.values();
    for (int64_t n = 0; n < s.n; ++n) {
      EXPECT_TRUE(std::isnan(s.additive() ? y.plane(n, s.c / 2)[0] : log_det[n]));
    }
    p = good;
  }
}

std::vector<CouplingCase> coupling_cases() {
  std::vector<CouplingCase> out;
  for (const Coupling kind : {Coupling::sigmoid, Coupling::tanh, Coupling::additive}) {
    out.push_back({1, 2, 1, 1, 1, dense, kind});
    out.push_back({3, 2, 31, 33, 1, strided, kind});
    out.push_back({1, 4, 33, 31, 32, strided, kind});
    out.push_back({3, 4, 32, 1, 31, dense, kind});
    out.push_back({3, 6, 37, 32, 33, strided, kind});
    out.push_back({1, 62, 1, 37, 3, strided, kind});
    out.push_back({3, 64, 31, 3, 7, dense, kind});
    out.push_back({1, 66, 32, 5, 37, strided, kind});
    out.push_back({3, 74, 37, 3, 2, strided, kind});
  }
  for (const Coupling kind : {Coupling::sigmoid, Coupling::additive}) {
    out.push_back({1, 4, 32, 64, 32, dense, kind});  // the paper's first block
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Shapes, CouplingOp, on_every_backend(coupling_cases()), case_name<CouplingCase>);

}  // namespace
}  // namespace evenflow::tests
