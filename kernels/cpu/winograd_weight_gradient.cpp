// The weight gradient of winograd.h.
#include <algorithm>

#include "kernels/cpu/winograd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd_weight_gradient.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include "kernels/cpu/winograd_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {

// The three rows of taps from the dot products at the points, for all columns and four outputs: [row][column][output].
HWY_INLINE void interpolate_taps(const float (*dots)[12], float* taps) {
  const hn::CappedTag<float, 4> d;
  const auto times = [&](float factor, auto value) HWY_ATTR { return hn::Mul(hn::Set(d, factor), value); };
  for (int64_t e = 0; e < 12; e += static_cast<int64_t>(hn::Lanes(d))) {
    const auto dot = [&](int k) HWY_ATTR { return hn::Load(d, dots[k] + e); };
    const auto even_a = times(1 / winograd::at_a, hn::Add(dot(1), dot(2))),
               odd_a = times(a / winograd::at_a, hn::Sub(dot(1), dot(2)));
    const auto even_b = times(1 / winograd::at_b, hn::Add(dot(3), dot(4))),
               odd_b = times(b / winograd::at_b, hn::Sub(dot(3), dot(4)));
    hn::Store(hn::MulAdd(hn::Set(d, 1 / winograd::at_0), dot(0), hn::Add(even_a, even_b)), d, taps + e);
    hn::Store(hn::Add(odd_a, odd_b), d, taps + 12 + e);
    hn::Store(hn::MulAdd(hn::Set(d, a2), even_a, hn::MulAdd(hn::Set(d, b2), even_b, dot(5))), d, taps + 24 + e);
  }
}

// dweight [output][9] += taps [9][4].
template <int kM>
HWY_INLINE void add_taps(const float* taps, float* dweight, int64_t row) {
#if HWY_TARGET == HWY_SCALAR
  for (int m = 0; m < kM; ++m) {
    for (int t = 0; t < 9; ++t) {
      dweight[m * row + t] += taps[4 * t + m];
    }
  }
#else
  const hn::FixedTag<float, 4> d;
  HWY_ALIGN float turned[2][4][4];
  for (int half = 0; half < 2; ++half) {
    const float* from = taps + 16 * half;
    hn::StoreInterleaved4(hn::Load(d, from), hn::Load(d, from + 4), hn::Load(d, from + 8), hn::Load(d, from + 12), d,
                          turned[half][0]);
  }
  for (int m = 0; m < kM; ++m, dweight += row) {
    hn::StoreU(hn::Add(hn::LoadU(d, dweight), hn::Load(d, turned[0][m])), d, dweight);
    hn::StoreU(hn::Add(hn::LoadU(d, dweight + 4), hn::Load(d, turned[1][m])), d, dweight + 4);
    dweight[8] += taps[32 + m];
  }
#endif
}

// Four outputs, of which kM count, by one input: dot products over the tiles at each point and column, then their
// interpolation to nine taps.
template <int kM, class D>
HWY_NOINLINE void weight_block(D d, const Transformed& v, const Transformed& u, int64_t output, int64_t input,
                               float* dweight, int64_t row) {
  using V = hn::Vec<D>;
  const int64_t step = lanes_of(d);
  const int64_t tiles = u.tiles, u_row = u.row, v_row = v.row, v_channel = v.channel;
  HWY_ALIGN float dots[points][12];
  for (int k = 0; k < points; ++k) {
    V sum[4][3];
    repeat<4>([&](auto m) EVENFLOW_BODY { repeat<3>([&](auto t) EVENFLOW_BODY { sum[m][t] = hn::Zero(d); }); });
    const float* x_row = u.at(k, input) - 1;
    const float* g = v.at(k, output);
    for (int64_t tile = 0; tile < tiles; ++tile, x_row += u_row) {
      for (const float* x = x_row; x < x_row + v_row; x += step, g += step) {
        V at[3];
        repeat<3>([&](auto t) EVENFLOW_BODY { at[t] = hn::LoadU(d, x + t); });
        repeat<kM>([&](auto m) EVENFLOW_BODY {
          V dout = hn::Load(d, g + m * v_channel);
          keep_in_register(dout);
          repeat<3>([&](auto t) EVENFLOW_BODY { sum[m][t] = hn::MulAdd(dout, at[t], sum[m][t]); });
        });
      }
    }
    repeat<3>([&](auto t)
                  EVENFLOW_BODY { sums_of_lanes(d, sum[0][t], sum[1][t], sum[2][t], sum[3][t], dots[k] + 4 * t); });
  }
  HWY_ALIGN float taps[36];
  interpolate_taps(dots, taps);
  add_taps<kM>(taps, dweight + output * row + input * 9, row);
}

