#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/conv.h"
#include "kernels/cpu/ops.h"
#include "kernels/trace.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/coupling.cpp"
#include <hwy/foreach_target.h>

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// g and log g of the affine coupling, and d log g / d s. NaN stays NaN: the library's exp, log1p and tanh do not see to
// that, and a broken weight must show.
template <CouplingKind kKind, class D, class V>
HWY_INLINE void gain(D d, V s, V& g, V& log_g, V& slope) {
  const V one = hn::Set(d, 1.0F);
  const auto nan = hn::IsNaN(s);
  if constexpr (kKind == CouplingKind::sigmoid) {
    // u = s + 2, e = exp(-|u|): log g = min(u, 0) - log1p(e), g = (u >= 0 ? 1 : e) / (1 + e). Nothing overflows.
    const V u = hn::Add(s, hn::Set(d, 2.0F));
    const V e = hn::IfThenElse(nan, s, hn::Exp(d, hn::Neg(hn::Abs(u))));
    const V inverse = hn::Div(one, hn::Add(one, e));
    log_g = hn::IfThenElse(nan, s, hn::Sub(hn::Min(u, hn::Zero(d)), hn::Log1p(d, e)));
    const auto positive = hn::Ge(u, hn::Zero(d));
    g = hn::Mul(hn::IfThenElse(positive, one, e), inverse);
    slope = hn::Mul(hn::IfThenElse(positive, e, one), inverse);  // 1 - g without cancellation
  } else {
    const V t = hn::IfThenElse(nan, s, hn::Tanh(d, hn::Mul(s, hn::Set(d, 0.5F))));
    log_g = hn::Add(t, t);
    g = hn::IfThenElse(nan, s, hn::Exp(d, log_g));
    slope = hn::NegMulAdd(t, t, one);
  }
}

// The affine part, row by row: maps of s and t are padded, x and y dense. What a row has over whole vectors goes lane
// by lane through the same vector arithmetic.
template <CouplingKind kKind>
double affine_forward_rows(const PaddedPlane& plane, const float* s, const float* t, const float* x, float* y) {
  const hn::ScalableTag<float> d;
  const int64_t step = static_cast<int64_t>(hn::Lanes(d));
  double log_det = 0;
  for (int64_t row = 0; row < plane.h; ++row) {
    auto sum = hn::Zero(d);
    int64_t i = 0;
    for (; i + step <= plane.w; i += step) {
      auto g = sum;
      auto log_g = sum;
      auto slope = sum;
      gain<kKind>(d, hn::LoadU(d, s + i), g, log_g, slope);
      hn::StoreU(hn::Mul(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, t + i)), g), d, y + i);
      sum = hn::Add(sum, log_g);
    }
    log_det += hn::GetLane(hn::SumOfLanes(d, sum));
    for (; i < plane.w; ++i) {
      auto g = sum;
      auto log_g = sum;
      auto slope = sum;
      gain<kKind>(d, hn::Set(d, s[i]), g, log_g, slope);
      y[i] = (x[i] + t[i]) * hn::GetLane(g);
      log_det += hn::GetLane(log_g);
    }
    s += plane.stride;
    t += plane.stride;
    x += plane.w;
    y += plane.w;
  }
  return log_det;
}

template <CouplingKind kKind>
void affine_inverse_rows(const PaddedPlane& plane, const float* s, const float* t, const float* y, float* x) {
  const hn::ScalableTag<float> d;
  const int64_t step = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t row = 0; row < plane.h; ++row) {
    auto g = hn::Zero(d);
    auto log_g = g;
    auto slope = g;
    int64_t i = 0;
    for (; i + step <= plane.w; i += step) {
      gain<kKind>(d, hn::LoadU(d, s + i), g, log_g, slope);
      hn::StoreU(hn::Sub(hn::Div(hn::LoadU(d, y + i), g), hn::LoadU(d, t + i)), d, x + i);
    }
    for (; i < plane.w; ++i) {
      gain<kKind>(d, hn::Set(d, s[i]), g, log_g, slope);
      x[i] = y[i] / hn::GetLane(g) - t[i];
    }
    s += plane.stride;
    t += plane.stride;
    x += plane.w;
    y += plane.w;
  }
}

