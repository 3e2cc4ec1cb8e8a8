// Winograd's convolutions on their own, by shape, against float64 loops: every element within the bound of a direct sum
// in float32, and the whole within a small multiple of the direct kernel's own error.
#include "kernels/cpu/winograd.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include "tests/kernels/shapes.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using kernels::cpu::ChannelPlanes;
using kernels::cpu::Conv;
using kernels::cpu::ConvEpilogue;
using kernels::cpu::PaddedPlane;
using kernels::cpu::winograd_rows;
using reference::Vector;

struct WinogradCase {
  int64_t inputs = 1, outputs = 1, h = 4, w = 8;
  std::string name() const { return text_of(inputs, "_to_", outputs, "_", h, "x", w); }
};

// Planes, each from a cache line on, NaN where nobody has a right to read.
struct Planes {
  Planes(const PaddedPlane& p, int64_t channels_in)
      : plane(p), channels(channels_in), memory(p.size * channels, kernels::Device{}) {
    std::fill_n(memory.data(), memory.size(), std::numeric_limits<float>::quiet_NaN());
  }
  Planes(const PaddedPlane& p, int64_t channels_in, const Vector& values) : Planes(p, channels_in) {
    const std::vector<float> dense = narrow(values);
    for (int64_t c = 0; c < channels; ++c) {
      kernels::cpu::to_padded(plane, dense.data() + c * plane.h * plane.w, memory.data() + c * plane.size);
    }
  }
  ChannelPlanes<float> at(int64_t position) { return {memory.data() + plane.lead + position, plane.size}; }
  Vector values() const {
    Vector out;
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t y = 0; y < plane.h; ++y) {
        const float* row = memory.data() + c * plane.size + plane.lead + y * plane.stride;
        out.insert(out.end(), row, row + plane.w);
      }
    }
    return out;
  }
  PaddedPlane plane;
  int64_t channels;
  kernels::Buffer<float> memory;
};

double rms_error(const Vector& actual, const Vector& expected) {
  const double sum = std::transform_reduce(actual.begin(), actual.end(), expected.begin(), 0.0, std::plus<>(),
                                           [](double x, double y) { return (x - y) * (x - y); });
  return std::sqrt(sum / static_cast<double>(actual.size()));
}

// Of root mean squares, beside the direct kernel's: 1.2 to 2.0 in the paper's layers (docs/performance.md), up to 2.4
// where a sum has two inputs and few roundings average out. A small map, or one input, tells too little.
constexpr double error_ratio = 2.5;
constexpr int64_t pixels_that_tell = 128;

