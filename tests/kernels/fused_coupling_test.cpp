// The fused coupling kernels: against float64, within what rounding their operands to tf32 or bf16 costs.
#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/check.h"
#include "tests/kernels/coupling_case.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using kernels::Precision;
using reference::Vector;

struct FusedCase : CouplingCase {
  FusedCase(CouplingCase base, Precision arithmetic) : CouplingCase(base), precision(arithmetic) {}
  Precision precision;
  std::string name() const { return CouplingCase::name() + (precision == Precision::bf16 ? "_bf16" : "_tf32"); }
  kernels::CouplingShape fused_shape() const {
    kernels::CouplingShape out = kernel_shape();
    out.path = kernels::CouplingPath::fused;
    out.precision = precision;
    return out;
  }
};

double largest(const Vector& values) {
  double out = 0;
  for (const double value : values) {
    out = std::max(out, std::abs(value));
  }
  return out;
}

class FusedCoupling : public OpTest<FusedCase> {
 protected:
  // An operand's rounding is half of 2^-10 (tf32) or 2^-7 (bf16) of it. Three layers of products forward, six to the
  // first gradient; roundings of a sum's terms average out, so the largest entry is held to a few of them.
  double unit() const { return shape().precision == Precision::tf32 ? 0x1p-11 : 0x1p-8; }
  double forward_bound() const { return 4 * unit(); }
  double gradient_bound() const { return 16 * unit(); }

  // bf16 has 8 bits: with fewer digits in what it multiplies, the hidden maps that decide ReLUs are exact in it too.
  CouplingWeights weights(Rng& rng) const {
    const FusedCase& s = shape();
    CouplingWeights p = random_weights(rng, s);
    if (s.precision == Precision::tf32) {
      return p;
    }
    p.conv1_weight = dyadic_vector(rng, static_cast<int64_t>(p.conv1_weight.size()), 2, 8);
    p.conv1_bias = dyadic_vector(rng, s.hidden, 8, 16);
    p.conv2_weight = dyadic_vector(rng, static_cast<int64_t>(p.conv2_weight.size()), 2, 8);
    p.conv2_bias = dyadic_vector(rng, s.hidden, 8, 16);
    return p;
  }
  Maps input(Rng& rng) const {
    Maps x = random_input(rng, shape());
    if (shape().precision == Precision::bf16) {
      x.values = dyadic_vector(rng, shape().n * shape().c * shape().h * shape().w, 2, 2);
    }
    return x;
  }

  void expect_near(const Vector& actual, const Vector& expected, double bound, const std::string& what) const {
    expect_close(actual, expected, Vector(expected.size(), bound * largest(expected)), what);
  }
  void pack(const CouplingWeights& p) {
    const WeightsOnDevice on_device(p, device());
    kernels::coupling_pack(stream_,
                           {.steps = only(kernels::PackedCoupling{kernel_, on_device.parameters(), packed_.view()})});
    stream_.synchronise();
  }
  kernels::CouplingShape kernel_ = shape().fused_shape();
  GuardedBuffer<float> packed_{kernels::coupling_packed_floats(device(), kernel_), device()};
  GuardedBuffer<float> saved_{shape().n * kernels::coupling_saved_floats(device(), kernel_), device()};
  GuardedBuffer<float> workspace_{kernels::coupling_workspace_floats(device(), kernel_, shape().n), device()};
  static constexpr double gradient_ = -1.0 / 64;  // d loss / d log_det
};

