#include "kernels/cpu/winograd.h"

#include <algorithm>
#include <array>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include "kernels/cpu/register_block-inl.h"

namespace evenflow::kernels::cpu {
#ifndef EVENFLOW_WINOGRAD_POINTS
#define EVENFLOW_WINOGRAD_POINTS
namespace {
constexpr int points = 6;
// The points' magnitudes, their squares, and the coefficients of (x^2 - a^2)(x^2 - b^2): exact in float32.
constexpr float a = 0.625F, b = 1.5F;
constexpr float a2 = a * a, b2 = b * b;
constexpr float sum2 = a2 + b2, product2 = a2 * b2;
// Lagrange's denominators at 0, +-a and +-b.
constexpr float at_0 = product2;
constexpr float at_a = 2.0F * a2 * (a2 - b2);
constexpr float at_b = 2.0F * b2 * (b2 - a2);

constexpr int64_t vector = 8;  // floats: a row of the paper's third block

int64_t whole_vectors(int64_t floats) {
  return (floats + vector - 1) / vector * vector;
}

// Some tiles of some channels, evaluated at the points, from a cache line on: of point k and channel c, tile t's row of
// `width` values from at(k, c) + t * row on. An input's rows have a vector of zeros before, between and behind, for the
// columns' taps to reach into; a gradient's follow one another. A row is filled up with zeros to whole vectors.
struct Transformed {
  float* data;
  int64_t width, tiles;
  int64_t border;               // zeros before, between and behind rows
  int64_t row, channel, point;  // floats from one to the next
  float* at(int64_t k, int64_t c) const { return data + k * point + c * channel + border; }
  int64_t size() const { return points * point; }
};

Transformed transformed(float* data, int64_t width, int64_t tiles, int64_t channels, int64_t border) {
  Transformed u{};
  u.data = data;
  u.width = width;
  u.tiles = tiles;
  u.border = border;
  u.row = whole_vectors(width) + border;
  u.channel = border + tiles * u.row;
  u.point = channels * u.channel + 3 * vector;  // six streams are written at once: not to the same cache sets
  return u;
}

// Of a convolution: as many tiles as fill a register block's vectors, at least one, and as many inputs' as fill half of
// the first-level cache.
constexpr int64_t block_vectors = 4;
constexpr int64_t transformed_budget = 7000;  // floats

int64_t tiles_at_once(int64_t width) {
  return std::max<int64_t>(1, block_vectors * vector / whole_vectors(width));
}

int64_t inputs_at_once(int64_t width, int64_t inputs, int64_t outputs) {
  const int64_t of_one = transformed(nullptr, width, tiles_at_once(width), 1, vector).channel * points;
  const int64_t budget = 4 * outputs <= inputs ? transformed_budget : 2 * transformed_budget;
  const int64_t calls = (inputs * of_one + budget - 1) / budget;
  return (inputs + calls - 1) / calls;
}

// Floats of the products of so many outputs with a block's tiles.
int64_t product_floats(int64_t width, int64_t outputs) {
  return outputs * points * tiles_at_once(width) * whole_vectors(width);
}
}  // namespace
#endif
}  // namespace evenflow::kernels::cpu

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
// A row of the third block has eight pixels: wider vectors would be half empty.
using D = hn::CappedTag<float, vector>;
using V = hn::Vec<D>;

// Outputs of a register block: with four vectors of a row as many sums as registers allow.
#if HWY_TARGET <= HWY_AVX3  // 32 registers
constexpr int block_outputs = 4;
#else
constexpr int block_outputs = 3;
#endif

inline int64_t lanes() {
  return static_cast<int64_t>(hn::Lanes(D()));
}

void clear_borders(const Transformed& u, int64_t channels) {
  const D d;
  for (int64_t k = 0; k < points; ++k) {
    for (int64_t c = 0; c < channels; ++c) {
      float* at = u.at(k, c) - u.border;
      for (int64_t t = 0; t <= u.tiles; ++t, at += u.row) {
        for (int64_t x = 0; x < u.border; x += lanes()) {
          hn::Store(hn::Zero(d), d, at + x);
        }
      }
    }
  }
}

