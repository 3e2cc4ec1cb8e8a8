#include "kernels/cpu/conv.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include "kernels/cpu/conv_epilogue-inl.h"
#include "kernels/cpu/partial-inl.h"
#include "kernels/cpu/register_block-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

#undef EVENFLOW_WIDE
#if HWY_TARGET <= HWY_AVX3  // 32 registers
#define EVENFLOW_WIDE 1
#else
#define EVENFLOW_WIDE 0
#endif

inline int64_t lanes() {
  return static_cast<int64_t>(hn::Lanes(D()));
}

struct Taps {
  int64_t offset[9];
};

inline Taps make_taps(int64_t row_stride, int taps, bool mirrored) {
  Taps t{};
  if (taps == 1) {
    return t;
  }
  for (int dy = 0; dy < 3; ++dy) {
    for (int dx = 0; dx < 3; ++dx) {
      const int64_t offset = (dy - 1) * row_stride + dx - 1;
      t.offset[3 * dy + dx] = mirrored ? -offset : offset;
    }
  }
  return t;
}

// One register block: kM outputs x kN vectors of positions from p on. Loads per kM kN multiply-adds: kM + kN.
// Not inlined: the epilogue's constants, hoisted out of the caller's loop, would take registers from the sums.
template <int kM, int kN, int kTaps, ConvEpilogue kEpilogue>
HWY_NOINLINE void conv_tile(const Conv& task, const Taps& taps, const float* weights, int64_t first_output, int64_t p) {
  const D d;
  const int64_t step = lanes();
  V sum[kM][kN];
  repeat<kM>([&](auto m) EVENFLOW_BODY {
    const V bias = hn::Set(d, task.bias != nullptr ? task.bias[first_output + m] : 0.0F);
    repeat<kN>([&](auto n) EVENFLOW_BODY { sum[m][n] = bias; });
  });
  const float* in = task.in.data + p;
  const int64_t inputs = task.inputs;
  const int64_t in_stride = task.in.stride;
  for (int64_t i = 0; i < inputs; ++i, in += in_stride) {
    // Nine unrolled taps cost spills: gcc interleaves them.
#pragma GCC unroll 1
    for (int t = 0; t < kTaps; ++t) {
      const float* at = in + (kTaps == 1 ? 0 : taps.offset[t]);
      // One operand set stays in registers, the other is loaded on the way.
      if constexpr (kN <= 4) {
        V x[kN];
        repeat<kN>([&](auto n) EVENFLOW_BODY { x[n] = hn::LoadU(d, at + n * step); });
        repeat<kM>([&](auto m) EVENFLOW_BODY {
          const V w = hn::Set(d, weights[m]);
          repeat<kN>([&](auto n) EVENFLOW_BODY { sum[m][n] = hn::MulAdd(w, x[n], sum[m][n]); });
        });
      } else {
        V w[kM];
        repeat<kM>([&](auto m) EVENFLOW_BODY { w[m] = hn::Set(d, weights[m]); });
        repeat<kN>([&](auto n) EVENFLOW_BODY {
          V x = hn::LoadU(d, at + n * step);
          keep_in_register(x);
          repeat<kM>([&](auto m) EVENFLOW_BODY { sum[m][n] = hn::MulAdd(w[m], x, sum[m][n]); });
        });
      }
      weights += kM;
    }
  }
  repeat<kM>([&](auto m) EVENFLOW_BODY {
    const int64_t output = first_output + m;
    float* HWY_RESTRICT out = task.out[output] + p;
    const float* gate = kEpilogue == ConvEpilogue::gate ? task.gate[output] + p : nullptr;
    const V scale = hn::Set(d, kEpilogue == ConvEpilogue::scale && task.scale != nullptr ? task.scale[output] : 1.0F);
    repeat<kN>([&](auto n) EVENFLOW_BODY {
      hn::StoreU(finish<kEpilogue>(d, sum[m][n], scale, gate + n * step), d, out + n * step);
    });
  });
}

