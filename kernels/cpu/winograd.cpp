#include "kernels/cpu/winograd.h"

#include <algorithm>
#include <array>

#include "kernels/cpu/winograd_tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

#include "kernels/cpu/conv_epilogue-inl.h"
#include "kernels/cpu/winograd_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {

// A register block: as many outputs by four vectors as there are registers for sums.
#if HWY_TARGET <= HWY_AVX3  // 32 registers
constexpr int block_outputs = 4;
#else
constexpr int block_outputs = 3;
#endif
constexpr int64_t block_vectors = 4;

// Of inputs evaluated at once, in floats: about the first-level cache. Many outputs' products cost more to keep from
// some inputs to the next than the cache gains.
constexpr int64_t transformed_budget = 7000;

// As many as fill a register block's vectors, at least one.
int64_t tiles_at_once(const TileShape& shape) {
  return std::max<int64_t>(1, block_vectors * shape.vector / winograd::whole_vectors(shape.width, shape.vector));
}

int64_t inputs_at_once(const TileShape& shape, int64_t inputs, int64_t outputs) {
  const int64_t of_one = transformed(nullptr, shape, tiles_at_once(shape), 1, true).channel * points;
  const int64_t budget = 4 * outputs <= inputs ? transformed_budget : 2 * transformed_budget;
  const int64_t calls = (inputs * of_one + budget - 1) / budget;
  return (inputs + calls - 1) / calls;
}

int64_t conv_scratch_floats(int64_t width, int64_t inputs, int64_t outputs) {
  int64_t floats = 0;
  with_vectors_for(width, [&](auto, const TileShape& shape) {
    const int64_t tiles = tiles_at_once(shape);
    floats = transformed(nullptr, shape, tiles, inputs_at_once(shape, inputs, outputs), true).size() +
             outputs * points * tiles * winograd::whole_vectors(width, shape.vector);
  });
  return floats;
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
  return {w0 / winograd::at_0,
          (even_a + a * w1) / winograd::at_a,
          (even_a - a * w1) / winograd::at_a,
          (even_b + b * w1) / winograd::at_b,
          (even_b - b * w1) / winograd::at_b,
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
template <int kM, int kN, class D>
HWY_NOINLINE void multiply(D d, const Block& block) {
  using V = hn::Vec<D>;
  const int64_t step = lanes_of(d);
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

// Four rows of an output from its products: interpolation, and what the task wants done with it. With kWhole all
// vectors belong to their rows as a whole.
template <int kM, int kN, ConvEpilogue kEpilogue, bool kWhole, class D>
HWY_NOINLINE void interpolate(D d, const Block& block) {
  using V = hn::Vec<D>;
  const int64_t step = lanes_of(d);
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
        V value = finish<kEpilogue>(d, rows[r], scale, gate + r * task.row_stride);
        float* to = out + r * task.row_stride;
        if constexpr (!kWhole) {
          value = hn::IfThenElse(hn::FirstN(d, static_cast<size_t>(vectors.pixels[n])), value, hn::LoadU(d, to));
        }
        hn::StoreU(value, d, to);
      });
    }
  }
}

template <int kM, int kN, ConvEpilogue kEpilogue, class D>
void interpolate(D d, const Block& block) {
  const int64_t* pixels = block.vectors.pixels;
  if (std::all_of(pixels, pixels + kN, [](int64_t count) { return count == lanes_of(D()); })) {
    interpolate<kM, kN, kEpilogue, true>(d, block);
  } else {
    interpolate<kM, kN, kEpilogue, false>(d, block);
  }
}

template <int kM, int kN, class D>
void group(D d, const Block& block) {
  multiply<kM, kN>(d, block);
  if (block.first_input + block.inputs < block.task.inputs) {
    return;
  }
  switch (block.task.epilogue) {
    case ConvEpilogue::scale:
      return interpolate<kM, kN, ConvEpilogue::scale>(d, block);
    case ConvEpilogue::relu:
      return interpolate<kM, kN, ConvEpilogue::relu>(d, block);
    case ConvEpilogue::gate:
      return interpolate<kM, kN, ConvEpilogue::gate>(d, block);
  }
}

template <int kN, class D>
void group_of(D d, int64_t outputs, const Block& block) {
  if (outputs == block_outputs) {
    group<block_outputs, kN>(d, block);
  } else if (outputs == 2) {
    group<2, kN>(d, block);
  } else {
    group<1, kN>(d, block);
  }
}

