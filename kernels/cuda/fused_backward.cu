// The gradients of the coupling's network, hidden maps computed again from x_a. What follows the network goes before,
// element by element (affine.cu, shift.cu): it leaves the gradient of the last convolution's output, which the strips
// here read with their neighbours' rows. Grid: at most 132 blocks of 8 warps, each with a fixed share of the strips of
// all windows; the weight gradients' tiles stay in registers, each tile in one warp, until a block has done all. A
// second launch adds up the blocks' shares. Traffic, per element of x: 8 bytes in (x_a, d raw, d y_a), rows around a
// strip again, and 2 out (d x_a); per block one row of all gradients out, read once by the second launch. Sums: a
// weight gradient over the block's pixels in the order of its rounds, float32 (tensor cores); blocks in order, float64.
// The number of blocks is fixed, not the GPU's multiprocessors: the order of summation depends on it. Hidden maps are
// not kept for it: at hidden width 32 they are 4 to 16 times x. Lanes have kernels of their own, as forward has.
// Dropped: variants for padded hidden widths between 16, 32 and 64, each of which is a kernel more to compile.
#include "kernels/cuda/affine.h"
#include "kernels/cuda/coupling.h"
#include "kernels/cuda/fused.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/shift.h"

namespace evenflow::kernels::cuda {
namespace {

// Pixels of a round: what the block's warps carry before the weight gradients are brought up to date.
constexpr int round_pixels = fused_warps * tile_pixels;
// Blocks of a launch.
constexpr int64_t most_blocks = 132;

struct BackwardTask {
  FusedShape shape;
  int rows = 0, strips = 0;  // rows of a strip, strips of a window
  int64_t items = 0;         // strips of all windows
  const float *x = nullptr, *dy = nullptr;
  float* dx = nullptr;
  int64_t x_stride = 0, dy_stride = 0, dx_stride = 0;
  const float* packed = nullptr;
  const float* d_raw = nullptr;  // [n, outputs, pixels]
  float* partials = nullptr;     // [blocks, PartialRow::floats]
};

/// A block's share of the gradients: conv1 [f, tap, in], conv2 [f, f], conv3 [f, tap, out], bias1, bias2.
struct PartialRow {
  int conv1_stride, conv3_stride, conv2, conv3, bias1, bias2, floats;
  __host__ __device__ explicit PartialRow(const FusedShape& s)
      : conv1_stride(s.conv1_back.n_tiles * tile_columns),
        conv3_stride(s.conv3.n_tiles * tile_columns),
        conv2(s.padded * conv1_stride),
        conv3(conv2 + s.padded * s.padded),
        bias1(conv3 + s.padded * conv3_stride),
        bias2(bias1 + s.padded),
        floats(bias2 + s.padded) {}
};

/// The maps of a round's pixels, [pixel][feature].
struct Stage {
  Shared<float> h1, h2, dz1, dz2;
  int stride;
};

/// What a block holds in shared memory.
struct BackwardMemory {
  Shared<float> x_tile, d_raw_tile;    // a strip's rows and those around them
  Shared<int> x_offset, d_raw_offset;  // where k lies in them
  Shared<float> v;                     // [hidden pixel][tap, channel]: what it says of its neighbours' d x_a
  int v_stride;
  Stage stage;
  Shared<int> upper_left;  // in the tiles, of a round's pixels