// Stores the values at the points from u on, zeros from pixel `count` on.
HWY_INLINE void store_points(const V* values, int64_t count, float* u, int64_t point) {
  const D d;
  if (count < lanes()) {
    const auto inside = hn::FirstN(d, static_cast<size_t>(std::max<int64_t>(0, count)));
    repeat<points>([&](auto k) EVENFLOW_BODY { hn::Store(hn::IfThenElseZero(inside, values[k]), d, u + k * point); });
  } else {
    repeat<points>([&](auto k) EVENFLOW_BODY { hn::Store(values[k], d, u + k * point); });
  }
}

// Six rows of the input, evaluated: the transpose of interpolation at the six points. `in` points to the first tile.
void transform_input(ChannelPlanes<const float> in, int64_t channels, int64_t stride, const Transformed& u) {
  const D d;
  const V va = hn::Set(d, a), vb = hn::Set(d, b), va2 = hn::Set(d, a2), vb2 = hn::Set(d, b2);
  const V sum = hn::Set(d, sum2), product = hn::Set(d, product2);
  const int64_t width = u.width, point = u.point;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t t = 0; t < u.tiles; ++t) {
      const float* row = in[c] + (winograd_rows * t - 1) * stride;
      float* out = u.at(0, c) + t * u.row;
      for (int64_t x = 0; x < whole_vectors(width); x += lanes()) {
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
        store_points(values, width - x, out + x, point);
      }
    }
  }
}

// Four rows of an output's gradient, evaluated at the points.
void transform_gradient(ChannelPlanes<const float> dout, int64_t channels, int64_t stride, const Transformed& v) {
  const D d;
  const V va = hn::Set(d, a), vb = hn::Set(d, b), va2 = hn::Set(d, a2), vb2 = hn::Set(d, b2);
  const int64_t width = v.width, point = v.point;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t t = 0; t < v.tiles; ++t) {
      const float* row = dout[c] + winograd_rows * t * stride;
      float* out = v.at(0, c) + t * v.row;
      for (int64_t x = 0; x < whole_vectors(width); x += lanes()) {
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
        store_points(values, width - x, out + x, point);
      }
    }
  }
}

// Outputs come in groups of block_outputs, the rest in pairs, the last alone; never alone where two pairs do.
inline int64_t outputs_in_blocks(int64_t outputs) {
  const int64_t rest = outputs % block_outputs;
  return outputs - rest - (block_outputs == 3 && rest == 1 && outputs > 1 ? block_outputs : 0);
}

inline int64_t next_group(int64_t first, int64_t outputs) {
  if (first < outputs_in_blocks(outputs)) {
    return block_outputs;
  }
  return std::min<int64_t>(2, outputs - first);
}

// Three taps of a column, evaluated at the points, over Lagrange's denominators.
std::array<double, points> evaluated(double w0, double w1, double w2) {
  const double even_a = w0 + a2 * w2, even_b = w0 + b2 * w2;
  return {
      w0 / at_0, (even_a + a * w1) / at_a, (even_a - a * w1) / at_a, (even_b + b * w1) / at_b, (even_b - b * w1) / at_b,
      w2};
}

// Groups of outputs: [point][input][column][output of the group].
void pack_weights(const float* weight, int64_t inputs, int64_t outputs, bool transposed, float* packed) {
  const int64_t our_outputs = transposed ? inputs : outputs;
  const int64_t our_inputs = transposed ? outputs : inputs;
  for (int64_t first = 0, group = 0; first < our_outputs; first += group) {
    group = next_group(first, our_outputs);
    const int64_t from_point_to_point = our_inputs * 3 * group;
    for (int64_t i = 0; i < our_inputs; ++i) {
      for (int64_t column = 0; column < 3; ++column) {
        for (int64_t m = 0; m < group; ++m) {
          const int64_t o = first + m;
          const float* taps = weight + (transposed ? i * inputs + o : o * inputs + i) * 9;
          const int64_t t = transposed ? 2 - column : column;
          const std::array<double, points> values =
              transposed ? evaluated(taps[6 + t], taps[3 + t], taps[t]) : evaluated(taps[t], taps[3 + t], taps[6 + t]);
          for (size_t k = 0; k < points; ++k) {
            packed[static_cast<int64_t>(k) * from_point_to_point + (i * 3 + column) * group + m] =
                static_cast<float>(values[k]);
          }
        }
      }
    }
    packed += points * from_point_to_point;
  }
}

