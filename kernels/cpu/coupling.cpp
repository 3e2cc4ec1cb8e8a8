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

// The first `count` lanes, zeros behind; nothing else is touched.
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const float* from, int64_t count) {
  HWY_ALIGN float lanes[hn::MaxLanes(d)] = {};
  std::memcpy(lanes, from, static_cast<size_t>(count) * sizeof(float));
  return hn::Load(d, lanes);
}
template <class D, class V>
HWY_INLINE void store(V v, D d, float* to, int64_t count) {
  HWY_ALIGN float lanes[hn::MaxLanes(d)];
  hn::Store(v, d, lanes);
  std::memcpy(to, lanes, static_cast<size_t>(count) * sizeof(float));
}

// The affine part of one pixel vector: g, and what its use needs beside it. NaN stays NaN: the library's exp, log and
// tanh do not see to that, and a broken weight must show.
template <CouplingKind kKind, class D, class V>
struct Gain;

// u = s + 2, e = exp(-|u|): g = (u >= 0 ? 1 : e) / (1 + e), log g = min(u, 0) - log(1 + e). Nothing overflows.
template <class D, class V>
struct Gain<CouplingKind::sigmoid, D, V> {
  V g, slope;  // slope = d log g / d s = 1 - g, without cancellation
  V linear, factor;
  HWY_INLINE Gain(D d, V s) {
    const V one = hn::Set(d, 1.0F);
    const V u = hn::Add(s, hn::Set(d, 2.0F));
    const V e = hn::IfThenElse(hn::IsNaN(s), s, hn::Exp(d, hn::Neg(hn::Abs(u))));
    const auto positive = hn::Ge(u, hn::Zero(d));
    factor = hn::Add(one, e);
    linear = hn::IfThenElse(positive, hn::Zero(d), u);
    const V inverse = hn::Div(one, factor);
    g = hn::Mul(hn::IfThenElse(positive, one, e), inverse);
    slope = hn::Mul(hn::IfThenElse(positive, e, one), inverse);
  }
};

// t = tanh(s / 2), log g = 2 t.
template <class D, class V>
struct Gain<CouplingKind::tanh, D, V> {
  V g, slope;
  V linear, factor;
  HWY_INLINE Gain(D d, V s) {
    const auto nan = hn::IsNaN(s);
    const V t = hn::IfThenElse(nan, s, hn::Tanh(d, hn::Mul(s, hn::Set(d, 0.5F))));
    linear = hn::Add(t, t);
    g = hn::IfThenElse(nan, s, hn::Exp(d, linear));
    slope = hn::NegMulAdd(t, t, hn::Set(d, 1.0F));
    factor = hn::Set(d, 1.0F);
  }
};

// Sum of log g = sum of `linear` - log of the product of `factor`: one logarithm for many pixels. A factor lies in
// (1, 2], so 64 of them stay below 2^64.
template <class D, class V>
class LogGainSum {
 public:
  HWY_INLINE explicit LogGainSum(D d) : d_(d), linear_(hn::Zero(d)), product_(hn::Set(d, 1.0F)) {}
  HWY_INLINE void add(V linear, V factor) {
    linear_ = hn::Add(linear_, linear);
    product_ = hn::Mul(product_, factor);
    if (++factors_ == 64) flush();
  }
  HWY_INLINE double total() {
    flush();
    return total_;
  }

 private:
  HWY_INLINE void flush() {
    // A NaN product comes with a NaN in linear_.
    total_ += hn::GetLane(hn::SumOfLanes(d_, hn::Sub(linear_, hn::Log(d_, product_))));
    linear_ = hn::Zero(d_);
    product_ = hn::Set(d_, 1.0F);
    factors_ = 0;
  }
  D d_;
  V linear_, product_;
  int factors_ = 0;
  double total_ = 0;
};

// Calls `whole(i)` for every vector of a row of `width` pixels, and `part(i, count)` for what is left.
template <class Whole, class Part>
HWY_INLINE void for_each_vector(int64_t width, int64_t step, Whole whole, Part part) {
  int64_t i = 0;
  for (; i + step <= width; i += step) whole(i);
  if (i < width) part(i, width - i);
}

