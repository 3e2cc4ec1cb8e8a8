// Tiles evaluated at Winograd's points (winograd_tiles.h). Included once per instruction set.
#if defined(EVENFLOW_KERNELS_CPU_WINOGRAD_TILES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENFLOW_KERNELS_CPU_WINOGRAD_TILES_INL_H
#undef EVENFLOW_KERNELS_CPU_WINOGRAD_TILES_INL_H
#else
#define EVENFLOW_KERNELS_CPU_WINOGRAD_TILES_INL_H
#endif

#include <algorithm>

#include <hwy/highway.h>

#include "kernels/cpu/conv.h"
#include "kernels/cpu/register_block-inl.h"
#include "kernels/cpu/winograd.h"
#include "kernels/cpu/winograd_tiles.h"

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using winograd::points, winograd::a, winograd::b, winograd::a2, winograd::b2, winograd::sum2, winograd::product2;
using winograd::TileShape;
using winograd::Transformed;

template <class D>
int64_t lanes_of(D d) {
  return static_cast<int64_t>(hn::Lanes(d));
}

/// Calls run(tag, shape) with the vectors that rows of this width fill best.
template <class Run>
void with_vectors_for(int64_t width, Run run) {
#if HWY_TARGET <= HWY_AVX3
  if (width % winograd::wide == 0) {
    return run(hn::CappedTag<float, winograd::wide>(), TileShape{width, winograd::wide});
  }
#endif
  run(hn::CappedTag<float, winograd::narrow>(), TileShape{width, winograd::narrow});
}

/// Zeroes the borders of so many channels.
template <class D>
void clear_borders(D d, const Transformed& u, int64_t channels) {
  for (int64_t k = 0; k < points; ++k) {
    for (int64_t c = 0; c < channels; ++c) {
      float* at = u.at(k, c) - u.border;
      for (int64_t t = 0; t <= u.tiles; ++t, at += u.row) {
        for (int64_t x = 0; x < u.border; x += lanes_of(d)) {
          hn::Store(hn::Zero(d), d, at + x);
        }
      }
    }
  }
}

/// Stores the values at the points from u on, zeros from pixel `count` on.
template <class D, class V>
HWY_INLINE void store_points(D d, const V* values, int64_t count, float* u, int64_t point) {
  if (count < lanes_of(d)) {
    const auto inside = hn::FirstN(d, static_cast<size_t>(std::max<int64_t>(0, count)));
    repeat<points>([&](auto k) EVENFLOW_BODY { hn::Store(hn::IfThenElseZero(inside, values[k]), d, u + k * point); });
  } else {
    repeat<points>([&](auto k) EVENFLOW_BODY { hn::Store(values[k], d, u + k * point); });
  }
}

/// Six rows of the input, evaluated: the transpose of interpolation at the six points. `in` points to the first tile.
template <class D>
void transform_input(D d, ChannelPlanes<const float> in, int64_t channels, int64_t stride, const Transformed& u) {
  using V = hn::Vec<D>;
  const V va = hn::Set(d, a), vb = hn::Set(d, b), va2 = hn::Set(d, a2), vb2 = hn::Set(d, b2);
  const V sum = hn::Set(d, sum2), product = hn::Set(d, product2);
  const int64_t width = u.width, filled = u.row - u.border, point = u.point;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t t = 0; t < u.tiles; ++t) {
      const float* row = in[c] + (winograd_rows * t - 1) * stride;
      float* out = u.at(0, c) + t * u.row;
      for (int64_t x = 0; x < filled; x += lanes_of(d)) {
        const V d0 = hn::LoadU(d, row + x), d1 = hn::LoadU(d, row + stride + x),
                d2 = hn::LoadU(d, row + 2 * stride + x);
        const V d3 = hn::LoadU(d, row + 3 * stride + x), d4 = hn::LoadU(d, row + 4 * stride + x);
        const V d5 = hn::LoadU(d, row + 5 * stride + x);
        const V even_a = hn::NegMulAdd(vb2, d2, d4), odd_a = hn::NegMulAdd(vb2, d1, d3);
        const V even_b = hn::NegMulAdd(va2, d2, d4), odd_b = hn::NegMulAdd(va2, d1, d3);
        const V values[points] = {hn::MulAdd(product, d0, hn::NegMulAdd(sum, d2, d4)),
                                  hn::MulAdd(va, odd_a, even_a),
                                  hn::NegMulAdd(va, odd_a, even_a),
                                  hn::MulAdd(vb, odd_b, even_b),
                                  hn::NegMulAdd(vb, odd_b, even_b),
                                  hn::MulAdd(product, d1, hn::NegMulAdd(sum, d3, d5))};
        store_points(d, values, width - x, out + x, point);
      }
    }
  }
}

/// Four rows of an output's gradient, evaluated at the points.
template <class D>
void transform_gradient(D d, ChannelPlanes<const float> dout, int64_t channels, int64_t stride, const Transformed& v) {
  using V = hn::Vec<D>;
  const V va = hn::Set(d, a), vb = hn::Set(d, b), va2 = hn::Set(d, a2), vb2 = hn::Set(d, b2);
  const int64_t width = v.width, filled = v.row - v.border, point = v.point;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t t = 0; t < v.tiles; ++t) {
      const float* row = dout[c] + winograd_rows * t * stride;
      float* out = v.at(0, c) + t * v.row;
      for (int64_t x = 0; x < filled; x += lanes_of(d)) {
        const V d0 = hn::LoadU(d, row + x), d1 = hn::LoadU(d, row + stride + x),
                d2 = hn::LoadU(d, row + 2 * stride + x);
        const V d3 = hn::LoadU(d, row + 3 * stride + x);
        const V even_a = hn::MulAdd(va2, d2, d0), odd_a = hn::MulAdd(va2, d3, d1);
        const V even_b = hn::MulAdd(vb2, d2, d0), odd_b = hn::MulAdd(vb2, d3, d1);
        const V values[points] = {d0,
                                  hn::MulAdd(va, odd_a, even_a),
                                  hn::NegMulAdd(va, odd_a, even_a),
                                  hn::MulAdd(vb, odd_b, even_b),
                                  hn::NegMulAdd(vb, odd_b, even_b),
                                  d3};
        store_points(d, values, width - x, out + x, point);
      }
    }
  }
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
