#include "kernels/cpu/conv.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

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

inline Taps make_taps(const PaddedPlane& plane, int taps, bool transposed) {
  Taps t{};
  if (taps == 1) return t;
  for (int dy = 0; dy < 3; ++dy) {
    for (int dx = 0; dx < 3; ++dx) {
      const int64_t offset = (dy - 1) * plane.stride + dx - 1;
      t.offset[3 * dy + dx] = transposed ? -offset : offset;
    }
  }
  return t;
}

// One register block: kM outputs x kN vectors of positions from p on. Loads per kM kN multiply-adds: kM + kN.
template <int kM, int kN, int kTaps, ConvEpilogue kEpilogue>
HWY_INLINE void conv_tile(const PaddedPlane& plane, const Conv& task, const Taps& taps, const float* weights,
                          int64_t first_output, int64_t p) {
  const D d;
  const int64_t step = lanes();
  V sum[kM][kN];
  for (int m = 0; m < kM; ++m) {
    const V bias = hn::Set(d, task.bias != nullptr ? task.bias[first_output + m] : 0.0F);
    for (int n = 0; n < kN; ++n) sum[m][n] = bias;
  }
  const float* in = task.in + plane.lead + p;
  for (int64_t i = 0; i < task.inputs; ++i, in += plane.size) {
    for (int t = 0; t < kTaps; ++t) {
      const float* at = in + (kTaps == 1 ? 0 : taps.offset[t]);
      // The smaller operand set stays in registers, the other is loaded on the way.
      if constexpr (kM >= kN) {
        V x[kN];
        for (int n = 0; n < kN; ++n) x[n] = hn::LoadU(d, at + n * step);
        for (int m = 0; m < kM; ++m) {
          const V w = hn::Set(d, weights[m]);
          for (int n = 0; n < kN; ++n) sum[m][n] = hn::MulAdd(w, x[n], sum[m][n]);
        }
      } else {
        V w[kM];
        for (int m = 0; m < kM; ++m) w[m] = hn::Set(d, weights[m]);
        for (int n = 0; n < kN; ++n) {
          const V x = hn::LoadU(d, at + n * step);
          for (int m = 0; m < kM; ++m) sum[m][n] = hn::MulAdd(w[m], x, sum[m][n]);
        }
      }
      weights += kM;
    }
  }
  for (int m = 0; m < kM; ++m) {
    const int64_t output = first_output + m;
    float* out = task.out + output * plane.size + plane.lead + p;
    for (int n = 0; n < kN; ++n) {
      V value = sum[m][n];
      if constexpr (kEpilogue == ConvEpilogue::scale) {
        if (task.scale != nullptr) value = hn::Mul(value, hn::Set(d, task.scale[output]));
      } else if constexpr (kEpilogue == ConvEpilogue::relu) {
        // Not Max, which turns NaN into 0: a broken weight must show.
        value = hn::IfThenElse(hn::Lt(value, hn::Zero(d)), hn::Zero(d), value);
        value = hn::Mul(value, hn::LoadU(d, task.factor + plane.lead + p + n * step));
      } else {
        const V gate = hn::LoadU(d, task.factor + output * plane.size + plane.lead + p + n * step);
        value = hn::IfThenElseZero(hn::Gt(gate, hn::Zero(d)), value);
      }
      hn::StoreU(value, d, out + n * step);
    }
  }
}

// All groups of kM outputs over one tile before the next tile: the input tile stays in L1.
template <int kM, int kN, int kTaps, ConvEpilogue kEpilogue>
void conv_groups(const PaddedPlane& plane, const Conv& task, const Taps& taps, const float* weights,
                 int64_t first_output, int64_t groups) {
  const int64_t group_floats = task.inputs * kTaps * kM;
  for (int64_t p = 0; p < plane.run; p += kN * lanes()) {
    for (int64_t g = 0; g < groups; ++g) {
      conv_tile<kM, kN, kTaps, kEpilogue>(plane, task, taps, weights + g * group_floats, first_output + g * kM, p);
    }
  }
}