// The affine part, row by row: maps of s and t are padded, x and y dense. What a row has over whole vectors goes
// through a vector of its own, filled up with zeros.
template <CouplingKind kKind>
double affine_forward_rows(const PaddedPlane& plane, const float* s, const float* t, const float* x, float* y) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t step = static_cast<int64_t>(hn::Lanes(d));
  LogGainSum<decltype(d), V> log_det(d);
  for (int64_t row = 0; row < plane.h; ++row) {
    for_each_vector(
        plane.w, step,
        [&](int64_t i) HWY_ATTR {
          const Gain<kKind, decltype(d), V> gain(d, hn::LoadU(d, s + i));
          hn::StoreU(hn::Mul(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, t + i)), gain.g), d, y + i);
          log_det.add(gain.linear, gain.factor);
        },
        [&](int64_t i, int64_t count) HWY_ATTR {
          const Gain<kKind, decltype(d), V> gain(d, load(d, s + i, count));
          store(hn::Mul(hn::Add(load(d, x + i, count), load(d, t + i, count)), gain.g), d, y + i, count);
          const auto inside = hn::FirstN(d, static_cast<size_t>(count));
          log_det.add(hn::IfThenElseZero(inside, gain.linear), hn::IfThenElse(inside, gain.factor, hn::Set(d, 1.0F)));
        });
    s += plane.stride;
    t += plane.stride;
    x += plane.w;
    y += plane.w;
  }
  return log_det.total();
}