template <class D>
void weight_blocks(D d, const Transformed& v, const Transformed& u, int64_t outputs, int64_t inputs, float* dweight,
                   int64_t row) {
  for (int64_t o = 0; o < outputs; o += 4) {
    for (int64_t i = 0; i < inputs; ++i) {
      switch (std::min<int64_t>(4, outputs - o)) {
        case 4:
          weight_block<4>(d, v, u, o, i, dweight, row);
          break;
        case 3:
          weight_block<3>(d, v, u, o, i, dweight, row);
          break;
        case 2:
          weight_block<2>(d, v, u, o, i, dweight, row);
          break;
        default:
          weight_block<1>(d, v, u, o, i, dweight, row);
      }
    }
  }
}

struct Maps {
  Transformed u, v;  // of the input, of dout
  bool by_input;
};

// The smaller of the two maps is evaluated as a whole, the larger a few channels at a time: used while in cache.
Maps maps_of(float* scratch, const TileShape& shape, int64_t tiles, int64_t inputs, int64_t outputs) {
  Maps maps{};
  maps.by_input = inputs >= outputs;
  maps.u = transformed(scratch, shape, tiles, maps.by_input ? 1 : inputs, true);
  maps.v = transformed(scratch + maps.u.size(), shape, tiles, maps.by_input ? outputs : 4, false);
  return maps;
}

template <class D>
void weight_gradient(D d, const TileShape& shape, const ConvWeightGradient& task, float* scratch) {
  const int64_t width = task.row_stride;
  const int64_t row = task.inputs * 9;
  const auto [u, v, by_input] =
      maps_of(scratch, shape, task.positions / (winograd_rows * width), task.inputs, task.outputs);
  clear_borders(d, u, by_input ? 1 : task.inputs);
  if (by_input) {
    transform_gradient(d, task.dout, task.outputs, width, v);
    for (int64_t i = 0; i < task.inputs; ++i) {
      transform_input(d, {task.in[i], task.in.stride}, 1, width, u);
      weight_blocks(d, v, u, task.outputs, 1, task.dweight + i * 9, row);
    }
    return;
  }
  transform_input(d, task.in, task.inputs, width, u);
  for (int64_t o = 0; o < task.outputs; o += 4) {
    const int64_t outputs = std::min<int64_t>(4, task.outputs - o);
    transform_gradient(d, {task.dout[o], task.dout.stride}, outputs, width, v);
    weight_blocks(d, v, u, outputs, task.inputs, task.dweight + o * row, row);
  }
}

void weight_gradient_simd(const ConvWeightGradient& task, float* scratch) {
  with_vectors_for(task.row_stride, [&](auto d, const TileShape& shape) { weight_gradient(d, shape, task, scratch); });
}

int64_t weight_gradient_scratch_floats(int64_t width, int64_t tiles, int64_t inputs, int64_t outputs) {
  int64_t floats = 0;
  with_vectors_for(width, [&](auto, const TileShape& shape) {
    const Maps maps = maps_of(nullptr, shape, tiles, inputs, outputs);
    floats = maps.u.size() + maps.v.size();
  });
  return floats;
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(weight_gradient_simd);
HWY_EXPORT(weight_gradient_scratch_floats);

int64_t winograd_weight_gradient_scratch_floats(int64_t w, int64_t rows, int64_t inputs, int64_t outputs) {
  return HWY_DYNAMIC_DISPATCH(weight_gradient_scratch_floats)(w, rows / winograd_rows, inputs, outputs);
}

void winograd_weight_gradient(const ConvWeightGradient& task, float* scratch) {
  HWY_DYNAMIC_DISPATCH(weight_gradient_simd)(task, scratch);
}

}  // namespace evenflow::kernels::cpu
#endif