template <int kTaps, ConvEpilogue kEpilogue>
void conv_outputs(const PaddedPlane& plane, const Conv& task) {
  const Taps taps = make_taps(plane, kTaps, task.transposed);
  const float* weights = task.weights;
  const int64_t fours = task.outputs / 4;
  int64_t first = 0;
  if (fours > 0) conv_groups<4, EVENFLOW_WIDE ? 6 : 3, kTaps, kEpilogue>(plane, task, taps, weights, 0, fours);
  first = fours * 4;
  weights += first * task.inputs * kTaps;
  if (task.outputs - first >= 2) {
    conv_groups<2, 6, kTaps, kEpilogue>(plane, task, taps, weights, first, 1);
    first += 2;
    weights += 2 * task.inputs * kTaps;
  }
  if (task.outputs - first == 1) conv_groups<1, 6, kTaps, kEpilogue>(plane, task, taps, weights, first, 1);
}

template <int kTaps>
void conv_taps(const PaddedPlane& plane, const Conv& task) {
  switch (task.epilogue) {
    case ConvEpilogue::scale:
      return conv_outputs<kTaps, ConvEpilogue::scale>(plane, task);
    case ConvEpilogue::relu:
      return conv_outputs<kTaps, ConvEpilogue::relu>(plane, task);
    case ConvEpilogue::gate:
      return conv_outputs<kTaps, ConvEpilogue::gate>(plane, task);
  }
}

void conv_simd(const PaddedPlane& plane, const Conv& task) {
  task.taps == 9 ? conv_taps<9>(plane, task) : conv_taps<1>(plane, task);
}

// kM x kK dot products over positions [0, count): dweight[m * output_stride + k * input_stride] += dout_m . in_k
template <int kM, int kK>
HWY_INLINE void dot_block(const float* dout, int64_t dout_plane, const float* const* in, int64_t count, bool whole,
                          float* dweight, int64_t output_stride, int64_t input_stride) {
  const D d;
  const int64_t step = lanes();
  V sum[kM][kK];
  for (int m = 0; m < kM; ++m) {
    for (int k = 0; k < kK; ++k) sum[m][k] = hn::Zero(d);
  }
  int64_t p = 0;
  const int64_t last = whole ? count : count - step + 1;
  for (; p < last; p += step) {
    V x[kK];
    for (int k = 0; k < kK; ++k) x[k] = hn::LoadU(d, in[k] + p);
    for (int m = 0; m < kM; ++m) {
      const V g = hn::LoadU(d, dout + m * dout_plane + p);
      for (int k = 0; k < kK; ++k) sum[m][k] = hn::MulAdd(g, x[k], sum[m][k]);
    }
  }
  for (int m = 0; m < kM; ++m) {
    for (int k = 0; k < kK; ++k) {
      float total = hn::GetLane(hn::SumOfLanes(d, sum[m][k]));
      for (int64_t rest = p; rest < count; ++rest) total += dout[m * dout_plane + rest] * in[k][rest];
      dweight[m * output_stride + k * input_stride] += total;
    }
  }
}

template <int kK>
void dot_outputs(int64_t outputs, const float* dout, int64_t dout_plane, const float* const* in, int64_t count,
                 bool whole, float* dweight, int64_t output_stride, int64_t input_stride) {
  switch (outputs) {
    case 4:
      return dot_block<4, kK>(dout, dout_plane, in, count, whole, dweight, output_stride, input_stride);
    case 3:
      return dot_block<3, kK>(dout, dout_plane, in, count, whole, dweight, output_stride, input_stride);
    case 2:
      return dot_block<2, kK>(dout, dout_plane, in, count, whole, dweight, output_stride, input_stride);
    default:
      return dot_block<1, kK>(dout, dout_plane, in, count, whole, dweight, output_stride, input_stride);
  }
}

void dots(int64_t outputs, int64_t inputs, const float* dout, int64_t dout_plane, const float* const* in, int64_t count,
          bool whole, float* dweight, int64_t output_stride, int64_t input_stride) {
  switch (inputs) {
    case 3:
      return dot_outputs<3>(outputs, dout, dout_plane, in, count, whole, dweight, output_stride, input_stride);
    case 2:
      return dot_outputs<2>(outputs, dout, dout_plane, in, count, whole, dweight, output_stride, input_stride);
    default:
      return dot_outputs<1>(outputs, dout, dout_plane, in, count, whole, dweight, output_stride, input_stride);
  }
}

// Positions in panels of 4 KiB a plane, so that a group of output-gradient planes stays in L1 while all inputs pass.
constexpr int64_t panel = 1056;