  __device__ BackwardMemory(const BackwardTask& task, SharedMemory& memory) {
    const FusedShape& s = task.shape;
    const int columns = s.width + 2;
    const int most_rows = (task.rows + 2 < s.height ? task.rows + 2 : s.height) + 2;  // of a tile
    v_stride = scatter_stride(s.conv1_back.n_tiles);
    x_tile = memory.take<float>(most_rows * columns * s.half);
    d_raw_tile = memory.take<float>(most_rows * columns * s.outputs);
    x_offset = memory.take<int>(s.conv1.k_tiles * tile_columns);
    d_raw_offset = memory.take<int>(s.conv3_back.k_tiles * tile_columns);
    v = memory.take<float>((most_rows - 2) * s.width * v_stride);
    stage.stride = feature_stride(s.padded);
    stage.h1 = memory.take<float>(round_pixels * stage.stride);
    stage.h2 = memory.take<float>(round_pixels * stage.stride);
    stage.dz1 = memory.take<float>(round_pixels * stage.stride);
    stage.dz2 = memory.take<float>(round_pixels * stage.stride);
    upper_left = memory.take<int>(round_pixels);
  }
};

/// A strip of a window, its rows [first, last), and the hidden rows that they need.
struct StripPlace {
  int64_t window;
  int first, last, hidden_first, hidden_rows, hidden_pixels;
  __device__ StripPlace(const BackwardTask& task, int64_t item) {
    const FusedShape& s = task.shape;
    window = item / task.strips;
    first = static_cast<int>(item % task.strips) * task.rows;
    last = first + task.rows < s.height ? first + task.rows : s.height;
    hidden_first = first > 0 ? first - 1 : 0;
    const int hidden_last = last + 1 < s.height ? last + 1 : s.height;
    hidden_rows = hidden_last - hidden_first;
    hidden_pixels = hidden_rows * s.width;
  }
};

// A lane's 4 values of column tile i to its pixels' rows of a stage; zeros where the pixel is not the strip's own.
__device__ inline void put(Shared<float> stage, int stride, int row, int i, const float (&v)[4], const bool (&own)[2],
                           const LanePlace& at) {
  const int column = i * tile_columns + 2 * at.t;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int to = (row + at.g + r * tile_columns) * stride + column;
    stage[to] = own[r] ? v[2 * r] : 0.0F;
    stage[to + 1] = own[r] ? v[2 * r + 1] : 0.0F;
  }
}

/// One bit for each of a lane's values: does its ReLU let a gradient through, or a NaN? (For up to 8 column tiles.)
template <int kTiles>
__device__ unsigned signs_of(const float (&h)[kTiles][4]) {
  unsigned bits = 0;
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (h[i][j] > 0.0F || h[i][j] != h[i][j]) {
        bits |= 1U << (4 * i + j);
      }
    }
  }
  return bits;
}

/// dh through the ReLU, rounded and staged; its sums over the lane's own pixels are added up for the bias.
template <int kTiles, Precision kPrecision>
__device__ void through_relu(float (&dh)[kTiles][4], unsigned signs, const bool (&own)[2], float (&sums)[kTiles][2],
                             Shared<float> stage, int stride, int row, const LanePlace& at) {
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float d = (signs >> (4 * i + j) & 1U) != 0 ? dh[i][j] : 0.0F;
      if (own[j / 2]) {
        sums[i][j % 2] += d;
      }
      dh[i][j] = rounded<kPrecision>(d);
    }
    put(stage, stride, row, i, dh[i], own, at);
  }
}

// One of the weight gradients' tiles [16 features, 8 columns]: which, and where.
struct GradientTile {
  int weight;  // 1, 2, 3: the convolution
  int row, column;
  __device__ GradientTile(const FusedShape& s, int index) {
    const int across = s.conv1_back.n_tiles + s.conv2_back.n_tiles + s.conv3.n_tiles;
    row = index / across * tile_pixels;
    int i = index % across;
    weight = 1;
    if (i >= s.conv1_back.n_tiles) {
      i -= s.conv1_back.n_tiles;
      weight = 2;
      if (i >= s.conv2_back.n_tiles) {
        i -= s.conv2_back.n_tiles;
        weight = 3;
      }
    }
    column = i * tile_columns;
  }
};

// d += the tile's sum over the round's pixels, as a product whose k are pixels: A features x pixels, B pixels x
// columns.
template <Precision kPrecision>
__device__ void add_round(float (&d)[4], const FusedShape& s, const GradientTile& tile, const BackwardMemory& memory,
                          const LanePlace& at) {
  const Stage& stage = memory.stage;
  const Shared<float> rows = tile.weight == 1 ? stage.dz1 : tile.weight == 2 ? stage.dz2 : stage.h2;
  const int feature = tile.row + at.g;
  const int column = tile.column + at.g;
  // Columns beyond the taps repeat the first: nobody reads them.
  const int x_at = tile.weight == 1 ? memory.x_offset[column < taps * s.half ? column : 0] : 0;
  const int d_raw_at = tile.weight == 3 ? memory.d_raw_offset[column < taps * s.outputs ? column : 0] : 0;
  for (int pair = 0; pair < round_pixels / (2 * tile_columns); ++pair) {
    float a[2][4];
    float b[2][2];
#pragma unroll
    for (int u = 0; u < 2; ++u) {
#pragma unroll
      for (int which = 0; which < 2; ++which) {
        const int pixel = (2 * pair + u) * tile_columns + at.t + 4 * which;
        a[u][2 * which] = rows[pixel * stage.stride + feature];
        a[u][2 * which + 1] = rows[pixel * stage.stride + feature + tile_columns];
        if (tile.weight == 2) {
          b[u][which] = stage.h1[pixel * stage.stride + column];
        } else if (tile.weight == 1) {
          b[u][which] = memory.x_tile[memory.upper_left[pixel] * s.half + x_at];
        } else {
          b[u][which] = memory.d_raw_tile[memory.upper_left[pixel] * s.outputs + d_raw_at];
        }
      }
    }
    product<kPrecision>(d, a, b);
  }
}