// Up to block_vectors vectors of a band of tiles.
struct Vectors {
  int64_t count;
  int64_t transformed[block_vectors];  // where each lies in a band's evaluated rows
  int64_t position[block_vectors];     // and in a map, its tile's first row
  int64_t pixels[block_vectors];       // of it that belong to the row
};

// A group of outputs by some vectors and some of the inputs.
struct Block {
  const Conv& task;
  const Transformed& u;
  const Vectors& vectors;
  int64_t first_input, inputs;
  int64_t first_output;  // of the group
  const float* weights;  // of the group
  float* products;       // [point][output][vector]: of the inputs before, or room for them
};

// Adds the products at each point.
template <int kM, int kN>
HWY_NOINLINE void multiply(const Block& block) {
  const D d;
  const int64_t step = lanes();
  const int64_t inputs = block.inputs, channel = block.u.channel;
  float* products = block.products;
  int64_t offset[kN];
  repeat<kN>([&](auto n) EVENFLOW_BODY { offset[n] = block.vectors.transformed[n] - 1; });
  for (int k = 0; k < points; ++k) {
    V sum[kM][kN];
    if (block.first_input == 0) {
      repeat<kM>([&](auto m) EVENFLOW_BODY { repeat<kN>([&](auto n) EVENFLOW_BODY { sum[m][n] = hn::Zero(d); }); });
    } else {
      repeat<kM>([&](auto m) EVENFLOW_BODY {
        repeat<kN>([&](auto n) EVENFLOW_BODY { sum[m][n] = hn::Load(d, products + (m * kN + n) * step); });
      });
    }
    const float* at = block.u.at(k, 0);
    const float* weights = block.weights + (k * block.task.inputs + block.first_input) * 3 * kM;
    for (int64_t i = 0; i < inputs; ++i, at += channel) {
#pragma GCC unroll 3
      for (int t = 0; t < 3; ++t, weights += kM) {
        // One operand set stays in registers, the other is loaded on the way.
        if constexpr (kM == 3) {
          V w[kM];
          repeat<kM>([&](auto m) EVENFLOW_BODY { w[m] = hn::Set(d, weights[m]); });
          repeat<kN>([&](auto n) EVENFLOW_BODY {
            const V x = hn::LoadU(d, at + offset[n] + t);
            repeat<kM>([&](auto m) EVENFLOW_BODY { sum[m][n] = hn::MulAdd(w[m], x, sum[m][n]); });
          });
        } else {
          V x[kN];
          repeat<kN>([&](auto n) EVENFLOW_BODY {
            x[n] = hn::LoadU(d, at + offset[n] + t);
            keep_in_register(x[n]);
          });
          repeat<kM>([&](auto m) EVENFLOW_BODY {
            const V w = hn::Set(d, weights[m]);
            repeat<kN>([&](auto n) EVENFLOW_BODY { sum[m][n] = hn::MulAdd(w, x[n], sum[m][n]); });
          });
        }
      }
    }
    repeat<kM>([&](auto m) EVENFLOW_BODY {
      repeat<kN>([&](auto n) EVENFLOW_BODY { hn::Store(sum[m][n], d, products + (m * kN + n) * step); });
    });
    products += kM * kN * step;
  }
}

template <ConvEpilogue kEpilogue, class V>
HWY_INLINE V finish(V value, V scale, const float* gate) {
  const D d;
  if constexpr (kEpilogue == ConvEpilogue::scale) {
    return hn::Mul(value, scale);
  } else if constexpr (kEpilogue == ConvEpilogue::relu) {
    return hn::IfThenZeroElse(hn::Lt(value, hn::Zero(d)), value);  // not Max, which may lose a NaN
  } else {
    return hn::IfThenElseZero(hn::Gt(hn::LoadU(d, gate), hn::Zero(d)), value);
  }
}