// All outputs, group by group. Where one call has all inputs, a group's products are used up before the next group's.
template <class D>
void all_outputs(D d, Block block) {
  const Conv& task = block.task;
  const bool keep = block.inputs < task.inputs;
  for (int64_t outputs = 0; block.first_output < task.outputs; block.first_output += outputs) {
    outputs = next_group(block.first_output, task.outputs);
    switch (block.vectors.count) {
      case 4:
        group_of<4>(d, outputs, block);
        break;
      case 2:
        group_of<2>(d, outputs, block);
        break;
      default:
        group_of<1>(d, outputs, block);
    }
    block.weights += outputs * task.inputs * points * 3;
    block.products += keep ? outputs * points * block.vectors.count * lanes_of(d) : 0;
  }
}

// The next vectors of a band of tiles that starts at tile `first`: four, two or one.
Vectors next_vectors(const Transformed& u, int64_t lanes, int64_t first, int64_t row_stride, int64_t done) {
  const int64_t of_row = (u.width + lanes - 1) / lanes;
  const int64_t left = u.tiles * of_row - done;
  Vectors vectors{};
  vectors.count = left >= block_vectors ? block_vectors : std::min<int64_t>(left, 2);
  for (int64_t n = 0; n < vectors.count; ++n) {
    const int64_t tile = (done + n) / of_row;
    const int64_t x = (done + n) % of_row * lanes;
    vectors.transformed[n] = tile * u.row + x;
    vectors.position[n] = winograd_rows * (first + tile) * row_stride + x;
    vectors.pixels[n] = std::min<int64_t>(lanes, u.width - x);
  }
  return vectors;
}

// Band by band, and within a band some inputs at a time.
template <class D>
void conv_bands(D d, const TileShape& shape, const Conv& task, float* scratch) {
  const int64_t width = task.row_stride;
  const int64_t all_tiles = task.positions / (winograd_rows * width);
  const int64_t at_once = inputs_at_once(shape, task.inputs, task.outputs);
  Transformed u = transformed(scratch, shape, tiles_at_once(shape), at_once, true);
  float* const products = scratch + u.size();
  clear_borders(d, u, at_once);
  for (int64_t tile = 0; tile < all_tiles; tile += u.tiles) {
    u.tiles = std::min(u.tiles, all_tiles - tile);
    const int64_t vectors_in_all = u.tiles * ((width + lanes_of(d) - 1) / lanes_of(d));
    for (int64_t i = 0; i < task.inputs; i += at_once) {
      const int64_t inputs = std::min(at_once, task.inputs - i);
      transform_input(d, {task.in[i] + winograd_rows * tile * width, task.in.stride}, inputs, width, u);
      Vectors vectors{};
      for (int64_t done = 0; done < vectors_in_all; done += vectors.count) {
        vectors = next_vectors(u, lanes_of(d), tile, width, done);
        all_outputs(d, {.task = task,
                        .u = u,
                        .vectors = vectors,
                        .first_input = i,
                        .inputs = inputs,
                        .first_output = 0,
                        .weights = task.weights,
                        .products = products + done * lanes_of(d) * points * task.outputs});
      }
    }
  }
}

void conv_simd(const Conv& task, float* scratch) {
  with_vectors_for(task.row_stride, [&](auto d, const TileShape& shape) { conv_bands(d, shape, task, scratch); });
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(conv_simd);
HWY_EXPORT(conv_scratch_floats);
HWY_EXPORT(pack_weights);

bool winograd_serves(int64_t h, int64_t w) {
  return h % winograd_rows == 0 && 4 * w >= 3 * winograd::whole_vectors(w, winograd::narrow);
}

int64_t winograd_weights_floats(int64_t inputs, int64_t outputs) {
  return winograd::points * 3 * inputs * outputs;
}

void winograd_pack_weights(const float* weight, int64_t inputs, int64_t outputs, bool transposed, float* packed) {
  HWY_DYNAMIC_DISPATCH(pack_weights)(weight, inputs, outputs, transposed, packed);
}

int64_t winograd_conv_scratch_floats(int64_t w, int64_t inputs, int64_t outputs) {
  return HWY_DYNAMIC_DISPATCH(conv_scratch_floats)(w, inputs, outputs);
}

void winograd_conv(const Conv& task, float* scratch) {
  HWY_DYNAMIC_DISPATCH(conv_simd)(task, scratch);
}

}  // namespace evenflow::kernels::cpu
#endif