// 16 hidden pixels of a strip through the network and back: their maps go to the stage, their share of d x_a to v, and
// the bias gradients' sums grow.
template <int kTiles, Precision kPrecision>
__device__ void carry_pixels(const BackwardTask& task, int64_t lane, const StripPlace& strip,
                             const BackwardMemory& memory, int round, const LanePlace& at, float (&bias1)[kTiles][2],
                             float (&bias2)[kTiles][2]) {
  const FusedShape& s = task.shape;
  const Stage& stage = memory.stage;
  const int row = at.warp * tile_pixels;  // of the stage
  const int pixel = round + row;
  int x_base[2];
  int d_raw_base[2];
  bool own[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int q = pixel + at.g + r * tile_columns;
    const int clamped = q < strip.hidden_pixels ? q : strip.hidden_pixels - 1;
    const int y = strip.hidden_first + clamped / s.width;
    own[r] = q < strip.hidden_pixels && y >= strip.first && y < strip.last;
    const int base = clamped / s.width * (s.width + 2) + clamped % s.width;
    x_base[r] = base * s.half;
    d_raw_base[r] = base * s.outputs;
    if (at.t == 0) {
      memory.upper_left[row + at.g + r * tile_columns] = base;
    }
  }
  unsigned signs1 = 0;
  unsigned signs2 = 0;
  {
    float h1[kTiles][4];
    start_with_bias(h1, task.packed + (lane + s.bias1), at);
    gather_product<kTiles, kPrecision>(h1, memory.x_tile, memory.x_offset, x_base, s.conv1.k_tiles,
                                       task.packed + (lane + s.conv1.offset), at);
    relu_and_round<kTiles, kPrecision>(h1);
    signs1 = signs_of(h1);
    float h2[kTiles][4];
    start_with_bias(h2, task.packed + (lane + s.bias2), at);
    chain_product<kTiles, kPrecision>(h1, h2, task.packed + (lane + s.conv2.offset), at);
    relu_and_round<kTiles, kPrecision>(h2);
    signs2 = signs_of(h2);
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      put(stage.h1, stage.stride, row, i, h1[i], own, at);
      put(stage.h2, stage.stride, row, i, h2[i], own, at);
    }
  }
  float dz2[kTiles][4] = {};
  gather_product<kTiles, kPrecision>(dz2, memory.d_raw_tile, memory.d_raw_offset, d_raw_base, s.conv3_back.k_tiles,
                                     task.packed + (lane + s.conv3_back.offset), at);
  through_relu<kTiles, kPrecision>(dz2, signs2, own, bias2, stage.dz2, stage.stride, row, at);
  float dz1[kTiles][4] = {};
  chain_product<kTiles, kPrecision>(dz2, dz1, task.packed + (lane + s.conv2_back.offset), at);
  through_relu<kTiles, kPrecision>(dz1, signs1, own, bias1, stage.dz1, stage.stride, row, at);
  scatter_product<kTiles, kPrecision>(dz1, task.packed + (lane + s.conv1_back.offset), s.conv1_back.n_tiles, memory.v,
                                      memory.v_stride, pixel, strip.hidden_pixels, at);
}