// Four rows of an output from its products: interpolation, and what the task wants done with it. With kWhole all
// vectors belong to their rows as a whole.
template <int kM, int kN, ConvEpilogue kEpilogue, bool kWhole>
HWY_NOINLINE void interpolate(const Block& block) {
  const D d;
  const int64_t step = lanes();
  const Conv task = block.task;  // copies: no store changes them
  const Vectors vectors = block.vectors;
  const float* const products = block.products;
  const V va = hn::Set(d, a), va2 = hn::Set(d, a2), va3 = hn::Set(d, a * a2);
  const V vb = hn::Set(d, b), vb2 = hn::Set(d, b2), vb3 = hn::Set(d, b * b2);
  for (int m = 0; m < kM; ++m) {
    const int64_t output = block.first_output + m;
    const V bias = hn::Set(d, task.bias != nullptr ? task.bias[output] : 0.0F);
    const V scale = hn::Set(d, kEpilogue == ConvEpilogue::scale && task.scale != nullptr ? task.scale[output] : 1.0F);
    float* const out_plane = task.out[output];
    const float* const gate_plane = kEpilogue == ConvEpilogue::gate ? task.gate[output] : nullptr;
    for (int n = 0; n < kN; ++n) {
      const float* from = products + (m * kN + n) * step;
      const int64_t point = kM * kN * step;
      const V at_0 = hn::Load(d, from), at_infinity = hn::Load(d, from + 5 * point);
      const V a_plus = hn::Load(d, from + point), a_minus = hn::Load(d, from + 2 * point);
      const V b_plus = hn::Load(d, from + 3 * point), b_minus = hn::Load(d, from + 4 * point);
      const V even_a = hn::Add(a_plus, a_minus), odd_a = hn::Sub(a_plus, a_minus);
      const V even_b = hn::Add(b_plus, b_minus), odd_b = hn::Sub(b_plus, b_minus);
      const V rows[winograd_rows] = {
          hn::Add(hn::Add(at_0, bias), hn::Add(even_a, even_b)),
          hn::MulAdd(va, odd_a, hn::MulAdd(vb, odd_b, bias)),
          hn::MulAdd(va2, even_a, hn::MulAdd(vb2, even_b, bias)),
          hn::MulAdd(va3, odd_a, hn::MulAdd(vb3, odd_b, hn::Add(at_infinity, bias))),
      };
      float* out = out_plane + vectors.position[n];
      const float* gate = kEpilogue == ConvEpilogue::gate ? gate_plane + vectors.position[n] : nullptr;
      repeat<winograd_rows>([&](auto r) EVENFLOW_BODY {
        V value = finish<kEpilogue>(rows[r], scale, gate + r * task.row_stride);
        float* to = out + r * task.row_stride;
        if constexpr (!kWhole) {
          value = hn::IfThenElse(hn::FirstN(d, static_cast<size_t>(vectors.pixels[n])), value, hn::LoadU(d, to));
        }
        hn::StoreU(value, d, to);
      });
    }
  }
}

template <int kM, int kN, ConvEpilogue kEpilogue>
void interpolate(const Block& block) {
  const int64_t* pixels = block.vectors.pixels;
  if (std::all_of(pixels, pixels + kN, [](int64_t count) { return count == lanes(); })) {
    interpolate<kM, kN, kEpilogue, true>(block);
  } else {
    interpolate<kM, kN, kEpilogue, false>(block);
  }
}

template <int kM, int kN>
void group(const Block& block) {
  multiply<kM, kN>(block);
  if (block.first_input + block.inputs < block.task.inputs) {
    return;
  }
  switch (block.task.epilogue) {
    case ConvEpilogue::scale:
      return interpolate<kM, kN, ConvEpilogue::scale>(block);
    case ConvEpilogue::relu:
      return interpolate<kM, kN, ConvEpilogue::relu>(block);
    case ConvEpilogue::gate:
      return interpolate<kM, kN, ConvEpilogue::gate>(block);
  }
}