template <CouplingKind kKind>
void affine_inverse_rows(const PaddedPlane& plane, const float* s, const float* t, const float* y, float* x) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t step = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t row = 0; row < plane.h; ++row) {
    for_each_vector(
        plane.w, step,
        [&](int64_t i) HWY_ATTR {
          const Gain<kKind, decltype(d), V> gain(d, hn::LoadU(d, s + i));
          hn::StoreU(hn::Sub(hn::Div(hn::LoadU(d, y + i), gain.g), hn::LoadU(d, t + i)), d, x + i);
        },
        [&](int64_t i, int64_t count) HWY_ATTR {
          const Gain<kKind, decltype(d), V> gain(d, load(d, s + i, count));
          store(hn::Sub(hn::Div(load(d, y + i, count), gain.g), load(d, t + i, count)), d, x + i, count);
        });
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
  using V = hn::Vec<decltype(d)>;
  const int64_t step = static_cast<int64_t>(hn::Lanes(d));
  gain_sums[0] = gain_sums[1] = 0;
  for (int64_t row = 0; row < plane.h; ++row) {
    V sum_s = hn::Zero(d);
    V sum_t = hn::Zero(d);
    V vds = sum_s;  // what `at` leaves beside dx_b
    const auto at = [&](V vs, V vt, V vx, V vdy) HWY_ATTR {
      const Gain<kKind, decltype(d), V> gain(d, vs);
      const V vdx = hn::Mul(vdy, gain.g);
      vds = hn::Mul(hn::MulAdd(vdx, hn::Add(vx, vt), hn::Set(d, log_det_gradient)), gain.slope);
      return vdx;
    };
    for_each_vector(
        plane.w, step,
        [&](int64_t i) HWY_ATTR {
          const V vs = hn::LoadU(d, s + i);
          const V vt = hn::LoadU(d, t + i);
          const V vdx = at(vs, vt, hn::LoadU(d, x + i), hn::LoadU(d, dy + i));
          sum_s = hn::MulAdd(vds, vs, sum_s);
          sum_t = hn::MulAdd(vdx, vt, sum_t);
          hn::StoreU(vdx, d, dx + i);
          hn::StoreU(hn::Mul(vds, hn::Set(d, gain_s)), d, ds + i);
          hn::StoreU(hn::Mul(vdx, hn::Set(d, gain_t)), d, dt + i);
        },
        [&](int64_t i, int64_t count) HWY_ATTR {
          const V vs = load(d, s + i, count);
          const V vt = load(d, t + i, count);
          const V vdx = at(vs, vt, load(d, x + i, count), load(d, dy + i, count));
          sum_s = hn::MulAdd(vds, vs, sum_s);  // s, t are zero beyond the row
          sum_t = hn::MulAdd(vdx, vt, sum_t);
          store(vdx, d, dx + i, count);
          store(hn::Mul(vds, hn::Set(d, gain_s)), d, ds + i, count);
          store(hn::Mul(vdx, hn::Set(d, gain_t)), d, dt + i, count);
        });
    gain_sums[0] += hn::GetLane(hn::SumOfLanes(d, sum_s));
    gain_sums[1] += hn::GetLane(hn::SumOfLanes(d, sum_t));
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
  int64_t conv1, conv2, conv3, conv1_back, conv2_back, conv3_back, bias1, bias2, bias3, gain, size;
};

// Where a window's maps lie in what forward keeps.
struct Saved {
  int64_t xa, h1, h2, h3, size;
};

// Where things lie in the workspace. Hidden maps are there a strip at a time; a strip that a 3x3 convolution reads has
// `history` positions of the strip before it in front: that convolution lags, and reaches a halo further back.
struct Scratch {
  int64_t xa, strip, lagged_strip, h3, size;
};

struct Layout {
  PaddedPlane plane;
  int64_t half, hidden, channels;
  int64_t strip;                          // positions of a strip in forward
  int64_t back;                           // and in backward
  int64_t lag;                            // how far behind a strip's end its 3x3 convolution stays
  int64_t history;                        // lag + halo
  int64_t scratch_strip, scratch_lagged;  // floats from channel to channel of a scratch strip
  Packed packed;
  Saved saved;
  Scratch scratch;
};

// Forward's strips of h1 and h2 share the first-level cache with weights; backward's, which end in reductions of their
// whole length, the second. Measured: docs/performance.md.
constexpr int64_t forward_strip = 192;
constexpr int64_t backward_strip = 720;

int64_t round_up(int64_t value, int64_t to) {
  return (value + to - 1) / to * to;
}

// About the size wished for, in strips of nearly one size.
int64_t strip_size(int64_t run, int64_t wish) {
  const int64_t strips = (run + wish - 1) / wish;
  return round_up((run + strips - 1) / strips, conv_unit);
}

// Takes pieces of one buffer, each from a cache line on.
class Pieces {
 public:
  int64_t take(int64_t floats) {
    const int64_t here = size_;
    size_ += round_up(floats, 16);
    return here;
  }
  int64_t size() const { return size_; }

 private:
  int64_t size_ = 0;
};

Layout layout(const CouplingShape& s) {
  Layout l{};
  l.plane = padded_plane(s.height, s.width);
  l.half = s.channels / 2;
  l.hidden = s.hidden;
  l.channels = s.channels;
  l.lag = round_up(l.plane.halo, conv_unit);
  l.history = l.lag + l.plane.halo;
  l.strip = strip_size(l.plane.run, forward_strip);
  l.back = strip_size(l.plane.run, backward_strip);
  const int64_t longest = std::max(l.strip, l.back);
  l.scratch_strip = longest + conv_overrun;
  l.scratch_lagged = round_up(l.history + longest + conv_overrun + l.plane.halo, 16);

  const int64_t conv1 = packed_weights_floats(l.half, l.hidden, 9);
  const int64_t conv2 = packed_weights_floats(l.hidden, l.hidden, 1);
  const int64_t conv3 = packed_weights_floats(l.hidden, l.channels, 9);
  Pieces packed;
  l.packed.conv1 = packed.take(conv1);
  l.packed.conv2 = packed.take(conv2);
  l.packed.conv3 = packed.take(conv3);
  l.packed.conv1_back = packed.take(conv1);
  l.packed.conv2_back = packed.take(conv2);
  l.packed.conv3_back = packed.take(conv3);
  l.packed.bias1 = packed.take(l.hidden);
  l.packed.bias2 = packed.take(l.hidden);
  l.packed.bias3 = packed.take(l.channels);
  l.packed.gain = packed.take(l.channels);
  l.packed.size = packed.size();
  Pieces saved;
  l.saved.xa = saved.take(l.half * l.plane.size);
  l.saved.h1 = saved.take(l.hidden * l.plane.size);
  l.saved.h2 = saved.take(l.hidden * l.plane.size);
  l.saved.h3 = saved.take(l.channels * l.plane.size);
  l.saved.size = saved.size();
  Pieces scratch;
  l.scratch.xa = scratch.take(l.half * l.plane.size);
  l.scratch.strip = scratch.take(l.hidden * l.scratch_strip);
  l.scratch.lagged_strip = scratch.take(l.hidden * l.scratch_lagged);
  l.scratch.h3 = scratch.take(l.channels * l.plane.size);
  l.scratch.size = scratch.size();
  return l;
}

void conv(Stream& stream, const char* name, const Conv& task) {
  const TraceRange range(stream, name);
  conv(task);
}

// Of a convolution's weights and bias.
void conv_gradients(Stream& stream, const char* name, const ConvWeightGradient& task, float* dbias) {
  const TraceRange range(stream, name);
  conv_weight_gradient(task);
  if (dbias != nullptr) conv_bias_gradient(task.dout, task.outputs, task.positions, dbias);
}

// A part of a map's run, [first, end), and the part of it, or of what came before, that a lagging convolution can do.
struct Strip {
  int64_t first, end, lagged_first, lagged_end;
  int64_t size() const { return end - first; }
  int64_t lagged_size() const { return lagged_end - lagged_first; }
};

template <class Work>
void for_each_strip(const Layout& l, int64_t size, Work work) {
  Strip strip{};
  for (; strip.first < l.plane.run; strip.first = strip.end) {
    strip.end = std::min(strip.first + size, l.plane.run);
    strip.lagged_first = strip.lagged_end;
    strip.lagged_end = strip.end == l.plane.run ? l.plane.run : std::max<int64_t>(0, strip.end - l.lag);
    work(strip);
  }
}

// Keeps the last `history` positions of a lagged strip that ended at `end` in front of the next one.
void keep_history(const Layout& l, Planes<float> strip, int64_t count) {
  for (int64_t c = 0; c < l.hidden; ++c) {
    std::memmove(strip[c] - l.history, strip[c] - l.history + count, static_cast<size_t>(l.history) * sizeof(float));
  }
}

void clear_history(const Layout& l, Planes<float> strip) {
  for (int64_t c = 0; c < l.hidden; ++c) std::fill_n(strip[c] - l.history, l.history, 0.0F);
}

// Zeroes what does not belong to the map: the column between rows, and, at the end of the run, a halo and what rounding
// up wrote. `planes` point to the strip's first position.
void clear_outside(const Layout& l, Planes<float> planes, const Strip& strip) {
  const int64_t stride = l.plane.stride;
  const int64_t first_gap = strip.first + (stride - 1 - strip.first % stride);
  const int64_t behind = round_up(strip.size(), conv_unit) - strip.size() + l.plane.halo;
  for (int64_t c = 0; c < l.hidden; ++c) {
    float* p = planes[c];
    for (int64_t gap = first_gap; gap < strip.end; gap += stride) p[gap - strip.first] = 0.0F;
    if (strip.end == l.plane.run) std::fill_n(p + strip.size(), behind, 0.0F);
  }
}

// The maps of one window on their way through the coupling network: whole and kept (training), or hidden ones a strip
// at a time.
struct Maps {
  float* xa;
  float* h1;  // null: not kept
  float* h2;
  float* h3;
};

// The coupling network on x's first half. A strip of h1 is consumed while it is in the first-level cache, and one of h2
// by the 3x3 convolution that follows a little behind.
void network(Stream& stream, const Layout& l, const float* x, const float* packed, const Maps& maps, float* workspace) {
  const PaddedPlane& plane = l.plane;
  for (int64_t c = 0; c < l.half; ++c) to_padded(plane, x + c * plane.h * plane.w, maps.xa + c * plane.size);
  const bool keep = maps.h1 != nullptr;
  const Planes<float> strip_h1{workspace + l.scratch.strip, l.scratch_strip};
  const Planes<float> strip_h2{workspace + l.scratch.lagged_strip + l.history, l.scratch_lagged};
  const Planes<float> whole_h1{keep ? maps.h1 + plane.lead : nullptr, plane.size};
  const Planes<float> whole_h2{keep ? maps.h2 + plane.lead : nullptr, plane.size};
  const Planes<const float> xa{maps.xa + plane.lead, plane.size};
  const Planes<float> h3{maps.h3 + plane.lead, plane.size};
  if (keep) {
    for (int64_t c = 0; c < l.hidden; ++c) std::fill_n(maps.h2 + c * plane.size, plane.lead, 0.0F);
  } else {
    clear_history(l, strip_h2);
  }
  for_each_strip(l, l.strip, [&](const Strip& strip) {
    const Planes<float> h1 = keep ? whole_h1.from(strip.first) : strip_h1;
    const Planes<float> h2 = keep ? whole_h2.from(strip.first) : strip_h2;
    conv(stream, "conv1",
         {.inputs = l.half,
          .outputs = l.hidden,
          .taps = 9,
          .epilogue = ConvEpilogue::relu,
          .row_stride = plane.stride,
          .positions = strip.size(),
          .in = xa.from(strip.first),
          .weights = packed + l.packed.conv1,
          .bias = packed + l.packed.bias1,
          .out = h1});
    conv(stream, "conv2",
         {.inputs = l.hidden,
          .outputs = l.hidden,
          .taps = 1,
          .epilogue = ConvEpilogue::relu,
          .positions = strip.size(),
          .in = h1,
          .weights = packed + l.packed.conv2,
          .bias = packed + l.packed.bias2,
          .out = h2});
    clear_outside(l, h2, strip);
    conv(stream, "conv3",
         {.inputs = l.hidden,
          .outputs = l.channels,
          .taps = 9,
          .epilogue = ConvEpilogue::scale,
          .row_stride = plane.stride,
          .positions = strip.lagged_size(),
          .in = h2.from(strip.lagged_first - strip.first),
          .weights = packed + l.packed.conv3,
          .bias = packed + l.packed.bias3,
          .scale = packed + l.packed.gain,
          .out = h3.from(strip.lagged_first)});
    if (!keep) keep_history(l, strip_h2, strip.size());
  });
}

Maps saved_maps(const Layout& l, float* saved) {
  return {saved + l.saved.xa, saved + l.saved.h1, saved + l.saved.h2, saved + l.saved.h3};
}

Maps scratch_maps(const Layout& l, float* workspace) {
  return {workspace + l.scratch.xa, nullptr, nullptr, workspace + l.scratch.h3};
}

}  // namespace