// d x_a = d y_a + what its neighbours' v say, in the order of the taps: hidden pixel q met x_a at q + tap.
__device__ inline void write_dxa(const BackwardTask& task, int64_t lane, const StripPlace& strip,
                                 const BackwardMemory& memory) {
  const FusedShape& s = task.shape;
  const float* dy = task.dy + (lane + strip.window * task.dy_stride);
  float* dx = task.dx + (lane + strip.window * task.dx_stride);
  const int plane = s.height * s.width;
  const int pixels = (strip.last - strip.first) * s.width;
  for (int i = static_cast<int>(threadIdx.x); i < pixels * s.half; i += fused_threads) {
    const int channel = i / pixels;
    const int y = strip.first + i % pixels / s.width;
    const int x = i % s.width;
    float sum = 0;
    for (int tap = 0; tap < taps; ++tap) {
      const int from_y = y - (tap / 3 - 1);
      const int from_x = x - (tap % 3 - 1);
      if (from_y < 0 || from_y >= s.height || from_x < 0 || from_x >= s.width) {
        continue;
      }
      sum += memory.v[((from_y - strip.hidden_first) * s.width + from_x) * memory.v_stride + tap * s.half + channel];
    }
    const int to = channel * plane + y * s.width + x;
    dx[to] = dy[to] + sum;
  }
}

// A feature's bias gradient lies in the 8 lanes of one t, in every warp: lanes by shuffles, warps in order.
template <int kTiles>
__device__ void write_bias_share(const FusedShape& s, const Stage& stage, const PartialRow& row, const LanePlace& at,
                                 float (&bias1)[kTiles][2], float (&bias2)[kTiles][2], float* partial) {
  sync_block();
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      for (int mask = 4; mask < warp_size; mask *= 2) {
        bias1[i][j] += shuffle_xor(bias1[i][j], mask);
        bias2[i][j] += shuffle_xor(bias2[i][j], mask);
      }
      if (at.g == 0) {
        const int feature = i * tile_columns + 2 * at.t + j;
        stage.dz1[at.warp * stage.stride + feature] = bias1[i][j];
        stage.dz2[at.warp * stage.stride + feature] = bias2[i][j];
      }
    }
  }
  sync_block();
  for (int feature = static_cast<int>(threadIdx.x); feature < s.padded; feature += fused_threads) {
    float sum1 = 0;
    float sum2 = 0;
    for (int warp = 0; warp < fused_warps; ++warp) {
      sum1 += stage.dz1[warp * stage.stride + feature];
      sum2 += stage.dz2[warp * stage.stride + feature];
    }
    partial[row.bias1 + feature] = sum1;
    partial[row.bias2 + feature] = sum2;
  }
}

// A block takes strips of rows of windows, a fixed share of them, and keeps the weight gradients' tiles in registers,
// each tile in one warp, until it has done all. Of a strip: hidden pixels of its rows and one on either side pass
// through the network and back, 16 to a warp at a time; the strip's own pixels make the weight gradients.
template <int kTiles, Precision kPrecision, int kOwned, bool kLanes>
__global__ __launch_bounds__(fused_threads, 1) void fused_backward_kernel(LaneStrides lanes, BackwardTask task) {
  const int64_t lane =
      kLanes ? lane_offset(lanes, task.x, task.dy, task.dx, task.packed, task.d_raw, task.partials) : 0;
  const FusedShape& s = task.shape;
  const LanePlace at;
  SharedMemory shared;
  const BackwardMemory memory(task, shared);
  fill_offsets(s, s.half, s.conv1.k_tiles * tile_columns, false, memory.x_offset);
  fill_offsets(s, s.outputs, s.conv3_back.k_tiles * tile_columns, true, memory.d_raw_offset);

  float owned[kOwned][4] = {};
  float bias1[kTiles][2] = {};
  float bias2[kTiles][2] = {};
  const int tiles = s.padded / tile_pixels * (s.conv1_back.n_tiles + s.conv2_back.n_tiles + s.conv3.n_tiles);

  for (int64_t item = blockIdx.x; item < task.items; item += gridDim.x) {
    const StripPlace strip(task, item);
    const int from = strip.hidden_first - 1;
    const int rows = strip.hidden_rows + 2;
    sync_block();  // the strip before is done with what follows
    load_tile<kPrecision>(s, task.x + (lane + strip.window * task.x_stride), s.half, from, rows, memory.x_tile);
    load_tile<kPrecision>(s, task.d_raw + (lane + strip.window * s.outputs * s.height * s.width), s.outputs, from, rows,
                          memory.d_raw_tile);
    sync_block();
    for (int round = 0; round < strip.hidden_pixels; round += round_pixels) {
      carry_pixels<kTiles, kPrecision>(task, lane, strip, memory, round, at, bias1, bias2);
      sync_block();
#pragma unroll
      for (int i = 0; i < kOwned; ++i) {
        const int index = at.warp + i * fused_warps;
        if (index >= tiles) {
          continue;
        }
        add_round<kPrecision>(owned[i], s, GradientTile(s, index), memory, at);
      }
      sync_block();
    }
    write_dxa(task, lane, strip, memory);
  }

  // The block's share of every gradient, to be added up in the order of the blocks.
  const PartialRow row(s);
  float* partial = task.partials + (lane + static_cast<int64_t>(blockIdx.x) * row.floats);
#pragma unroll
  for (int i = 0; i < kOwned; ++i) {
    const int index = at.warp + i * fused_warps;
    if (index >= tiles) {
      continue;
    }
    const GradientTile tile(s, index);
    const int stride = tile.weight == 1 ? row.conv1_stride : tile.weight == 2 ? s.padded : row.conv3_stride;
    float* to = partial + (tile.weight == 1 ? 0 : tile.weight == 2 ? row.conv2 : row.conv3);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      to[(tile.row + at.g + j / 2 * tile_columns) * stride + tile.column + 2 * at.t + j % 2] = owned[i][j];
    }
  }
  write_bias_share(s, memory.stage, row, at, bias1, bias2, partial);
}