template <int kN>
void group_of(int64_t outputs, const Block& block) {
  if (outputs == block_outputs) {
    group<block_outputs, kN>(block);
  } else if (outputs == 2) {
    group<2, kN>(block);
  } else {
    group<1, kN>(block);
  }
}

// All outputs, group by group. Where one call has all inputs, a group's products are used up before the next group's.
void all_outputs(Block block) {
  const Conv& task = block.task;
  const bool keep = block.inputs < task.inputs;
  for (int64_t outputs = 0; block.first_output < task.outputs; block.first_output += outputs) {
    outputs = next_group(block.first_output, task.outputs);
    switch (block.vectors.count) {
      case 4:
        group_of<4>(outputs, block);
        break;
      case 2:
        group_of<2>(outputs, block);
        break;
      default:
        group_of<1>(outputs, block);
    }
    block.weights += outputs * task.inputs * points * 3;
    block.products += keep ? outputs * points * block.vectors.count * lanes() : 0;
  }
}

// The next vectors of a band of tiles that starts at tile `first`: four, two or one.
Vectors next_vectors(const Transformed& u, int64_t first, int64_t row_stride, int64_t done) {
  const int64_t of_row = (u.width + lanes() - 1) / lanes();
  const int64_t left = u.tiles * of_row - done;
  Vectors vectors{};
  vectors.count = left >= block_vectors ? block_vectors : std::min<int64_t>(left, 2);
  for (int64_t n = 0; n < vectors.count; ++n) {
    const int64_t tile = (done + n) / of_row;
    const int64_t x = (done + n) % of_row * lanes();
    vectors.transformed[n] = tile * u.row + x;
    vectors.position[n] = winograd_rows * (first + tile) * row_stride + x;
    vectors.pixels[n] = std::min<int64_t>(lanes(), u.width - x);
  }
  return vectors;
}

void conv_simd(const Conv& task, float* scratch) {
  const int64_t width = task.row_stride;
  const int64_t all_tiles = task.positions / (winograd_rows * width);
  const int64_t at_once = inputs_at_once(width, task.inputs, task.outputs);
  Transformed u = transformed(scratch, width, tiles_at_once(width), at_once, vector);
  float* const products = scratch + u.size();
  clear_borders(u, at_once);
  for (int64_t tile = 0; tile < all_tiles; tile += u.tiles) {
    u.tiles = std::min(u.tiles, all_tiles - tile);
    const int64_t vectors_in_all = u.tiles * ((width + lanes() - 1) / lanes());
    for (int64_t i = 0; i < task.inputs; i += at_once) {
      const int64_t inputs = std::min(at_once, task.inputs - i);
      transform_input({task.in[i] + winograd_rows * tile * width, task.in.stride}, inputs, width, u);
      Vectors vectors{};
      for (int64_t done = 0; done < vectors_in_all; done += vectors.count) {
        vectors = next_vectors(u, tile, width, done);
        all_outputs({.task = task,
                     .u = u,
                     .vectors = vectors,
                     .first_input = i,
                     .inputs = inputs,
                     .first_output = 0,
                     .weights = task.weights,
                     .products = products + done * lanes() * points * task.outputs});
      }
    }
  }
}