int64_t coupling_packed_floats(const CouplingShape& shape) {
  return layout(shape).packed.size;
}
int64_t coupling_saved_floats(const CouplingShape& shape) {
  return layout(shape).saved.size;
}
// One window is in hand at a time.
int64_t coupling_workspace_floats(const CouplingShape& shape) {
  return layout(shape).scratch.size;
}

void coupling_pack(const CouplingShape& shape, const CouplingParameters& p, float* packed) {
  const Layout l = layout(shape);
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
    const Maps maps = saved.size != 0 ? saved_maps(l, saved.data + n * l.saved.size) : scratch_maps(l, workspace);
    network(stream, l, x.sample(n), packed, maps, workspace);
    if (y.data != x.data) std::copy_n(x.sample(n), half_pixels, y.sample(n));
    const TraceRange range(stream, "affine");
    const float* h3 = maps.h3 + l.plane.lead;
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
  const Maps maps = scratch_maps(l, workspace);
  for (int64_t n = 0; n < y.n; ++n) {
    network(stream, l, y.sample(n), packed, maps, workspace);
    if (x.data != y.data) std::copy_n(y.sample(n), half_pixels, x.sample(n));
    const float* h3 = maps.h3 + l.plane.lead;
    for (int64_t c = 0; c < l.half; ++c) {
      const int64_t at = half_pixels + c * y.pixels();
      HWY_DYNAMIC_DISPATCH(affine_inverse)
      (shape.kind, l.plane, h3 + c * l.plane.size, h3 + (l.half + c) * l.plane.size, y.sample(n) + at,
       x.sample(n) + at);
    }
  }
}