// All groups of kM outputs over one tile before the next tile: the input tile stays in L1.
template <int kM, int kN, int kTaps, ConvEpilogue kEpilogue>
int64_t conv_groups(const Conv& task, const Taps& taps, const float* weights, int64_t first_output, int64_t groups,
                    int64_t p, int64_t end) {
  const int64_t group_floats = task.inputs * kTaps * kM;
  for (; p < end; p += kN * lanes()) {
    for (int64_t g = 0; g < groups; ++g) {
      conv_tile<kM, kN, kTaps, kEpilogue>(task, taps, weights + g * group_floats, first_output + g * kM, p);
    }
  }
  return p;
}

// Tiles of three vectors, and of two where a rest of one or two would be left.
template <int kM, int kTaps, ConvEpilogue kEpilogue>
void conv_threes(const Conv& task, const Taps& taps, const float* weights, int64_t first_output, int64_t groups,
                 int64_t p, int64_t end) {
  const int64_t vectors = (end - p + lanes() - 1) / lanes();
  const int64_t in_pairs = vectors > 1 ? (3 - vectors % 3) % 3 * 2 : 0;
  p = conv_groups<kM, 3, kTaps, kEpilogue>(task, taps, weights, first_output, groups, p,
                                           p + (vectors - in_pairs) * lanes());
  conv_groups<kM, 2, kTaps, kEpilogue>(task, taps, weights, first_output, groups, p, end);
}

#if EVENFLOW_WIDE
// Tiles of six vectors, and of four where seven, eight or four are left; conv_threes does the others.
template <int kTaps, ConvEpilogue kEpilogue>
int64_t conv_sixes(const Conv& task, const Taps& taps, const float* weights, int64_t groups, int64_t end) {
  const int64_t vectors = (end + lanes() - 1) / lanes();
  const int64_t rest = vectors % 6;
  const int64_t left = vectors > 6 && (rest == 1 || rest == 2) ? rest + 6 : rest;
  const int64_t fours = left == 8 ? 2 : left == 7 || left == 4 ? 1 : 0;
  const int64_t sixes_end = (vectors - left) * lanes();
  const int64_t p = conv_groups<4, 6, kTaps, kEpilogue>(task, taps, weights, 0, groups, 0, sixes_end);
  return conv_groups<4, 4, kTaps, kEpilogue>(task, taps, weights, 0, groups, p, sixes_end + 4 * fours * lanes());
}
#endif

template <int kTaps, ConvEpilogue kEpilogue>
void conv_outputs(const Conv& task) {
  const Taps taps = make_taps(task.row_stride, kTaps, task.transposed);
  const float* weights = task.weights;
  const int64_t end = task.positions;
  const int64_t fours = task.outputs / 4;
  int64_t first = fours * 4;
  if (fours > 0) {
    int64_t p = 0;
#if EVENFLOW_WIDE
    p = conv_sixes<kTaps, kEpilogue>(task, taps, weights, fours, end);
#endif
    conv_threes<4, kTaps, kEpilogue>(task, taps, weights, 0, fours, p, end);
    weights += first * task.inputs * kTaps;
  }
  if (task.outputs - first >= 2) {
#if EVENFLOW_WIDE
    const int64_t p = conv_groups<2, 6, kTaps, kEpilogue>(task, taps, weights, first, 1, 0, end - 3 * lanes());
    conv_groups<2, 3, kTaps, kEpilogue>(task, taps, weights, first, 1, p, end);
#else
    // With six vectors, for more sums, gcc loads each input twice, as an operand of both its multiply-adds.
    conv_groups<2, 4, kTaps, kEpilogue>(task, taps, weights, first, 1, 0, end);
#endif
    first += 2;
    weights += 2 * task.inputs * kTaps;
  }
  if (task.outputs - first == 1) {
    const int64_t p = conv_groups<1, 6, kTaps, kEpilogue>(task, taps, weights, first, 1, 0, end - 3 * lanes());
    conv_groups<1, 3, kTaps, kEpilogue>(task, taps, weights, first, 1, p, end);
  }
}