// The three rows of taps from the dot products at the points, for all columns and four outputs: [row][column][output].
HWY_INLINE void interpolate_taps(const float (*dots)[12], float* taps) {
  const hn::CappedTag<float, 4> d;
  const auto times = [&](float factor, auto value) HWY_ATTR { return hn::Mul(hn::Set(d, factor), value); };
  for (int64_t e = 0; e < 12; e += static_cast<int64_t>(hn::Lanes(d))) {
    const auto dot = [&](int k) HWY_ATTR { return hn::Load(d, dots[k] + e); };
    const auto even_a = times(1 / at_a, hn::Add(dot(1), dot(2))), odd_a = times(a / at_a, hn::Sub(dot(1), dot(2)));
    const auto even_b = times(1 / at_b, hn::Add(dot(3), dot(4))), odd_b = times(b / at_b, hn::Sub(dot(3), dot(4)));
    hn::Store(hn::MulAdd(hn::Set(d, 1 / at_0), dot(0), hn::Add(even_a, even_b)), d, taps + e);
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
template <int kM>
HWY_NOINLINE void weight_block(const Transformed& v, const Transformed& u, int64_t output, int64_t input,
                               float* dweight, int64_t row) {
  const D d;
  const int64_t step = lanes();
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
          const V dout = hn::Load(d, g + m * v_channel);
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

void weight_blocks(const Transformed& v, const Transformed& u, int64_t outputs, int64_t inputs, float* dweight,
                   int64_t row) {
  for (int64_t o = 0; o < outputs; o += 4) {
    for (int64_t i = 0; i < inputs; ++i) {
      switch (std::min<int64_t>(4, outputs - o)) {
        case 4:
          weight_block<4>(v, u, o, i, dweight, row);
          break;
        case 3:
          weight_block<3>(v, u, o, i, dweight, row);
          break;
        case 2:
          weight_block<2>(v, u, o, i, dweight, row);
          break;
        default:
          weight_block<1>(v, u, o, i, dweight, row);
      }
    }
  }
}

// The smaller of the two maps is evaluated as a whole, the larger a few channels at a time: used while in cache.
void weight_gradient_simd(const ConvWeightGradient& task, float* scratch) {
  const int64_t width = task.row_stride;
  const int64_t tiles = task.positions / (winograd_rows * width);
  const int64_t row = task.inputs * 9;
  const bool by_input = task.inputs >= task.outputs;
  const Transformed u = transformed(scratch, width, tiles, by_input ? 1 : task.inputs, vector);
  const Transformed v = transformed(scratch + u.size(), width, tiles, by_input ? task.outputs : 4, 0);
  clear_borders(u, by_input ? 1 : task.inputs);
  if (by_input) {
    transform_gradient(task.dout, task.outputs, width, v);
    for (int64_t i = 0; i < task.inputs; ++i) {
      transform_input({task.in[i], task.in.stride}, 1, width, u);
      weight_blocks(v, u, task.outputs, 1, task.dweight + i * 9, row);
    }
    return;
  }
  transform_input(task.in, task.inputs, width, u);
  for (int64_t o = 0; o < task.outputs; o += 4) {
    const int64_t outputs = std::min<int64_t>(4, task.outputs - o);
    transform_gradient({task.dout[o], task.dout.stride}, outputs, width, v);
    weight_blocks(v, u, outputs, task.inputs, task.dweight + o * row, row);
  }
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(conv_simd);
HWY_EXPORT(pack_weights);
HWY_EXPORT(weight_gradient_simd);

bool winograd_serves(int64_t h, int64_t w) {
  return h % winograd_rows == 0 && 4 * w >= 3 * whole_vectors(w);
}

int64_t winograd_weights_floats(int64_t inputs, int64_t outputs) {
  return points * 3 * inputs * outputs;
}

void winograd_pack_weights(const float* weight, int64_t inputs, int64_t outputs, bool transposed, float* packed) {
  HWY_DYNAMIC_DISPATCH(pack_weights)(weight, inputs, outputs, transposed, packed);
}

int64_t winograd_conv_scratch_floats(int64_t w, int64_t inputs, int64_t outputs) {
  return transformed(nullptr, w, tiles_at_once(w), inputs_at_once(w, inputs, outputs), vector).size() +
         product_floats(w, outputs);
}

int64_t winograd_weight_gradient_scratch_floats(int64_t w, int64_t rows, int64_t inputs, int64_t outputs) {
  const int64_t tiles = rows / winograd_rows;
  const bool by_input = inputs >= outputs;
  return transformed(nullptr, w, tiles, by_input ? 1 : inputs, vector).size() +
         transformed(nullptr, w, tiles, by_input ? outputs : 4, 0).size();
}

void winograd_conv(const Conv& task, float* scratch) {
  HWY_DYNAMIC_DISPATCH(conv_simd)(task, scratch);
}

void winograd_weight_gradient(const ConvWeightGradient& task, float* scratch) {
  HWY_DYNAMIC_DISPATCH(weight_gradient_simd)(task, scratch);
}

}  // namespace evenflow::kernels::cpu
#endif