struct GradientSums {
  FusedShape shape;
  int64_t blocks = 0;
  const float* partials = nullptr;
  float *conv1_weight, *conv1_bias, *conv2_weight, *conv2_bias, *conv3_weight;
};

// A thread per element of the gradients, a block's rows one after the other.
__global__ void add_fused_gradients_kernel(LaneStrides lanes, GradientSums task) {
  to_lane(lanes, task.partials, task.conv1_weight, task.conv1_bias, task.conv2_weight, task.conv2_bias,
          task.conv3_weight);
  const FusedShape& s = task.shape;
  const PartialRow row(s);
  const int f = s.hidden;
  const int size1 = f * s.half * taps;
  const int size2 = f * f;
  const int size3 = s.outputs * f * taps;
  const int all = size1 + size2 + size3 + 2 * f;
  for (int i = static_cast<int>(first_item()); i < all; i += static_cast<int>(item_stride())) {
    int at = i;
    int from = 0;
    float* to = nullptr;
    if (at < size1) {  // [f, in, tap]
      to = task.conv1_weight + at;
      from = at / (s.half * taps) * row.conv1_stride + at % taps * s.half + at / taps % s.half;
    } else if ((at -= size1) < size2) {
      to = task.conv2_weight + at;
      from = row.conv2 + at / f * s.padded + at % f;
    } else if ((at -= size2) < size3) {  // [out, f, tap]
      to = task.conv3_weight + at;
      from = row.conv3 + at / taps % f * row.conv3_stride + at % taps * s.outputs + at / (f * taps);
    } else if ((at -= size3) < f) {
      to = task.conv1_bias + at;
      from = row.bias1 + at;
    } else {
      to = task.conv2_bias + (at - f);
      from = row.bias2 + (at - f);
    }
    double sum = 0;
    for (int64_t block = 0; block < task.blocks; ++block) {
      sum += task.partials[block * row.floats + from];
    }
    *to = static_cast<float>(*to + sum);
  }
}

using BackwardKernel = void (*)(LaneStrides, BackwardTask);

template <int kTiles, Precision kPrecision, int kOwned>
BackwardKernel backward_kernel(bool lanes) {
  return lanes ? fused_backward_kernel<kTiles, kPrecision, kOwned, true>
               : fused_backward_kernel<kTiles, kPrecision, kOwned, false>;
}

BackwardKernel kernel_for(const FusedShape& s, Precision precision, bool lanes) {
  return for_width_and_precision(s, precision, [&](auto tiles, auto rounding) -> BackwardKernel {
    constexpr int feature_tiles = decltype(tiles)::value;
    constexpr Precision arithmetic = decltype(rounding)::value;
    const int owned = (gradient_tiles(s) + fused_warps - 1) / fused_warps;
    if constexpr (feature_tiles <= 4) {
      if (owned <= 3) {
        return backward_kernel<feature_tiles, arithmetic, 3>(lanes);
      }
    }
    if constexpr (feature_tiles >= 4) {
      if (owned > 8) {
        return backward_kernel<feature_tiles, arithmetic, 20>(lanes);
      }
    }
    return backward_kernel<feature_tiles, arithmetic, 8>(lanes);
  });
}