template <int kTaps>
void conv_taps(const Conv& task) {
  switch (task.epilogue) {
    case ConvEpilogue::scale:
      return conv_outputs<kTaps, ConvEpilogue::scale>(task);
    case ConvEpilogue::relu:
      return conv_outputs<kTaps, ConvEpilogue::relu>(task);
    case ConvEpilogue::gate:
      return conv_outputs<kTaps, ConvEpilogue::gate>(task);
  }
}

void conv_simd(const Conv& task) {
  task.taps == 9 ? conv_taps<9>(task) : conv_taps<1>(task);
}

// kM x kK dot products over positions [0, count): dweight[m * row + k] += a_m . b_k. With kWhole, what
// a_m has behind count up to a whole vector is zero.
template <int kM, int kK, bool kWhole>
HWY_INLINE void dot_block(ChannelPlanes<const float> a, const float* const* b, int64_t count, float* dweight,
                          int64_t row) {
  const D d;
  const int64_t step = lanes();
  V sum[4][kK];
  repeat<4>([&](auto m) EVENFLOW_BODY { repeat<kK>([&](auto k) EVENFLOW_BODY { sum[m][k] = hn::Zero(d); }); });
  int64_t p = 0;
  const int64_t last = kWhole ? count : count - step + 1;
  for (; p < last; p += step) {
    V x[kK];
    repeat<kK>([&](auto k) EVENFLOW_BODY { x[k] = hn::LoadU(d, b[k] + p); });
    repeat<kM>([&](auto m) EVENFLOW_BODY {
      V g = hn::LoadU(d, a[m] + p);
      keep_in_register(g);
      repeat<kK>([&](auto k) EVENFLOW_BODY { sum[m][k] = hn::MulAdd(g, x[k], sum[m][k]); });
    });
  }
  if constexpr (!kWhole) {
    if (p < count) {
      repeat<kM>([&](auto m) EVENFLOW_BODY {
        const V g = load_partial(d, a[m] + p, count - p);
        repeat<kK>([&](auto k)
                       EVENFLOW_BODY { sum[m][k] = hn::MulAdd(g, load_partial(d, b[k] + p, count - p), sum[m][k]); });
      });
    }
  }
  float total[kK][4];
  repeat<kK>([&](auto k) EVENFLOW_BODY { sums_of_lanes(d, sum[0][k], sum[1][k], sum[2][k], sum[3][k], total[k]); });
  for (int m = 0; m < kM; ++m) {
    for (int k = 0; k < kK; ++k) {
      dweight[m * row + k] += total[k][m];
    }
  }
}

template <int kK, bool kWhole>
void dots_of(int64_t m, ChannelPlanes<const float> a, const float* const* b, int64_t count, float* dweight,
             int64_t row) {
  switch (m) {
    case 4:
      return dot_block<4, kK, kWhole>(a, b, count, dweight, row);
    case 3:
      return dot_block<3, kK, kWhole>(a, b, count, dweight, row);
    case 2:
      return dot_block<2, kK, kWhole>(a, b, count, dweight, row);
    default:
      return dot_block<1, kK, kWhole>(a, b, count, dweight, row);
  }
}

template <bool kWhole>
void dots(int64_t m, int64_t k, ChannelPlanes<const float> a, const float* const* b, int64_t count, float* dweight,
          int64_t row) {
  switch (k) {
    case 3:
      return dots_of<3, kWhole>(m, a, b, count, dweight, row);
    case 2:
      return dots_of<2, kWhole>(m, a, b, count, dweight, row);
    default:
      return dots_of<1, kWhole>(m, a, b, count, dweight, row);
  }
}