void conv_weight_gradient_simd(const PaddedPlane& plane, const ConvWeightGradient& task) {
  const Taps taps = make_taps(plane, task.taps, false);
  const int64_t row = task.inputs * task.taps;
  for (int64_t first = 0; first < plane.run; first += panel) {
    const int64_t count = std::min(panel, plane.run - first);
    for (int64_t o = 0; o < task.outputs; o += 4) {
      const int64_t outputs = std::min<int64_t>(4, task.outputs - o);
      const float* dout = task.dout + o * plane.size + plane.lead + first;
      const float* base = task.in + plane.lead + first;
      float* dweight = task.dweight + o * row;
      if (task.taps == 9) {
        for (int64_t i = 0; i < task.inputs; ++i) {
          for (int dy = 0; dy < 3; ++dy) {
            const float* at = base + i * plane.size;
            const float* in[3] = {at + taps.offset[3 * dy], at + taps.offset[3 * dy + 1], at + taps.offset[3 * dy + 2]};
            dots(outputs, 3, dout, plane.size, in, count, true, dweight + i * 9 + 3 * dy, row, 1);
          }
        }
      } else {
        for (int64_t i = 0; i < task.inputs; i += 3) {
          const int64_t inputs = std::min<int64_t>(3, task.inputs - i);
          const float* in[3] = {base + i * plane.size, base + (i + 1) * plane.size, base + (i + 2) * plane.size};
          dots(outputs, inputs, dout, plane.size, in, count, true, dweight + i, row, 1);
        }
      }
    }
  }
}

void mix_weight_gradient_simd(int64_t channels, int64_t pixels, const float* in, const float* dout, float* dweight) {
  for (int64_t o = 0; o < channels; o += 4) {
    for (int64_t i = 0; i < channels; i += 3) {
      const float* inputs[3] = {in + i * pixels, in + (i + 1) * pixels, in + (i + 2) * pixels};
      dots(std::min<int64_t>(4, channels - o), std::min<int64_t>(3, channels - i), dout + o * pixels, pixels, inputs,
           pixels, false, dweight + o * channels + i, channels, 1);
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
    for (int m = 0; m < kM; ++m) sum[m][0] = sum[m][1] = hn::Zero(d);
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
      for (int64_t i = 0; i < channels; ++i) sum += weight[m * output_stride + i * input_stride] * in[i * pixels + p];
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
  const D d;
  const int64_t step = lanes();
  double total = 0;
  for (int64_t first = 0; first < count; first += panel) {
    const int64_t last = std::min(first + panel, count);
    V sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    int64_t p = first;
    for (; p + 4 * step <= last; p += 4 * step) {
      for (int i = 0; i < 4; ++i) sum[i] = hn::Add(sum[i], hn::LoadU(d, x + p + i * step));
    }
    for (; p < last; p += step) sum[0] = hn::Add(sum[0], hn::LoadU(d, x + p));
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

PaddedPlane padded_plane(int64_t h, int64_t w) {
  // 192 floats: a multiple of every tile, 3, 4 and 6 vectors of 4, 8 and 16 lanes.
  constexpr int64_t tile = 192;
  constexpr int64_t line = 16;
  const auto round_up = [](int64_t value, int64_t to) { return (value + to - 1) / to * to; };
  PaddedPlane plane{.h = h, .w = w, .stride = w + 1};
  plane.lead = round_up(plane.stride + 1, line);
  plane.run = h * plane.stride;
  plane.padded_run = round_up(plane.run, tile);
  plane.size = plane.lead + plane.padded_run + round_up(plane.stride + 1, line);
  return plane;
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
    row[plane.w] = 0.0F;
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
    const int64_t group = left >= conv_group ? conv_group : std::min<int64_t>(left, 2);
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

void conv(const PaddedPlane& plane, const Conv& task) {
  HWY_DYNAMIC_DISPATCH(conv_simd)(plane, task);
}

void conv_weight_gradient(const PaddedPlane& plane, const ConvWeightGradient& task) {
  HWY_DYNAMIC_DISPATCH(conv_weight_gradient_simd)(plane, task);
}

void conv_bias_gradient(const PaddedPlane& plane, const float* dout, int64_t outputs, float* dbias) {
  for (int64_t o = 0; o < outputs; ++o) {
    dbias[o] += static_cast<float>(HWY_DYNAMIC_DISPATCH(run_sum)(dout + o * plane.size + plane.lead, plane.run));
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