int64_t blocks_of(const Strips& strips, int64_t n) {
  return std::min<int64_t>(most_blocks, n * strips.count);
}

// The second half's dx, d_raw, and the gradients of log gain and the last bias.
void after_network_backward(Stream& stream, const CouplingBackward& task, const FusedShape& s, float* d_raw) {
  const ConstMap& x = task.x;
  const ConstMap& dy = task.dy;
  const Map& dx = task.dx;
  const float* log_gain = task.packed.data + s.log_gain;
  const CouplingGradients& d = task.gradients;
  if (task.shape.kind == CouplingKind::additive) {
    shift_backward(stream, {.dy = dy, .dx = dx, .log_gain = log_gain, .shift = task.saved.data, .d_raw = d_raw},
                   d.log_gain.data, d.conv3_bias.data);
    return;
  }
  const AffineTask affine{.n = x.n,
                          .half = s.half,
                          .pixels = s.pixels(),
                          .raw = task.saved.data,
                          .bias = task.packed.data + s.bias3,
                          .log_gain = log_gain,
                          .in = x.data,
                          .out = dx.data,
                          .in_stride = x.sample_stride,
                          .out_stride = dx.sample_stride};
  affine_backward(stream, task.shape.kind,
                  {.forward = affine,
                   .dy = dy.data,
                   .dx = dx.data,
                   .dy_stride = dy.sample_stride,
                   .dx_stride = dx.sample_stride,
                   .log_det_gradient = static_cast<float>(task.log_det_gradient),
                   .d_raw = d_raw},
                  d.log_gain.data, d.conv3_bias.data);
}

}  // namespace

int64_t backward_workspace_floats(const CouplingShape& shape, int64_t n) {
  const FusedShape s = fused_shape(shape);
  return n * s.outputs * s.pixels() + blocks_of(backward_strips(s), n) * PartialRow(s).floats;
}

namespace fused {

void run(Stream& stream, const CouplingBackward& coupling) {
  const CouplingShape& shape = coupling.shape;
  const ConstMap& x = coupling.x;
  const ConstMap& dy = coupling.dy;
  const Array<const float>& packed = coupling.packed;
  const Map& dx = coupling.dx;
  const CouplingGradients& d = coupling.gradients;
  if (x.n == 0) {
    return;
  }
  const FusedShape s = fused_shape(shape);
  float* d_raw = coupling.workspace.data;
  after_network_backward(stream, coupling, s, d_raw);
  const Strips strips = backward_strips(s);
  const BackwardTask task{.shape = s,
                          .rows = strips.rows,
                          .strips = strips.count,
                          .items = x.n * strips.count,
                          .x = x.data,
                          .dy = dy.data,
                          .dx = dx.data,
                          .x_stride = x.sample_stride,
                          .dy_stride = dy.sample_stride,
                          .dx_stride = dx.sample_stride,
                          .packed = packed.data,
                          .d_raw = d_raw,
                          .partials = d_raw + x.n * s.outputs * s.pixels()};
  const int64_t blocks = blocks_of(strips, x.n);
  launch(stream,
         {"fused_backward", {static_cast<unsigned>(blocks)}, fused_threads, static_cast<size_t>(strips.shared_bytes)},
         kernel_for(s, shape.precision, stream.lanes().count > 1), task);
  const int64_t elements = d.conv1_weight.size + d.conv2_weight.size + d.conv3_weight.size + 2 * shape.hidden;
  constexpr int few_threads = 64;  // so that the elements spread over the multiprocessors
  launch(stream, {"add_fused_gradients", blocks_for(elements, few_threads), few_threads}, add_fused_gradients_kernel,
         GradientSums{s, blocks, task.partials, d.conv1_weight.data, d.conv1_bias.data, d.conv2_weight.data,
                      d.conv2_bias.data, d.conv3_weight.data});
}

}  // namespace fused

}  // namespace evenflow::kernels::cuda