class WinogradKernel : public OpTest<WinogradCase> {
 protected:
  // What a 3x3 convolution's weights, mirrored or not, make of x; with absolute values: the sums' magnitudes.
  reference::Maps convolved(const Vector& x, int64_t channels, const Vector& weights, bool transposed) const {
    const int64_t outputs = transposed ? s_.inputs : s_.outputs;
    Vector ours(weights.size());
    for (int64_t o = 0; o < s_.outputs; ++o) {
      for (int64_t i = 0; i < s_.inputs; ++i) {
        for (int64_t tap = 0; tap < 9; ++tap) {
          const int64_t to = transposed ? (i * s_.outputs + o) * 9 + 8 - tap : (o * s_.inputs + i) * 9 + tap;
          ours[static_cast<size_t>(to)] = weights[static_cast<size_t>((o * s_.inputs + i) * 9 + tap)];
        }
      }
    }
    reference::Maps maps(1, channels, s_.h, s_.w);
    maps.values = x;
    return reference::convolve(maps, ours, Vector(static_cast<size_t>(outputs)), 3);
  }
  // In one go, and tile by tile.
  std::vector<int64_t> strips() const { return {s_.h, winograd_rows}; }
  Vector run_conv(const Vector& x, const Vector& gate, const std::vector<float>& weights, bool transposed, Conv task,
                  int64_t rows) const {
    task.inputs = transposed ? s_.outputs : s_.inputs;
    task.outputs = transposed ? s_.inputs : s_.outputs;
    task.row_stride = plane_.stride;
    task.weights = weights.data();
    Planes in(plane_, task.inputs, x), gates(plane_, task.outputs, gate), out(plane_, task.outputs);
    const GuardedBuffer<float> scratch(kernels::cpu::winograd_conv_scratch_floats(s_.w, task.inputs, task.outputs),
                                       kernels::Device{});
    for (int64_t first = 0; first < s_.h; first += rows) {
      task.positions = std::min(rows, s_.h - first) * plane_.stride;
      task.in = in.at(first * plane_.stride);
      task.gate = gates.at(first * plane_.stride);
      task.out = out.at(first * plane_.stride);
      kernels::cpu::winograd_conv(task, scratch.view().data);
    }
    return out.values();
  }
  // The same by the direct kernel, on planes of its own kind.
  Vector run_direct(const Vector& x, const Vector& weights, bool transposed) const {
    const PaddedPlane padded = kernels::cpu::padded_plane(s_.h, s_.w);
    std::vector<float> packed(static_cast<size_t>(kernels::cpu::packed_weights_floats(s_.inputs, s_.outputs, 9)));
    kernels::cpu::pack_weights(narrow(weights).data(), s_.inputs, s_.outputs, 9, transposed, packed.data());
    Conv task{.inputs = transposed ? s_.outputs : s_.inputs,
              .outputs = transposed ? s_.inputs : s_.outputs,
              .transposed = transposed,
              .row_stride = padded.stride,
              .positions = padded.run,
              .weights = packed.data()};
    Planes in(padded, task.inputs, x), out(padded, task.outputs);
    task.in = in.at(0);
    task.out = out.at(0);
    kernels::cpu::conv(task);
    return out.values();
  }
  // In vectors as wide as Winograd's, which takes 256 bits for rows of no multiple of 16 pixels: a lane of twice as
  // many adds half as many terms, with fewer roundings.
  Vector direct_weight_gradient(const Vector& x, const Vector& dout) const {
    const int64_t chosen = std::get<0>(GetParam()).instruction_set;
    const bool narrower = chosen == HWY_AVX3 && s_.w % 16 != 0;
    hwy::GetChosenTarget().Update(narrower ? HWY_AVX2 : chosen);
    Vector out = direct_weight_gradient_of_target(x, dout);
    hwy::GetChosenTarget().Update(chosen);
    return out;
  }
  Vector direct_weight_gradient_of_target(const Vector& x, const Vector& dout) const {
    const PaddedPlane padded = kernels::cpu::padded_plane(s_.h, s_.w);
    Planes in(padded, s_.inputs, x), gradient(padded, s_.outputs, dout);
    std::vector<float> dweight(weights_.size(), 2.0F);
    kernels::cpu::conv_weight_gradient({.inputs = s_.inputs,
                                        .outputs = s_.outputs,
                                        .row_stride = padded.stride,
                                        .positions = padded.run,
                                        .in = in.at(0),
                                        .dout = gradient.at(0),
                                        .dweight = dweight.data()});
    return {dweight.begin(), dweight.end()};
  }
  void expect_error_beside(const Vector& direct, const Vector& actual, const Vector& expected) const {
    if (s_.h * s_.w >= pixels_that_tell) {
      const double error = rms_error(actual, expected), of_direct = rms_error(direct, expected);
      EXPECT_TRUE(error <= error_ratio * of_direct) << error << " beside the direct kernel's " << of_direct;
      RecordProperty("error_beside_direct", std::to_string(error / of_direct));
    }
  }
  std::vector<float> packed(bool transposed) const {
    std::vector<float> out(static_cast<size_t>(kernels::cpu::winograd_weights_floats(s_.inputs, s_.outputs)));
    kernels::cpu::winograd_pack_weights(narrow(weights_).data(), s_.inputs, s_.outputs, transposed, out.data());
    return out;
  }
  Vector map(int64_t channels) { return rounded(random_vector(rng_, channels * s_.h * s_.w, 1.0)); }
  static Vector rounded(Vector values) {
    for (double& value : values) {
      value = static_cast<float>(value);
    }
    return values;
  }
  static Vector bounds(const reference::Maps& magnitudes, int64_t terms) {
    Vector out = magnitudes.values;
    for (double& value : out) {
      value = sum_bound(terms, value);
    }
    return out;
  }

  Rng rng_{72};
  const WinogradCase& s_ = shape();
  const PaddedPlane plane_ = kernels::cpu::row_plane(s_.h, s_.w);
  const Vector weights_ = rounded(random_vector(rng_, s_.outputs* s_.inputs * 9, 0.3));
};

TEST_P(WinogradKernel, ConvolvesBothWays) {
  ASSERT_TRUE(kernels::cpu::winograd_serves(s_.h, s_.w));
  for (const bool transposed : {false, true}) {
    const int64_t inputs = transposed ? s_.outputs : s_.inputs;
    const Vector x = map(inputs);
    const Vector expected = convolved(x, inputs, weights_, transposed).values;
    const Vector bound =
        bounds(convolved(reference::absolute(x), inputs, reference::absolute(weights_), transposed), 9 * inputs);
    const Vector no_gate(expected.size());
    Vector whole;
    for (const int64_t rows : strips()) {
      const Vector out = run_conv(x, no_gate, packed(transposed), transposed, {}, rows);
      expect_close(out, expected, bound, transposed ? "data gradient" : "forward");
      whole = whole.empty() ? out : whole;
      EXPECT_EQ(out, whole) << "strips change nothing";
    }
    expect_error_beside(run_direct(x, weights_, transposed), whole, expected);
  }
}

