// The convolution micro-kernels on their own, by shape. Weights and maps lie on dyadic grids coarse enough that float32
// computes every sum exactly in any order: what comes out must equal the float64 loops below to the last bit.
#include "kernels/cpu/conv.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/shapes.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using kernels::cpu::ChannelPlanes;
using kernels::cpu::ConvEpilogue;
using kernels::cpu::PaddedPlane;
using reference::Vector;

struct ConvCase {
  int64_t inputs = 1, outputs = 1, taps = 9, h = 1, w = 1;
  std::string name() const { return text_of(inputs, "_to_", outputs, taps == 9 ? "_3x3" : "_1x1", "_", h, "x", w); }
};

// Padded planes with NaN where nobody has a right to read.
struct PaddedMap {
  PaddedMap(const PaddedPlane& p, int64_t channels_in)
      : plane(p),
        channels(channels_in),
        memory(static_cast<size_t>(p.size * channels), std::numeric_limits<float>::quiet_NaN()) {}
  PaddedMap(const PaddedPlane& p, int64_t channels_in, const Vector& values) : PaddedMap(p, channels_in) {
    const std::vector<float> dense = narrow(values);
    for (int64_t c = 0; c < channels; ++c) {
      kernels::cpu::to_padded(plane, dense.data() + c * plane.h * plane.w, memory.data() + c * plane.size);
    }
  }
  ChannelPlanes<float> at(int64_t position) { return {memory.data() + plane.lead + position, plane.size}; }
  double operator()(int64_t c, int64_t y, int64_t x) const {
    return memory[static_cast<size_t>(c * plane.size + plane.lead + y * plane.stride + x)];
  }
  PaddedPlane plane;
  int64_t channels;
  std::vector<float> memory;
};

class ConvKernel : public OpTest<ConvCase> {
 protected:
  // Offset of a tap in rows and columns.
  int64_t dy(int64_t tap) const { return s_.taps == 9 ? tap / 3 - 1 : 0; }
  int64_t dx(int64_t tap) const { return s_.taps == 9 ? tap % 3 - 1 : 0; }
  double at(const Vector& map, int64_t c, int64_t y, int64_t x) const {
    return y < 0 || y >= s_.h || x < 0 || x >= s_.w ? 0.0 : map[static_cast<size_t>((c * s_.h + y) * s_.w + x)];
  }
  double weight(int64_t o, int64_t i, int64_t tap) const {
    return weights_[static_cast<size_t>((o * s_.inputs + i) * s_.taps + tap)];
  }
  double convolved(const Vector& x, int64_t o, int64_t row, int64_t column) const {
    double sum = 0;
    for (int64_t i = 0; i < s_.inputs; ++i) {
      for (int64_t tap = 0; tap < s_.taps; ++tap) {
        sum += weight(o, i, tap) * at(x, i, row + dy(tap), column + dx(tap));
      }
    }
    return sum;
  }
  double data_gradient(const Vector& dout, int64_t i, int64_t row, int64_t column) const {
    double sum = 0;
    for (int64_t o = 0; o < s_.outputs; ++o) {
      for (int64_t tap = 0; tap < s_.taps; ++tap) {
        sum += weight(o, i, tap) * at(dout, o, row - dy(tap), column - dx(tap));
      }
    }
    return sum;
  }
  double weight_gradient(const Vector& x, const Vector& dout, int64_t o, int64_t i, int64_t tap) const {
    double sum = 0;
    for (int64_t row = 0; row < s_.h; ++row) {
      for (int64_t column = 0; column < s_.w; ++column) {
        sum += at(dout, o, row, column) * at(x, i, row + dy(tap), column + dx(tap));
      }
    }
    return sum;
  }
  Vector map(int64_t channels) { return dyadic_vector(rng_, channels * s_.h * s_.w, 16, 8); }
  std::vector<float> packed(bool transposed) const {
    std::vector<float> out(
        static_cast<size_t>(kernels::cpu::packed_weights_floats(s_.inputs, s_.outputs, static_cast<int>(s_.taps))));
    kernels::cpu::pack_weights(narrow(weights_).data(), s_.inputs, s_.outputs, static_cast<int>(s_.taps), transposed,
                               out.data());
    return out;
  }
  // In one go, and in strips.
  std::vector<int64_t> strips() const { return {plane_.run, kernels::cpu::conv_unit}; }
  template <class Expected>
  void expect_map(const PaddedMap& out, Expected expected) const {
    for (int64_t c = 0; c < out.channels; ++c) {
      for (int64_t y = 0; y < s_.h; ++y) {
        for (int64_t x = 0; x < s_.w; ++x) {
          ASSERT_EQ(out(c, y, x), expected(c, y, x)) << "channel " << c << ", row " << y << ", column " << x;
        }
      }
    }
  }

  Rng rng_{71};
  const ConvCase& s_ = shape();
  const PaddedPlane plane_ = kernels::cpu::padded_plane(s_.h, s_.w);
  const Vector weights_ = dyadic_vector(rng_, s_.outputs* s_.inputs* s_.taps, 4, 16);
};

TEST_P(ConvKernel, ForwardRectifies) {
  const Vector x = map(s_.inputs);
  const Vector bias = dyadic_vector(rng_, s_.outputs, 32, 64);
  PaddedMap in(plane_, s_.inputs, x);
  const std::vector<float> weights = packed(false);
  const std::vector<float> bias32 = narrow(bias);
  for (const int64_t strip : strips()) {
    PaddedMap out(plane_, s_.outputs);
    for (int64_t first = 0; first < plane_.run; first += strip) {
      kernels::cpu::conv({.inputs = s_.inputs,
                          .outputs = s_.outputs,
                          .taps = static_cast<int>(s_.taps),
                          .epilogue = ConvEpilogue::relu,
                          .row_stride = plane_.stride,
                          .positions = std::min(strip, plane_.run - first),
                          .in = in.at(first),
                          .weights = weights.data(),
                          .bias = bias32.data(),
                          .out = out.at(first)});
    }
    expect_map(out, [&](int64_t o, int64_t y, int64_t column) {
      return std::max(0.0, bias[static_cast<size_t>(o)] + convolved(x, o, y, column));
    });
  }
}