namespace {

// Gradients of the coupling network from dh3 (whole, padded): each strip of h1 and h2 is read once, and the gradients
// of a strip's hidden maps feed all that needs them while they are in cache.
void network_backward(Stream& stream, const Layout& l, const float* packed, const float* saved,
                      const CouplingGradients& d, float* workspace) {
  const PaddedPlane& plane = l.plane;
  const Planes<const float> xa{saved + l.saved.xa + plane.lead, plane.size};
  const Planes<const float> saved_h1{saved + l.saved.h1 + plane.lead, plane.size};
  const Planes<const float> saved_h2{saved + l.saved.h2 + plane.lead, plane.size};
  const Planes<const float> dh3{workspace + l.scratch.h3 + plane.lead, plane.size};
  const Planes<float> dh2{workspace + l.scratch.strip, l.scratch_strip};
  const Planes<float> dh1{workspace + l.scratch.lagged_strip + l.history, l.scratch_lagged};
  const Planes<float> dxa{workspace + l.scratch.xa + plane.lead, plane.size};
  clear_history(l, dh1);
  for_each_strip(l, l.back, [&](const Strip& strip) {
    const Planes<const float> h1 = saved_h1.from(strip.first);
    const Planes<const float> h2 = saved_h2.from(strip.first);
    conv_gradients(stream, "conv3_weight_gradient",
                   {.inputs = l.hidden,
                    .outputs = l.channels,
                    .taps = 9,
                    .row_stride = plane.stride,
                    .positions = strip.size(),
                    .in = h2,
                    .dout = dh3.from(strip.first),
                    .dweight = d.conv3_weight.data},
                   nullptr);
    // The gates are zero on every padding position that counts, so the hidden gradients are too.
    conv(stream, "conv3_data_gradient",
         {.inputs = l.channels,
          .outputs = l.hidden,
          .taps = 9,
          .transposed = true,
          .epilogue = ConvEpilogue::gate,
          .row_stride = plane.stride,
          .positions = strip.size(),
          .in = dh3.from(strip.first),
          .weights = packed + l.packed.conv3_back,
          .gate = h2,
          .out = dh2});
    conv_gradients(stream, "conv2_weight_gradient",
                   {.inputs = l.hidden,
                    .outputs = l.hidden,
                    .taps = 1,
                    .positions = strip.size(),
                    .in = h1,
                    .dout = dh2,
                    .dweight = d.conv2_weight.data},
                   d.conv2_bias.data);
    conv(stream, "conv2_data_gradient",
         {.inputs = l.hidden,
          .outputs = l.hidden,
          .taps = 1,
          .transposed = true,
          .epilogue = ConvEpilogue::gate,
          .positions = strip.size(),
          .in = dh2,
          .weights = packed + l.packed.conv2_back,
          .gate = h1,
          .out = dh1});
    if (strip.end == plane.run) clear_outside(l, dh1, strip);
    conv_gradients(stream, "conv1_weight_gradient",
                   {.inputs = l.half,
                    .outputs = l.hidden,
                    .taps = 9,
                    .row_stride = plane.stride,
                    .positions = strip.size(),
                    .in = xa.from(strip.first),
                    .dout = dh1,
                    .dweight = d.conv1_weight.data},
                   d.conv1_bias.data);
    conv(stream, "conv1_data_gradient",
         {.inputs = l.hidden,
          .outputs = l.half,
          .taps = 9,
          .transposed = true,
          .epilogue = ConvEpilogue::scale,
          .row_stride = plane.stride,
          .positions = strip.lagged_size(),
          .in = dh1.from(strip.lagged_first - strip.first),
          .weights = packed + l.packed.conv1_back,
          .out = dxa.from(strip.lagged_first)});
    keep_history(l, dh1, strip.size());
  });
}

}  // namespace

void coupling_backward(Stream& stream, const CouplingShape& shape, ConstMap x, ConstMap dy, const float* packed,
                       const float* saved, double log_det_gradient, Map dx, const CouplingGradients& d,
                       float* workspace) {
  const Layout l = layout(shape);
  const PaddedPlane& plane = l.plane;
  const int64_t half_pixels = l.half * x.pixels();
  const float* gain = packed + l.packed.gain;
  float* dh3 = workspace + l.scratch.h3;
  for (int64_t n = 0; n < x.n; ++n) {
    const float* maps = saved + n * l.saved.size;
    const float* h3 = maps + l.saved.h3;
    {
      const TraceRange range(stream, "affine");
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
      for (int64_t c = 0; c < l.channels; ++c) clear_ends(plane, dh3 + c * plane.size);
      conv_bias_gradient({dh3 + plane.lead, plane.size}, l.channels, plane.run, d.conv3_bias.data);
    }
    network_backward(stream, l, packed, maps, d, workspace);
    const float* dxa = workspace + l.scratch.xa + plane.lead;
    for (int64_t c = 0; c < l.half; ++c) {
      const float* through_network = dxa + c * plane.size;
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