TEST_P(WinogradKernel, FinishesAsAsked) {
  const Vector x = map(s_.inputs);
  const Vector bias = rounded(random_vector(rng_, s_.outputs, 1.0)),
               scale = rounded(random_vector(rng_, s_.outputs, 1.0));
  const Vector gate = map(s_.outputs);
  const std::vector<float> bias32 = narrow(bias), scale32 = narrow(scale), weights = packed(false);
  const Vector plain = run_conv(x, gate, weights, false, {.bias = bias32.data()}, s_.h);
  const Vector sums = convolved(x, s_.inputs, weights_, false).values;
  const Vector bound =
      bounds(convolved(reference::absolute(x), s_.inputs, reference::absolute(weights_), false), 9 * s_.inputs);
  const Vector scaled = run_conv(x, gate, weights, false, {.bias = bias32.data(), .scale = scale32.data()}, s_.h);
  const Vector rectified =
      run_conv(x, gate, weights, false, {.epilogue = ConvEpilogue::relu, .bias = bias32.data()}, s_.h);
  const Vector gated = run_conv(x, gate, weights, false, {.epilogue = ConvEpilogue::gate, .bias = bias32.data()}, s_.h);
  const size_t pixels = static_cast<size_t>(s_.h * s_.w);
  for (size_t i = 0; i < plain.size(); ++i) {
    const size_t o = i / pixels;
    ASSERT_TRUE(std::abs(plain[i] - (sums[i] + bias[o])) <= bound[i] + eps32 * std::abs(bias[o])) << i;
    ASSERT_EQ(scaled[i], static_cast<float>(plain[i]) * scale32[o]) << i;
    ASSERT_EQ(rectified[i], std::max(plain[i], 0.0)) << i;
    ASSERT_EQ(gated[i], gate[i] > 0 ? plain[i] : 0.0) << i;
  }
}

TEST_P(WinogradKernel, WeightGradient) {
  const Vector x = map(s_.inputs), dout = map(s_.outputs);
  Vector expected, magnitude;
  const auto at = [&](const Vector& maps, int64_t c, int64_t y, int64_t column) {
    const bool inside = y >= 0 && y < s_.h && column >= 0 && column < s_.w;
    return inside ? maps[static_cast<size_t>((c * s_.h + y) * s_.w + column)] : 0.0;
  };
  for (int64_t o = 0; o < s_.outputs; ++o) {
    for (int64_t i = 0; i < s_.inputs; ++i) {
      for (int64_t tap = 0; tap < 9; ++tap) {
        double sum = 0, absolute = 0;
        for (int64_t p = 0; p < s_.h * s_.w; ++p) {
          const double term =
              at(dout, o, p / s_.w, p % s_.w) * at(x, i, p / s_.w + tap / 3 - 1, p % s_.w + tap % 3 - 1);
          sum += term;
          absolute += std::abs(term);
        }
        expected.push_back(2.0 + sum);
        magnitude.push_back(2.0 + absolute);
      }
    }
  }
  Planes in(plane_, s_.inputs, x), gradient(plane_, s_.outputs, dout);
  for (const int64_t rows : strips()) {
    std::vector<float> dweight(expected.size(), 2.0F);
    const GuardedBuffer<float> scratch(
        kernels::cpu::winograd_weight_gradient_scratch_floats(s_.w, rows, s_.inputs, s_.outputs), kernels::Device{});
    for (int64_t first = 0; first < s_.h; first += rows) {
      kernels::cpu::winograd_weight_gradient({.inputs = s_.inputs,
                                              .outputs = s_.outputs,
                                              .row_stride = plane_.stride,
                                              .positions = rows * plane_.stride,
                                              .in = in.at(first * plane_.stride),
                                              .dout = gradient.at(first * plane_.stride),
                                              .dweight = dweight.data()},
                                             scratch.view().data);
    }
    Vector bound = magnitude;
    for (double& value : bound) {
      value = sum_bound(s_.h * s_.w, value);
    }
    const Vector actual(dweight.begin(), dweight.end());
    expect_close(actual, expected, bound, "d weight");
    if (rows == s_.h) {
      expect_error_beside(direct_weight_gradient(x, dout), actual, expected);
    }
  }
}

// The paper's layers; rows that end within a vector, of more vectors than a register block, and of none but part of
// one; every remainder of outputs; inputs in more than one go.
INSTANTIATE_TEST_SUITE_P(Shapes, WinogradKernel,
                         on_every_instruction_set<WinogradCase>({{2, 32, 64, 32},
                                                                 {32, 4, 64, 32},
                                                                 {4, 32, 32, 16},
                                                                 {32, 8, 32, 16},
                                                                 {8, 32, 16, 8},
                                                                 {32, 16, 16, 8},
                                                                 {1, 1, 4, 7},
                                                                 {3, 5, 8, 12},
                                                                 {5, 6, 12, 33},
                                                                 {7, 3, 4, 50},
                                                                 {70, 2, 4, 64},
                                                                 {2, 7, 20, 6},
                                                                 {64, 9, 8, 23}}),
                         case_name<WinogradCase>);

TEST(Winograd, LeavesOtherMapsToTheDirectKernels) {
  EXPECT_TRUE(kernels::cpu::winograd_serves(64, 32));
  EXPECT_FALSE(kernels::cpu::winograd_serves(62, 32)) << "rows are not whole tiles";
  EXPECT_FALSE(kernels::cpu::winograd_serves(64, 9)) << "half of the second vector would be empty";
  EXPECT_FALSE(kernels::cpu::winograd_serves(1, 1));
}

}  // namespace
}  // namespace evenflow::tests