// Four planes of dout stay in L1 while all inputs pass.
void conv_weight_gradient_simd(const ConvWeightGradient& task) {
  const Taps taps = make_taps(task.row_stride, task.taps, false);
  const int64_t row = task.inputs * task.taps;
  for (int64_t o = 0; o < task.outputs; o += 4) {
    const int64_t outputs = std::min<int64_t>(4, task.outputs - o);
    const ChannelPlanes<const float> dout = {task.dout[o], task.dout.stride};
    float* dweight = task.dweight + o * row;
    if (task.taps == 9) {
      for (int64_t i = 0; i < task.inputs; ++i) {
        for (int dy = 0; dy < 3; ++dy) {
          const int64_t* at = taps.offset + 3 * dy;
          const float* in[3] = {task.in[i] + at[0], task.in[i] + at[1], task.in[i] + at[2]};
          dots<true>(outputs, 3, dout, in, task.positions, dweight + i * 9 + 3 * dy, row);
        }
      }
    } else {
      for (int64_t i = 0; i < task.inputs; i += 3) {
        const float* in[3] = {task.in[i], task.in[i + 1], task.in[i + 2]};
        dots<true>(outputs, std::min<int64_t>(3, task.inputs - i), dout, in, task.positions, dweight + i, row);
      }
    }
  }
}

void mix_weight_gradient_simd(int64_t channels, int64_t pixels, const float* in, const float* dout, float* dweight) {
  for (int64_t o = 0; o < channels; o += 4) {
    for (int64_t i = 0; i < channels; i += 3) {
      const float* inputs[3] = {in + i * pixels, in + (i + 1) * pixels, in + (i + 2) * pixels};
      dots<false>(std::min<int64_t>(4, channels - o), std::min<int64_t>(3, channels - i), {dout + o * pixels, pixels},
                  inputs, pixels, dweight + o * channels + i, channels);
    }
  }
}

template <int kM>
HWY_INLINE void mix_rows(int64_t channels, int64_t pixels, const float* in, const float* weight, int64_t output_stride,
                         int64_t input_stride, float* out) {
  const D d;
  const int64_t step = lanes();
  int64_t p = 0;
  for (; p + 2 * step <= pixels; p += 2 * step) {
    V sum[kM][2];
    for (int m = 0; m < kM; ++m) {
      sum[m][0] = sum[m][1] = hn::Zero(d);
    }
    for (int64_t i = 0; i < channels; ++i) {
      const V x0 = hn::LoadU(d, in + i * pixels + p);
      const V x1 = hn::LoadU(d, in + i * pixels + p + step);
      for (int m = 0; m < kM; ++m) {
        const V w = hn::Set(d, weight[m * output_stride + i * input_stride]);
        sum[m][0] = hn::MulAdd(w, x0, sum[m][0]);
        sum[m][1] = hn::MulAdd(w, x1, sum[m][1]);
      }
    }
    for (int m = 0; m < kM; ++m) {
      hn::StoreU(sum[m][0], d, out + m * pixels + p);
      hn::StoreU(sum[m][1], d, out + m * pixels + p + step);
    }
  }
  for (; p < pixels; ++p) {
    for (int m = 0; m < kM; ++m) {
      float sum = 0;
      for (int64_t i = 0; i < channels; ++i) {
        sum += weight[m * output_stride + i * input_stride] * in[i * pixels + p];
      }
      out[m * pixels + p] = sum;
    }
  }
}

void mix_channels_simd(int64_t channels, int64_t pixels, const float* in, const float* weight, int64_t output_stride,
                       int64_t input_stride, float* out) {
  int64_t o = 0;
  for (; o + 4 <= channels; o += 4) {
    mix_rows<4>(channels, pixels, in, weight + o * output_stride, output_stride, input_stride, out + o * pixels);
  }
  for (; o < channels; ++o) {
    mix_rows<1>(channels, pixels, in, weight + o * output_stride, output_stride, input_stride, out + o * pixels);
  }
}

// Four running sums to hide the addition's latency; lanes in float32 over one panel, panels in float64.
double run_sum(const float* x, int64_t count) {
  constexpr int64_t panel = 1056;
  const D d;
  const int64_t step = lanes();
  double total = 0;
  for (int64_t first = 0; first < count; first += panel) {
    const int64_t last = std::min(first + panel, count);
    V sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    int64_t p = first;
    for (; p + 4 * step <= last; p += 4 * step) {
      for (int i = 0; i < 4; ++i) {
        sum[i] = hn::Add(sum[i], hn::LoadU(d, x + p + i * step));
      }
    }
    for (; p < last; p += step) {
      sum[0] = hn::Add(sum[0], hn::LoadU(d, x + p));
    }
    total += hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]))));
  }
  return total;
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(conv_simd);
HWY_EXPORT(conv_weight_gradient_simd);
HWY_EXPORT(mix_channels_simd);
HWY_EXPORT(mix_weight_gradient_simd);
HWY_EXPORT(run_sum);