// dx_b = dy_b g; ds = (dy_b y_b + G) d log g / d s; dt = dx_b. ds, dt are gradients of the gained convolution output;
// they are stored times its gain (for conv3), and gain_sums takes the sums of ds s, dt t (for log_gain).
template <CouplingKind kKind>
void affine_backward_rows(const PaddedPlane& plane, const float* s, const float* t, const float* x, const float* dy,
                          float log_det_gradient, float gain_s, float gain_t, float* dx, float* ds, float* dt,
                          double* gain_sums) {
  const hn::ScalableTag<float> d;
  const int64_t step = static_cast<int64_t>(hn::Lanes(d));
  gain_sums[0] = gain_sums[1] = 0;
  for (int64_t row = 0; row < plane.h; ++row) {
    auto sum_s = hn::Zero(d);
    auto sum_t = hn::Zero(d);
    auto g = hn::Zero(d);
    auto log_g = g;
    auto slope = g;
    const auto at = [&](auto vs, auto vt, auto vx, auto vdy, auto& vdx, auto& vds) HWY_ATTR {
      gain<kKind>(d, vs, g, log_g, slope);
      vdx = hn::Mul(vdy, g);
      const auto dlog_g = hn::MulAdd(vdx, hn::Add(vx, vt), hn::Set(d, log_det_gradient));
      vds = hn::Mul(dlog_g, slope);
    };
    int64_t i = 0;
    for (; i + step <= plane.w; i += step) {
      auto vdx = g;
      auto vds = g;
      const auto vs = hn::LoadU(d, s + i);
      const auto vt = hn::LoadU(d, t + i);
      at(vs, vt, hn::LoadU(d, x + i), hn::LoadU(d, dy + i), vdx, vds);
      sum_s = hn::MulAdd(vds, vs, sum_s);
      sum_t = hn::MulAdd(vdx, vt, sum_t);
      hn::StoreU(vdx, d, dx + i);
      hn::StoreU(hn::Mul(vds, hn::Set(d, gain_s)), d, ds + i);
      hn::StoreU(hn::Mul(vdx, hn::Set(d, gain_t)), d, dt + i);
    }
    gain_sums[0] += hn::GetLane(hn::SumOfLanes(d, sum_s));
    gain_sums[1] += hn::GetLane(hn::SumOfLanes(d, sum_t));
    for (; i < plane.w; ++i) {
      auto vdx = g;
      auto vds = g;
      at(hn::Set(d, s[i]), hn::Set(d, t[i]), hn::Set(d, x[i]), hn::Set(d, dy[i]), vdx, vds);
      dx[i] = hn::GetLane(vdx);
      gain_sums[0] += static_cast<double>(hn::GetLane(vds)) * s[i];
      gain_sums[1] += static_cast<double>(dx[i]) * t[i];
      ds[i] = hn::GetLane(vds) * gain_s;
      dt[i] = dx[i] * gain_t;
    }
    ds[plane.w] = dt[plane.w] = 0.0F;  // the column between rows
    s += plane.stride;
    t += plane.stride;
    ds += plane.stride;
    dt += plane.stride;
    x += plane.w;
    dy += plane.w;
    dx += plane.w;
  }
}

double affine_forward(CouplingKind kind, const PaddedPlane& plane, const float* s, const float* t, const float* x,
                      float* y) {
  return kind == CouplingKind::sigmoid ? affine_forward_rows<CouplingKind::sigmoid>(plane, s, t, x, y)
                                       : affine_forward_rows<CouplingKind::tanh>(plane, s, t, x, y);
}

void affine_inverse(CouplingKind kind, const PaddedPlane& plane, const float* s, const float* t, const float* y,
                    float* x) {
  kind == CouplingKind::sigmoid ? affine_inverse_rows<CouplingKind::sigmoid>(plane, s, t, y, x)
                                : affine_inverse_rows<CouplingKind::tanh>(plane, s, t, y, x);
}