TEST_P(FusedCoupling, ForwardAndInverse) {
  Rng rng(71);
  const FusedCase& s = shape();
  const CouplingWeights p = weights(rng);
  const Maps x = input(rng);
  pack(p);
  const GuardedMap in(x, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedMap back(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedBuffer<double> log_det(std::vector<double>(static_cast<size_t>(s.n), 5.0), device());
  kernels::coupling_forward(stream_, {.shape = kernel_,
                                      .x = in.view(),
                                      .packed = packed_.view(),
                                      .y = out.view(),
                                      .log_det = log_det.view(),
                                      .saved = saved_.view(),
                                      .workspace = workspace_.view()});
  kernels::coupling_inverse(
      stream_,
      {.shape = kernel_, .y = out.view(), .packed = packed_.view(), .x = back.view(), .workspace = workspace_.view()});
  stream_.synchronise();
  const reference::CouplingForward expected = reference::coupling_forward(s.kind, p, x);
  expect_near(out.values().values, expected.y.values, forward_bound(), "y");
  Vector added = log_det.values();
  for (double& value : added) {
    value -= 5.0;
  }
  const double changed = s.additive() ? 0 : 0.5 * static_cast<double>(s.h * s.w * s.c);
  expect_close(added, expected.log_det, Vector(expected.log_det.size(), forward_bound() * changed), "log_det");
  // x_a is the same, so both ways compute the same s and t: no rounding of the products shows.
  Vector round_trip(x.values.size(), 32 * eps32 * largest(expected.y.values));
  const Vector y = out.values().values;
  for (size_t i = 0; i < round_trip.size() && s.additive(); ++i) {
    round_trip[i] = eps32 * (std::abs(x.values[i]) + std::abs(y[i] - x.values[i]));
  }
  expect_close(back.values().values, x.values, round_trip, "inverse of forward");

  // In place, and keeping nothing: the same bits.
  const GuardedBuffer<double> again(std::vector<double>(static_cast<size_t>(s.n), 5.0), device());
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

TEST_P(FusedCoupling, Gradients) {
  Rng rng(72);
  const FusedCase& s = shape();
  const CouplingWeights p = weights(rng);
  const Maps x = input(rng);
  const Maps dy = random_maps(rng, s.n, s.c, s.h, s.w);
  CouplingWeights before = random_weights(rng, s);  // gradients are added to
  pack(p);
  const GuardedMap in(x, s.around, device());
  const GuardedMap y(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedMap gradient(dy, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedBuffer<double> log_det(std::vector<double>(static_cast<size_t>(s.n)), device());
  kernels::coupling_forward(stream_, {.shape = kernel_,
                                      .x = in.view(),
                                      .packed = packed_.view(),
                                      .y = y.view(),
                                      .log_det = log_det.view(),
                                      .saved = saved_.view(),
                                      .workspace = workspace_.view()});
  const auto backward = [&](const GuardedMap& dx, kernels::Array<float> shares = {}) {
    const WeightsOnDevice d(before, device());
    kernels::coupling_backward(stream_, {.shape = kernel_,
                                         .x = in.view(),
                                         .dy = gradient.view(),
                                         .packed = packed_.view(),
                                         .saved = saved_.view(),
                                         .log_det_gradient = gradient_,
                                         .dx = dx.view(),
                                         .gradients = d.gradients(),
                                         .workspace = workspace_.view(),
                                         .shares = shares});
    if (shares.size > 0) {
      const kernels::CouplingShares left{.shape = kernel_, .n = s.n, .shares = shares, .gradients = d.gradients()};
      kernels::coupling_add_shares(stream_, {.steps = only(left)});
    }
    stream_.synchronise();
    std::vector<Vector> all;
    for (const auto* tensor : {&d.conv1_weight, &d.conv1_bias, &d.conv2_weight, &d.conv2_bias, &d.conv3_weight,
                               &d.conv3_bias, &d.log_gain}) {
      all.push_back(tensor->values());
    }
    return all;
  };
  const std::vector<Vector> actual = backward(out);
  reference::CouplingBackward expected = reference::coupling_backward(s.kind, p, x, dy, gradient_);
  expect_near(out.values().values, expected.dx.values, gradient_bound(), "dx");
  if (s.additive()) {
    EXPECT_EQ(reference::channels(out.values(), s.c / 2, s.c / 2).values,
              reference::channels(dy, s.c / 2, s.c / 2).values);
  }
  const char* names[] = {"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias",
                         "conv3.weight", "conv3.bias", "log_gain"};
  const std::vector<Vector*> gradients = reference::tensors_of(expected.d);
  const std::vector<Vector*> start = reference::tensors_of(before);
  for (size_t tensor = 0; tensor < actual.size(); ++tensor) {
    Vector added = actual[tensor];
    for (size_t i = 0; i < added.size(); ++i) {
      added[i] -= (*start[tensor])[i];
    }
    expect_near(added, *gradients[tensor], gradient_bound(), text_of("d ", names[tensor]));
  }
  // The same bits, run after run.
  const Vector first = out.values().values;
  EXPECT_EQ(backward(out), actual);
  EXPECT_EQ(out.values().values, first);
  const GuardedBuffer<float> shares(kernels::coupling_share_floats(device(), kernel_, s.n), device());
  EXPECT_EQ(backward(out, shares.view()), actual) << "left in shares, then added";
  // In place by other kernels, which round the sums of the gains' gradients elsewhere.
  constexpr double rounding = 0x1p-20;
  const std::vector<Vector> in_place = backward(gradient);
  for (size_t tensor = 0; tensor < actual.size(); ++tensor) {
    expect_near(in_place[tensor], actual[tensor], rounding, text_of("in place, ", names[tensor]));
  }
  expect_near(gradient.values().values, first, rounding, "dx in place");
}

// However the windows' strips are dealt out to blocks.
TEST_P(FusedCoupling, NoBitOfAWindowDependsOnTheOthers) {
  Rng rng(74);
  const FusedCase& s = shape();
  pack(weights(rng));
  const GuardedMap in(input(rng), s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  const auto forward = [&](int64_t first, int64_t count) {
    const GuardedBuffer<double> log_det(std::vector<double>(static_cast<size_t>(count), 5.0), device());
    kernels::coupling_forward(stream_, {.shape = kernel_,
                                        .x = in.view().samples(first, count),
                                        .packed = packed_.view(),
                                        .y = out.view().samples(first, count),
                                        .log_det = log_det.view(),
                                        .saved = {},
                                        .workspace = workspace_.view()});
    stream_.synchronise();
    return log_det.values();
  };
  const Vector together = forward(0, s.n);
  const Vector y = out.values().values;
  Vector alone;
  for (int64_t n = 0; n < s.n; ++n) {
    alone.push_back(forward(n, 1)[0]);
  }
  EXPECT_EQ(alone, together);
  EXPECT_EQ(out.values().values, y);
}

TEST_P(FusedCoupling, NotANumberInAnyWeightShows) {
  Rng rng(73);
  const FusedCase& s = shape();
  if (s.h * s.w > 600) {
    GTEST_SKIP() << "the smaller maps show it";
  }
  const CouplingWeights good = weights(rng);
  const GuardedMap in(input(rng), s.around, device());
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
  // The shift's half of the last convolution does not meet log_det: y shows it.
  p.conv3_bias.back() = std::numeric_limits<double>::quiet_NaN();
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
    EXPECT_TRUE(std::isnan(y.plane(n, s.c - 1)[0]));
  }
}

TEST_P(FusedCoupling, RefusesWhatItCannotDoAndAutomaticGoesLayered) {
  kernels::CouplingShape wide = kernel_;
  wide.hidden = 65;
  try {
    kernels::coupling_packed_floats(device(), wide);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const kernels::ShapeError& error) {
    EXPECT_NE(std::string(error.what()).find("hidden widths from 16 to 64, not 65"), std::string::npos) << error.what();
  }
  wide.path = kernels::CouplingPath::automatic;
  kernels::CouplingShape layered = wide;
  layered.path = kernels::CouplingPath::layered;
  EXPECT_EQ(kernels::coupling_saved_floats(device(), wide), kernels::coupling_saved_floats(device(), layered));
  kernels::CouplingShape automatic = kernel_;
  automatic.path = kernels::CouplingPath::automatic;
  EXPECT_EQ(kernels::coupling_saved_floats(device(), automatic), kernels::coupling_saved_floats(device(), kernel_));
  automatic.precision = Precision::float32;
  EXPECT_GT(kernels::coupling_saved_floats(device(), automatic), kernels::coupling_saved_floats(device(), kernel_));
}

std::vector<FusedCase> fused_cases() {
  std::vector<FusedCase> out;
  for (const Precision precision : {Precision::tf32, Precision::bf16}) {
    const auto add = [&](const CouplingCase& base) { out.emplace_back(base, precision); };
    // The paper's blocks: c, hidden, h, w.
    add({1, 4, 32, 64, 32, dense, Coupling::sigmoid});
    add({2, 8, 32, 32, 16, dense, Coupling::sigmoid});
    add({3, 16, 32, 16, 8, strided, Coupling::tanh});
    // Other widths, odd maps, several strips.
    add({2, 4, 24, 33, 31, strided, Coupling::tanh});
    add({1, 2, 16, 31, 33, strided, Coupling::sigmoid});
    add({1, 6, 33, 37, 5, dense, Coupling::sigmoid});
    add({2, 8, 64, 5, 3, strided, Coupling::tanh});
    add({1, 4, 48, 1, 1, dense, Coupling::sigmoid});
    add({1, 32, 40, 6, 5, dense, Coupling::sigmoid});
    // A block for a window of several strips.
    add({4, 4, 32, 64, 32, strided, Coupling::sigmoid});
    // Half of the last product.
    add({1, 4, 32, 64, 32, dense, Coupling::additive});
    add({2, 8, 32, 17, 9, strided, Coupling::additive});
    add({1, 16, 32, 16, 9, dense, Coupling::additive});
    add({2, 6, 24, 33, 31, strided, Coupling::additive});
    add({1, 2, 16, 31, 33, strided, Coupling::additive});
    add({3, 16, 64, 5, 3, dense, Coupling::additive});
    add({1, 4, 48, 1, 1, strided, Coupling::additive});
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Shapes, FusedCoupling, on_every_gpu(fused_cases()), case_name<FusedCase>);

/// Two small maps for each kernel that nvcc makes of the templates.
std::vector<FusedCase> small_cases() {
  std::vector<FusedCase> out;
  for (const Precision precision : {Precision::tf32, Precision::bf16}) {
    for (const Coupling kind : {Coupling::sigmoid, Coupling::tanh, Coupling::additive}) {
      for (const int64_t hidden : {16, 24, 64}) {
        out.emplace_back(CouplingCase{1, 2, hidden, 4, 5, dense, kind}, precision);
        out.emplace_back(CouplingCase{2, 6, hidden, 3, 2, strided, kind}, precision);
      }
      for (const int64_t channels : {4, 8, 16}) {
        if (kind != Coupling::tanh) {  // which has no kernel for these alone
          out.emplace_back(CouplingCase{1, channels, 32, 3, 6, dense, kind}, precision);
          out.emplace_back(CouplingCase{2, channels, 32, 4, 5, strided, kind}, precision);
        }
      }
    }
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(SmallMaps, FusedCoupling, on_ptx(small_cases()), case_name<FusedCase>);

}  // namespace
}  // namespace evenflow::tests