namespace {

PaddedPlane plane_of(int64_t h, int64_t w, int64_t stride, int64_t halo) {
  constexpr int64_t line = 16;
  const auto round_up = [](int64_t value, int64_t to) { return (value + to - 1) / to * to; };
  PaddedPlane plane{.h = h, .w = w, .stride = stride, .halo = halo};
  plane.lead = round_up(plane.halo, line);
  plane.run = h * plane.stride;
  plane.size = plane.lead + round_up(plane.run, conv_unit) + conv_overrun + round_up(plane.halo, line);
  return plane;
}

}  // namespace

PaddedPlane padded_plane(int64_t h, int64_t w) {
  return plane_of(h, w, w + 1, w + 2);
}

PaddedPlane row_plane(int64_t h, int64_t w) {
  return plane_of(h, w, w, w);
}

void clear_ends(const PaddedPlane& plane, float* padded) {
  const int64_t end = plane.lead + plane.run;
  std::memset(padded, 0, static_cast<size_t>(plane.lead) * sizeof(float));
  std::memset(padded + end, 0, static_cast<size_t>(plane.size - end) * sizeof(float));
}

void to_padded(const PaddedPlane& plane, const float* dense, float* padded) {
  clear_ends(plane, padded);
  float* row = padded + plane.lead;
  for (int64_t y = 0; y < plane.h; ++y, row += plane.stride) {
    std::memcpy(row, dense + y * plane.w, static_cast<size_t>(plane.w) * sizeof(float));
    std::fill(row + plane.w, row + plane.stride, 0.0F);
  }
}

int64_t packed_weights_floats(int64_t inputs, int64_t outputs, int taps) {
  return inputs * outputs * taps;
}

void pack_weights(const float* weight, int64_t inputs, int64_t outputs, int taps, bool transposed, float* packed) {
  // weight[o, i, t] of the forward convolution; transposed, its inputs are our outputs.
  const int64_t our_outputs = transposed ? inputs : outputs;
  const int64_t our_inputs = transposed ? outputs : inputs;
  for (int64_t first = 0; first < our_outputs;) {
    const int64_t left = our_outputs - first;
    const int64_t group = left >= 4 ? 4 : std::min<int64_t>(left, 2);
    for (int64_t i = 0; i < our_inputs; ++i) {
      for (int t = 0; t < taps; ++t) {
        for (int64_t m = 0; m < group; ++m) {
          const int64_t o = first + m;
          *packed++ = transposed ? weight[(i * inputs + o) * taps + t] : weight[(o * inputs + i) * taps + t];
        }
      }
    }
    first += group;
  }
}

void conv(const Conv& task) {
  HWY_DYNAMIC_DISPATCH(conv_simd)(task);
}

void conv_weight_gradient(const ConvWeightGradient& task) {
  HWY_DYNAMIC_DISPATCH(conv_weight_gradient_simd)(task);
}

void conv_bias_gradient(ChannelPlanes<const float> dout, int64_t outputs, int64_t positions, float* dbias) {
  for (int64_t o = 0; o < outputs; ++o) {
    dbias[o] += static_cast<float>(HWY_DYNAMIC_DISPATCH(run_sum)(dout[o], positions));
  }
}

void mix_channels(int64_t channels, int64_t pixels, const float* in, const float* weight, int64_t output_stride,
                  int64_t input_stride, float* out) {
  HWY_DYNAMIC_DISPATCH(mix_channels_simd)(channels, pixels, in, weight, output_stride, input_stride, out);
}

void mix_weight_gradient(int64_t channels, int64_t pixels, const float* in, const float* dout, float* dweight) {
  HWY_DYNAMIC_DISPATCH(mix_weight_gradient_simd)(channels, pixels, in, dout, dweight);
}

}  // namespace evenflow::kernels::cpu
#endif