void affine_backward(CouplingKind kind, const PaddedPlane& plane, const float* s, const float* t, const float* x,
                     const float* dy, float log_det_gradient, float gain_s, float gain_t, float* dx, float* ds,
                     float* dt, double* gain_sums) {
  kind == CouplingKind::sigmoid ? affine_backward_rows<CouplingKind::sigmoid>(plane, s, t, x, dy, log_det_gradient,
                                                                              gain_s, gain_t, dx, ds, dt, gain_sums)
                                : affine_backward_rows<CouplingKind::tanh>(plane, s, t, x, dy, log_det_gradient, gain_s,
                                                                           gain_t, dx, ds, dt, gain_sums);
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(affine_forward);
HWY_EXPORT(affine_inverse);
HWY_EXPORT(affine_backward);

namespace {

// Where things lie in a packed coupling.
struct Packed {
  int64_t mask, conv1, conv2, conv3, conv1_back, conv2_back, conv3_back, bias1, bias2, bias3, gain, size;
};

// Where a window's maps lie in what forward keeps.
struct Saved {
  int64_t xa, h1, h2, h3, size;
};

struct Layout {
  PaddedPlane plane;
  int64_t half, hidden, channels;
  Packed packed;
  Saved saved;
};

Layout layout(const CouplingShape& s) {
  Layout l{.plane = padded_plane(s.height, s.width),
           .half = s.channels / 2,
           .hidden = s.hidden,
           .channels = s.channels,
           .packed = {},
           .saved = {}};
  int64_t at = 0;
  const auto take = [&](int64_t floats) {
    constexpr int64_t line = 16;
    const int64_t here = at;
    at += (floats + line - 1) / line * line;
    return here;
  };
  const int64_t conv1 = packed_weights_floats(l.half, l.hidden, 9);
  const int64_t conv2 = packed_weights_floats(l.hidden, l.hidden, 1);
  const int64_t conv3 = packed_weights_floats(l.hidden, l.channels, 9);
  l.packed = {.mask = take(l.plane.size),
              .conv1 = take(conv1),
              .conv2 = take(conv2),
              .conv3 = take(conv3),
              .conv1_back = take(conv1),
              .conv2_back = take(conv2),
              .conv3_back = take(conv3),
              .bias1 = take(l.hidden),
              .bias2 = take(l.hidden),
              .bias3 = take(l.channels),
              .gain = take(l.channels),
              .size = at};
  at = 0;
  l.saved = {.xa = take(l.half * l.plane.size),
             .h1 = take(l.hidden * l.plane.size),
             .h2 = take(l.hidden * l.plane.size),
             .h3 = take(l.channels * l.plane.size),
             .size = at};
  return l;
}

void conv(Stream& stream, const char* name, const PaddedPlane& plane, const Conv& task) {
  const TraceRange range(stream, name);
  conv(plane, task);
}

// Of a convolution's weights and bias.
void conv_gradients(Stream& stream, const char* name, const PaddedPlane& plane, const ConvWeightGradient& task,
                    float* dbias) {
  const TraceRange range(stream, name);
  conv_weight_gradient(plane, task);
  conv_bias_gradient(plane, task.dout, task.outputs, dbias);
}

void clear_ends(const PaddedPlane& plane, float* planes, int64_t count) {
  for (int64_t i = 0; i < count; ++i) clear_ends(plane, planes + i * plane.size);
}

/// The coupling network on x's first half: fills the window's maps.
void network(Stream& stream, const Layout& l, const float* x, const float* packed, float* maps) {
  const PaddedPlane& plane = l.plane;
  float* xa = maps + l.saved.xa;
  float* h1 = maps + l.saved.h1;
  float* h2 = maps + l.saved.h2;
  for (int64_t c = 0; c < l.half; ++c) to_padded(plane, x + c * plane.h * plane.w, xa + c * plane.size);
  clear_ends(plane, h1, l.hidden);
  clear_ends(plane, h2, l.hidden);
  conv(stream, "conv1", plane,
       {.inputs = l.half,
        .outputs = l.hidden,
        .taps = 9,
        .epilogue = ConvEpilogue::relu,
        .in = xa,
        .weights = packed + l.packed.conv1,
        .bias = packed + l.packed.bias1,
        .factor = packed + l.packed.mask,
        .out = h1});
  conv(stream, "conv2", plane,
       {.inputs = l.hidden,
        .outputs = l.hidden,
        .taps = 1,
        .epilogue = ConvEpilogue::relu,
        .in = h1,
        .weights = packed + l.packed.conv2,
        .bias = packed + l.packed.bias2,
        .factor = packed + l.packed.mask,
        .out = h2});
  conv(stream, "conv3", plane,
       {.inputs = l.hidden,
        .outputs = l.channels,
        .taps = 9,
        .epilogue = ConvEpilogue::scale,
        .in = h2,
        .weights = packed + l.packed.conv3,
        .bias = packed + l.packed.bias3,
        .scale = packed + l.packed.gain,
        .out = maps + l.saved.h3});
}

}  // namespace

int64_t coupling_packed_floats(const CouplingShape& shape) {
  return layout(shape).packed.size;
}
int64_t coupling_saved_floats(const CouplingShape& shape) {
  return layout(shape).saved.size;
}
// Backward's gradient maps have the same sizes as forward's maps, and one window is in hand at a time.
int64_t coupling_workspace_floats(const CouplingShape& shape) {
  return layout(shape).saved.size;
}

void coupling_pack(const CouplingShape& shape, const CouplingParameters& p, float* packed) {
  const Layout l = layout(shape);
  const PaddedPlane& plane = l.plane;
  float* mask = packed + l.packed.mask;
  std::fill_n(mask, plane.size, 0.0F);
  for (int64_t y = 0; y < plane.h; ++y) std::fill_n(mask + plane.lead + y * plane.stride, plane.w, 1.0F);
  for (const bool back : {false, true}) {
    pack_weights(p.conv1_weight.data, l.half, l.hidden, 9, back,
                 packed + (back ? l.packed.conv1_back : l.packed.conv1));
    pack_weights(p.conv2_weight.data, l.hidden, l.hidden, 1, back,
                 packed + (back ? l.packed.conv2_back : l.packed.conv2));
    pack_weights(p.conv3_weight.data, l.hidden, l.channels, 9, back,
                 packed + (back ? l.packed.conv3_back : l.packed.conv3));
  }
  std::copy_n(p.conv1_bias.data, l.hidden, packed + l.packed.bias1);
  std::copy_n(p.conv2_bias.data, l.hidden, packed + l.packed.bias2);
  std::copy_n(p.conv3_bias.data, l.channels, packed + l.packed.bias3);
  for (int64_t c = 0; c < l.channels; ++c) packed[l.packed.gain + c] = std::exp(3.0F * p.log_gain[c]);
}

void coupling_forward(Stream& stream, const CouplingShape& shape, ConstMap x, const float* packed, Map y,
                      double* log_det, Array<float> saved, float* workspace) {
  const Layout l = layout(shape);
  const int64_t half_pixels = l.half * x.pixels();
  for (int64_t n = 0; n < x.n; ++n) {
    float* maps = saved.size != 0 ? saved.data + n * l.saved.size : workspace;
    network(stream, l, x.sample(n), packed, maps);
    if (y.data != x.data) std::copy_n(x.sample(n), half_pixels, y.sample(n));
    const float* h3 = maps + l.saved.h3 + l.plane.lead;
    for (int64_t c = 0; c < l.half; ++c) {
      const int64_t at = half_pixels + c * x.pixels();
      log_det[n] +=
          HWY_DYNAMIC_DISPATCH(affine_forward)(shape.kind, l.plane, h3 + c * l.plane.size,
                                               h3 + (l.half + c) * l.plane.size, x.sample(n) + at, y.sample(n) + at);
    }
  }
}

void coupling_inverse(Stream& stream, const CouplingShape& shape, ConstMap y, const float* packed, Map x,
                      float* workspace) {
  const Layout l = layout(shape);
  const int64_t half_pixels = l.half * y.pixels();
  for (int64_t n = 0; n < y.n; ++n) {
    network(stream, l, y.sample(n), packed, workspace);
    if (x.data != y.data) std::copy_n(y.sample(n), half_pixels, x.sample(n));
    const float* h3 = workspace + l.saved.h3 + l.plane.lead;
    for (int64_t c = 0; c < l.half; ++c) {
      const int64_t at = half_pixels + c * y.pixels();
      HWY_DYNAMIC_DISPATCH(affine_inverse)
      (shape.kind, l.plane, h3 + c * l.plane.size, h3 + (l.half + c) * l.plane.size, y.sample(n) + at,
       x.sample(n) + at);
    }
  }
}

void coupling_backward(Stream& stream, const CouplingShape& shape, ConstMap x, ConstMap dy, const float* packed,
                       const float* saved, double log_det_gradient, Map dx, const CouplingGradients& d,
                       float* workspace) {
  const Layout l = layout(shape);
  const PaddedPlane& plane = l.plane;
  const int64_t half_pixels = l.half * x.pixels();
  const float* gain = packed + l.packed.gain;
  float* dxa = workspace + l.saved.xa;
  float* dh1 = workspace + l.saved.h1;
  float* dh2 = workspace + l.saved.h2;
  float* dh3 = workspace + l.saved.h3;
  for (int64_t n = 0; n < x.n; ++n) {
    const float* maps = saved + n * l.saved.size;
    const float* h1 = maps + l.saved.h1;
    const float* h2 = maps + l.saved.h2;
    const float* h3 = maps + l.saved.h3;
    clear_ends(plane, dh3, l.channels);
    for (int64_t c = 0; c < l.half; ++c) {
      const int64_t at = half_pixels + c * x.pixels();
      const int64_t s = c * plane.size + plane.lead;
      const int64_t t = (l.half + c) * plane.size + plane.lead;
      double gain_sums[2];
      HWY_DYNAMIC_DISPATCH(affine_backward)
      (shape.kind, plane, h3 + s, h3 + t, x.sample(n) + at, dy.sample(n) + at, static_cast<float>(log_det_gradient),
       gain[c], gain[l.half + c], dx.sample(n) + at, dh3 + s, dh3 + t, gain_sums);
      d.log_gain[c] += static_cast<float>(3.0 * gain_sums[0]);
      d.log_gain[l.half + c] += static_cast<float>(3.0 * gain_sums[1]);
    }
    conv_gradients(
        stream, "conv3_weight_gradient", plane,
        {.inputs = l.hidden, .outputs = l.channels, .taps = 9, .in = h2, .dout = dh3, .dweight = d.conv3_weight.data},
        d.conv3_bias.data);
    // The gates are zero on every padding position, so dh2 and dh1 are too where a convolution writes; the ends are not
    // written.
    clear_ends(plane, dh2, l.hidden);
    conv(stream, "conv3_data_gradient", plane,
         {.inputs = l.channels,
          .outputs = l.hidden,
          .taps = 9,
          .transposed = true,
          .epilogue = ConvEpilogue::gate,
          .in = dh3,
          .weights = packed + l.packed.conv3_back,
          .factor = h2,
          .out = dh2});
    conv_gradients(
        stream, "conv2_weight_gradient", plane,
        {.inputs = l.hidden, .outputs = l.hidden, .taps = 1, .in = h1, .dout = dh2, .dweight = d.conv2_weight.data},
        d.conv2_bias.data);
    clear_ends(plane, dh1, l.hidden);
    conv(stream, "conv2_data_gradient", plane,
         {.inputs = l.hidden,
          .outputs = l.hidden,
          .taps = 1,
          .transposed = true,
          .epilogue = ConvEpilogue::gate,
          .in = dh2,
          .weights = packed + l.packed.conv2_back,
          .factor = h1,
          .out = dh1});
    conv_gradients(stream, "conv1_weight_gradient", plane,
                   {.inputs = l.half,
                    .outputs = l.hidden,
                    .taps = 9,
                    .in = maps + l.saved.xa,
                    .dout = dh1,
                    .dweight = d.conv1_weight.data},
                   d.conv1_bias.data);
    conv(stream, "conv1_data_gradient", plane,
         {.inputs = l.hidden,
          .outputs = l.half,
          .taps = 9,
          .transposed = true,
          .epilogue = ConvEpilogue::scale,
          .in = dh1,
          .weights = packed + l.packed.conv1_back,
          .out = dxa});
    for (int64_t c = 0; c < l.half; ++c) {
      const float* through_network = dxa + c * plane.size + plane.lead;
      const float* direct = dy.sample(n) + c * x.pixels();
      float* out = dx.sample(n) + c * x.pixels();
      for (int64_t row = 0; row < plane.h; ++row) {
        for (int64_t i = 0; i < plane.w; ++i) {
          out[row * plane.w + i] = direct[row * plane.w + i] + through_network[row * plane.stride + i];
        }
      }
    }
  }
}

}  // namespace evenflow::kernels::cpu
#endif
