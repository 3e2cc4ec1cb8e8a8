#include "kernels/cpu/affine.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/affine.cpp"
#include <hwy/foreach_target.h>

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "kernels/cpu/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

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
    if (++factors_ == 64) {
      flush();
    }
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
  for (; i + step <= width; i += step) {
    whole(i);
  }
  if (i < width) {
    part(i, width - i);
  }
}

// The affine part, row by row: maps of s and t are padded, x and y dense. What a row has over whole vectors goes
// through a vector of its own, filled up with zeros.
template <CouplingKind kKind, class D>
double affine_forward_rows(D d, const PaddedPlane& plane, const float* s, const float* t, const float* x, float* y) {
  using V = hn::Vec<D>;
  const int64_t step = static_cast<int64_t>(hn::Lanes(d));
  LogGainSum<D, V> log_det(d);
  for (int64_t row = 0; row < plane.h; ++row) {
    for_each_vector(
        plane.w, step,
        [&](int64_t i) HWY_ATTR {
          const Gain<kKind, D, V> gain(d, hn::LoadU(d, s + i));
          hn::StoreU(hn::Mul(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, t + i)), gain.g), d, y + i);
          log_det.add(gain.linear, gain.factor);
        },
        [&](int64_t i, int64_t count) HWY_ATTR {
          const Gain<kKind, D, V> gain(d, load_partial(d, s + i, count));
          store_partial(hn::Mul(hn::Add(load_partial(d, x + i, count), load_partial(d, t + i, count)), gain.g), d,
                        y + i, count);
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

template <CouplingKind kKind, class D>
void affine_inverse_rows(D d, const PaddedPlane& plane, const float* s, const float* t, const float* y, float* x) {
  using V = hn::Vec<D>;
  const int64_t step = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t row = 0; row < plane.h; ++row) {
    for_each_vector(
        plane.w, step,
        [&](int64_t i) HWY_ATTR {
          const Gain<kKind, D, V> gain(d, hn::LoadU(d, s + i));
          hn::StoreU(hn::Sub(hn::Div(hn::LoadU(d, y + i), gain.g), hn::LoadU(d, t + i)), d, x + i);
        },
        [&](int64_t i, int64_t count) HWY_ATTR {
          const Gain<kKind, D, V> gain(d, load_partial(d, s + i, count));
          store_partial(hn::Sub(hn::Div(load_partial(d, y + i, count), gain.g), load_partial(d, t + i, count)), d,
                        x + i, count);
        });
    s += plane.stride;
    t += plane.stride;
    x += plane.w;
    y += plane.w;
  }
}

template <CouplingKind kKind, class D>
AffineGainGradients affine_backward_rows(D d, const PaddedPlane& plane, AffineBackward task) {
  using V = hn::Vec<D>;
  const int64_t step = static_cast<int64_t>(hn::Lanes(d));
  AffineGainGradients sums;
  for (int64_t row = 0; row < plane.h; ++row) {
    V sum_s = hn::Zero(d);
    V sum_t = hn::Zero(d);
    V ds = sum_s;  // what `at` leaves beside dx
    const auto at = [&](V s, V t, V x, V dy) HWY_ATTR {
      const Gain<kKind, D, V> gain(d, s);
      const V dx = hn::Mul(dy, gain.g);
      ds = hn::Mul(hn::MulAdd(dx, hn::Add(x, t), hn::Set(d, task.log_det_gradient)), gain.slope);
      sum_s = hn::MulAdd(ds, s, sum_s);  // beyond a row s and t are zero
      sum_t = hn::MulAdd(dx, t, sum_t);
      return dx;
    };
    for_each_vector(
        plane.w, step,
        [&](int64_t i) HWY_ATTR {
          const V dx = at(hn::LoadU(d, task.s + i), hn::LoadU(d, task.t + i), hn::LoadU(d, task.x + i),
                          hn::LoadU(d, task.dy + i));
          hn::StoreU(dx, d, task.dx + i);
          hn::StoreU(hn::Mul(ds, hn::Set(d, task.gain_s)), d, task.ds + i);
          hn::StoreU(hn::Mul(dx, hn::Set(d, task.gain_t)), d, task.dt + i);
        },
        [&](int64_t i, int64_t count) HWY_ATTR {
          const V dx = at(load_partial(d, task.s + i, count), load_partial(d, task.t + i, count),
                          load_partial(d, task.x + i, count), load_partial(d, task.dy + i, count));
          store_partial(dx, d, task.dx + i, count);
          store_partial(hn::Mul(ds, hn::Set(d, task.gain_s)), d, task.ds + i, count);
          store_partial(hn::Mul(dx, hn::Set(d, task.gain_t)), d, task.dt + i, count);
        });
    sums.s += hn::GetLane(hn::SumOfLanes(d, sum_s));
    sums.t += hn::GetLane(hn::SumOfLanes(d, sum_t));
    std::fill(task.ds + plane.w, task.ds + plane.stride, 0.0F);  // the column between rows
    std::fill(task.dt + plane.w, task.dt + plane.stride, 0.0F);
    for (const float** p : {&task.s, &task.t}) {
      *p += plane.stride;
    }
    for (float** p : {&task.ds, &task.dt}) {
      *p += plane.stride;
    }
    for (const float** p : {&task.x, &task.dy}) {
      *p += plane.w;
    }
    task.dx += plane.w;
  }
  return sums;
}

// y = f(x, t), row by row, t padded.
template <class D, class Function>
HWY_INLINE void shift_rows_of(D d, const PaddedPlane& plane, const float* t, const float* x, float* y,
                              const Function& f) {
  for (int64_t row = 0; row < plane.h; ++row) {
    for_each_vector(
        plane.w, static_cast<int64_t>(hn::Lanes(d)),
        [&](int64_t i) HWY_ATTR { hn::StoreU(f(hn::LoadU(d, x + i), hn::LoadU(d, t + i)), d, y + i); },
        [&](int64_t i, int64_t count) HWY_ATTR {
          store_partial(f(load_partial(d, x + i, count), load_partial(d, t + i, count)), d, y + i, count);
        });
    t += plane.stride;
    x += plane.w;
    y += plane.w;
  }
}
template <class Function>
HWY_INLINE void shift_rows(const PaddedPlane& plane, const float* t, const float* x, float* y, const Function& f) {
  with_row_vectors(plane.w, [&](auto d) { shift_rows_of(d, plane, t, x, y, f); });
}

void shift_forward(const PaddedPlane& plane, const float* t, const float* x, float* y) {
  shift_rows(plane, t, x, y, [](auto a, auto b) HWY_ATTR { return hn::Add(a, b); });
}

void shift_inverse(const PaddedPlane& plane, const float* t, const float* y, float* x) {
  shift_rows(plane, t, y, x, [](auto a, auto b) HWY_ATTR { return hn::Sub(a, b); });
}

template <class D>
double shift_backward_rows(D d, const PaddedPlane& plane, const float* t, const float* dy, float gain, float* dt) {
  using V = hn::Vec<D>;
  const V scale = hn::Set(d, gain);
  double total = 0;
  for (int64_t row = 0; row < plane.h; ++row) {
    V sum = hn::Zero(d);
    for_each_vector(
        plane.w, static_cast<int64_t>(hn::Lanes(d)),
        [&](int64_t i) HWY_ATTR {
          const V g = hn::LoadU(d, dy + i);
          sum = hn::MulAdd(g, hn::LoadU(d, t + i), sum);
          hn::StoreU(hn::Mul(g, scale), d, dt + i);
        },
        [&](int64_t i, int64_t count) HWY_ATTR {
          const V g = load_partial(d, dy + i, count);
          sum = hn::MulAdd(g, load_partial(d, t + i, count), sum);
          store_partial(hn::Mul(g, scale), d, dt + i, count);
        });
    total += hn::GetLane(hn::SumOfLanes(d, sum));
    std::fill(dt + plane.w, dt + plane.stride, 0.0F);  // the column between rows
    t += plane.stride;
    dt += plane.stride;
    dy += plane.w;
  }
  return total;
}

double shift_backward(const PaddedPlane& plane, const float* t, const float* dy, float gain, float* dt) {
  return with_row_vectors(plane.w, [&](auto d) { return shift_backward_rows(d, plane, t, dy, gain, dt); });
}

double affine_forward(CouplingKind kind, const PaddedPlane& plane, const float* s, const float* t, const float* x,
                      float* y) {
  return with_row_vectors(plane.w, [&](auto d) {
    return kind == CouplingKind::sigmoid ? affine_forward_rows<CouplingKind::sigmoid>(d, plane, s, t, x, y)
                                         : affine_forward_rows<CouplingKind::tanh>(d, plane, s, t, x, y);
  });
}

void affine_inverse(CouplingKind kind, const PaddedPlane& plane, const float* s, const float* t, const float* y,
                    float* x) {
  with_row_vectors(plane.w, [&](auto d) {
    kind == CouplingKind::sigmoid ? affine_inverse_rows<CouplingKind::sigmoid>(d, plane, s, t, y, x)
                                  : affine_inverse_rows<CouplingKind::tanh>(d, plane, s, t, y, x);
  });
}

AffineGainGradients affine_backward(CouplingKind kind, const PaddedPlane& plane, const AffineBackward& task) {
  return with_row_vectors(plane.w, [&](auto d) {
    return kind == CouplingKind::sigmoid ? affine_backward_rows<CouplingKind::sigmoid>(d, plane, task)
                                         : affine_backward_rows<CouplingKind::tanh>(d, plane, task);
  });
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(affine_forward);
HWY_EXPORT(affine_inverse);
HWY_EXPORT(affine_backward);
HWY_EXPORT(shift_forward);
HWY_EXPORT(shift_inverse);
HWY_EXPORT(shift_backward);

double affine_forward(CouplingKind kind, const PaddedPlane& plane, const float* s, const float* t, const float* x,
                      float* y) {
  return HWY_DYNAMIC_DISPATCH(affine_forward)(kind, plane, s, t, x, y);
}

void affine_inverse(CouplingKind kind, const PaddedPlane& plane, const float* s, const float* t, const float* y,
                    float* x) {
  HWY_DYNAMIC_DISPATCH(affine_inverse)(kind, plane, s, t, y, x);
}

AffineGainGradients affine_backward(CouplingKind kind, const PaddedPlane& plane, const AffineBackward& task) {
  return HWY_DYNAMIC_DISPATCH(affine_backward)(kind, plane, task);
}

void shift_forward(const PaddedPlane& plane, const float* t, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(shift_forward)(plane, t, x, y);
}

void shift_inverse(const PaddedPlane& plane, const float* t, const float* y, float* x) {
  HWY_DYNAMIC_DISPATCH(shift_inverse)(plane, t, y, x);
}

double shift_backward(const PaddedPlane& plane, const float* t, const float* dy, float gain, float* dt) {
  return HWY_DYNAMIC_DISPATCH(shift_backward)(plane, t, dy, gain, dt);
}

}  // namespace evenflow::kernels::cpu
#endif