TEST_P(ConvKernel, ForwardScales) {
  const Vector x = map(s_.inputs);
  const Vector scale = dyadic_vector(rng_, s_.outputs, 8, 4);
  PaddedMap in(plane_, s_.inputs, x);
  const std::vector<float> weights = packed(false);
  const std::vector<float> scale32 = narrow(scale);
  PaddedMap out(plane_, s_.outputs);
  kernels::cpu::conv({.inputs = s_.inputs,
                      .outputs = s_.outputs,
                      .taps = static_cast<int>(s_.taps),
                      .epilogue = ConvEpilogue::scale,
                      .row_stride = plane_.stride,
                      .positions = plane_.run,
                      .in = in.at(0),
                      .weights = weights.data(),
                      .scale = scale32.data(),
                      .out = out.at(0)});
  expect_map(out, [&](int64_t o, int64_t y, int64_t column) {
    return scale[static_cast<size_t>(o)] * convolved(x, o, y, column);
  });
}

TEST_P(ConvKernel, DataGradientPassesTheGate) {
  const Vector dout = map(s_.outputs);
  const Vector gate = map(s_.inputs);
  PaddedMap in(plane_, s_.outputs, dout);
  PaddedMap gates(plane_, s_.inputs, gate);
  const std::vector<float> weights = packed(true);
  for (const int64_t strip : strips()) {
    PaddedMap out(plane_, s_.inputs);
    for (int64_t first = 0; first < plane_.run; first += strip) {
      kernels::cpu::conv({.inputs = s_.outputs,
                          .outputs = s_.inputs,
                          .taps = static_cast<int>(s_.taps),
                          .transposed = true,
                          .epilogue = ConvEpilogue::gate,
                          .row_stride = plane_.stride,
                          .positions = std::min(strip, plane_.run - first),
                          .in = in.at(first),
                          .weights = weights.data(),
                          .gate = gates.at(first),
                          .out = out.at(first)});
    }
    expect_map(out, [&](int64_t i, int64_t y, int64_t column) {
      return at(gate, i, y, column) > 0 ? data_gradient(dout, i, y, column) : 0.0;
    });
  }
}

TEST_P(ConvKernel, WeightAndBiasGradientsAddUp) {
  const Vector x = map(s_.inputs);
  const Vector dout = map(s_.outputs);
  PaddedMap in(plane_, s_.inputs, x);
  PaddedMap gradient(plane_, s_.outputs, dout);
  for (const int64_t strip : strips()) {
    std::vector<float> dweight(weights_.size(), 2.0F);
    std::vector<float> dbias(static_cast<size_t>(s_.outputs), 3.0F);
    for (int64_t first = 0; first < plane_.run; first += strip) {
      const int64_t positions = std::min(strip, plane_.run - first);
      kernels::cpu::conv_weight_gradient({.inputs = s_.inputs,
                                          .outputs = s_.outputs,
                                          .taps = static_cast<int>(s_.taps),
                                          .row_stride = plane_.stride,
                                          .positions = positions,
                                          .in = in.at(first),
                                          .dout = gradient.at(first),
                                          .dweight = dweight.data()});
      kernels::cpu::conv_bias_gradient(gradient.at(first), s_.outputs, positions, dbias.data());
    }
    for (int64_t o = 0; o < s_.outputs; ++o) {
      for (int64_t i = 0; i < s_.inputs; ++i) {
        for (int64_t tap = 0; tap < s_.taps; ++tap) {
          ASSERT_EQ(dweight[static_cast<size_t>((o * s_.inputs + i) * s_.taps + tap)],
                    2.0 + weight_gradient(x, dout, o, i, tap))
              << "output " << o << ", input " << i << ", tap " << tap;
        }
      }
      double sum = 3.0;
      for (int64_t p = 0; p < s_.h * s_.w; ++p) {
        sum += dout[static_cast<size_t>(o * s_.h * s_.w + p)];
      }
      ASSERT_EQ(dbias[static_cast<size_t>(o)], sum);
    }
  }
}

// The paper's layers, then what falls to the general path: every remainder of four outputs and of three inputs.
INSTANTIATE_TEST_SUITE_P(Shapes, ConvKernel,
                         on_every_instruction_set<ConvCase>({{2, 32, 9, 64, 32},
                                                             {32, 32, 1, 64, 32},
                                                             {32, 4, 9, 64, 32},
                                                             {4, 32, 9, 32, 16},
                                                             {32, 8, 9, 32, 16},
                                                             {8, 32, 9, 16, 8},
                                                             {32, 32, 1, 16, 8},
                                                             {32, 16, 9, 16, 8},
                                                             {1, 1, 9, 1, 1},
                                                             {1, 2, 1, 1, 37},
                                                             {2, 1, 9, 37, 1},
                                                             {3, 5, 9, 3, 31},
                                                             {5, 6, 9, 5, 33},
                                                             {31, 7, 1, 7, 13},
                                                             {33, 3, 9, 13, 7},
                                                             {7, 33, 9, 2, 50}}),
                         case_name<ConvCase>);

}  // namespace
}  // namespace evenflow::tests
