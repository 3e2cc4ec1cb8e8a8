// The coupling's network in one kernel: shapes, packed weights, and the warp's tile products that forward and backward
// share (fused.cu, fused_forward.cu, fused_backward.cu).
//
// A warp carries 16 hidden pixels through the network. Its tile products are m16n8k8: 16 pixels, 8 features. What one
// product gives a lane, columns 2t and 2t+1, is what the next wants as k = t and k = t + 4, once the rows of the next
// weight are packed in that order: so h1 and h2 pass from layer to layer in registers. The last 3 x 3 convolution is
// turned round: u[pixel][tap, channel] = w[tap, channel] h2[pixel], again a product of the pixel's own h2, and an
// output pixel is the sum of its neighbours' u, in the order of the taps.
#pragma once

#include <cstdint>

#include "kernels/coupling.h"
#include "kernels/cuda/execution.h"

namespace evenflow::kernels::cuda {

inline constexpr int tile_pixels = 16;
inline constexpr int tile_columns = 8;
inline constexpr int fused_threads = 256;
inline constexpr int fused_warps = fused_threads / warp_size;
inline constexpr int taps = 9;

/// One packed weight: tiles [k tile][n tile][lane][2], so that a lane's two values are one load of 8 bytes and a warp's
/// are 256 bytes in a row. k tiles come in pairs, for mma_bf16; what is beyond the weight is zero.
struct PackedWeight {
  int offset = 0;  ///< in floats
  int k_tiles = 0, n_tiles = 0;
  bool chained = false;  ///< k runs over features that come from a product, in a product's order
  constexpr int floats() const { return k_tiles * n_tiles * 2 * warp_size; }
};

/// A coupling as the kernels see it. Packed: the weights, then the biases (padded), the last bias and log gain.
struct FusedShape {
  int half = 0, height = 0, width = 0;
  int outputs = 0;             ///< of the network: 2 half, or half
  int hidden = 0, padded = 0;  ///< hidden width, and rounded up to 16, 32 or 64
  /// conv1 [tap, in -> f], conv2 [f -> f], conv3 turned round [f -> tap, out]; and backward's: d h2 from d out
  /// [tap, out -> f], d h1 from d h2 [f -> f], d x_a turned round [f -> tap, in].
  PackedWeight conv1, conv2, conv3, conv3_back, conv2_back, conv1_back;
  int bias1 = 0, bias2 = 0, bias3 = 0, log_gain = 0, packed_floats = 0;  ///< offsets, and the whole
  constexpr int pixels() const { return height * width; }
};
FusedShape fused_shape(const CouplingShape& shape);

/// Rows of a window's map that a block computes, and what it takes in shared memory.
struct Strips {
  int rows = 0, count = 0;
  int64_t shared_bytes = 0;
};
/// rows = 0: not even one fits.
Strips forward_strips(const FusedShape& shape);
Strips backward_strips(const FusedShape& shape);

/// u's and v's row: odd, so that neighbouring pixels lie in different banks.
constexpr int scatter_stride(int n_tiles) {
  return n_tiles * tile_columns + 1;
}
/// Of a padded width's rows in shared memory: 8 beyond a multiple of 16, so that four rows start in different banks.
constexpr int feature_stride(int padded) {
  return padded + tile_columns;
}
int64_t backward_workspace_floats(const CouplingShape& shape, int64_t n);

/// Weight gradient tiles [16, 8], and how many a warp may own, in registers.
int gradient_tiles(const FusedShape& shape);
constexpr int most_owned_tiles(int padded) {
  return padded == tile_pixels ? 8 : 20;
}

// ---- in the kernels

/// A lane's place in its warp's tiles: row g (and g + 8) and columns 2t, 2t + 1, or k = t, t + 4.
struct LanePlace {
  int lane, warp, g, t;
  __device__ LanePlace()
      : lane(static_cast<int>(threadIdx.x) % warp_size),
        warp(static_cast<int>(threadIdx.x) / warp_size),
        g(lane / 4),
        t(lane % 4) {}
};

/// As an operand of the products.
template <Precision kPrecision>
__device__ float rounded(float x) {
  return kPrecision == Precision::tf32 ? to_tf32(x) : x;  // mma_bf16 rounds itself
}

/// d += a b over 16 k's.
template <Precision kPrecision>
__device__ void product(float (&d)[4], const float (&a)[2][4], const float (&b)[2][2]) {
  if constexpr (kPrecision == Precision::tf32) {
    mma_tf32(d, a[0], b[0]);
    mma_tf32(d, a[1], b[1]);
  } else {
    mma_bf16(d, a[0], a[1], b[0], b[1]);
  }
}

/// k tiles 2 pair and 2 pair + 1 of a packed weight's column tile.
__device__ inline void load_weight(const float* weight, int n_tiles, int pair, int n_tile, int lane, float (&b)[2][2]) {
#pragma unroll
  for (int u = 0; u < 2; ++u) {
    const float2 v = load2(weight + (((2 * pair + u) * n_tiles + n_tile) * warp_size + lane) * 2);
    b[u][0] = v.x;
    b[u][1] = v.y;
  }
}

/// out[pixel, f] += sum over k of map[pixel's base + offset[k]] w[k, f]: a 3 x 3 convolution, the map's values picked
/// up where they lie. base: of the lane's pixels g and g + 8.
template <int kTiles, Precision kPrecision>
__device__ void gather_product(float (&out)[kTiles][4], Shared<float> map, Shared<int> offset, const int (&base)[2],
                               int k_tiles, const float* weight, const LanePlace& at) {
  for (int pair = 0; pair < k_tiles / 2; ++pair) {
    float a[2][4];
#pragma unroll
    for (int u = 0; u < 2; ++u) {
      const int k = (2 * pair + u) * tile_columns + at.t;
      const int first = offset[k];
      const int second = offset[k + 4];
      a[u][0] = map[base[0] + first];
      a[u][1] = map[base[1] + first];
      a[u][2] = map[base[0] + second];
      a[u][3] = map[base[1] + second];
    }
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      float b[2][2];
      load_weight(weight, kTiles, pair, i, at.lane, b);
      product<kPrecision>(out[i], a, b);
    }
  }
}

/// The operand that a product's result is to the next one.
template <int kTiles>
__device__ void chained(const float (&in)[kTiles][4], int pair, float (&a)[2][4]) {
#pragma unroll
  for (int u = 0; u < 2; ++u) {
    a[u][0] = in[2 * pair + u][0];
    a[u][1] = in[2 * pair + u][2];
    a[u][2] = in[2 * pair + u][1];
    a[u][3] = in[2 * pair + u][3];
  }
}

/// out += in w; `in` rounded.
template <int kTiles, Precision kPrecision>
__device__ void chain_product(const float (&in)[kTiles][4], float (&out)[kTiles][4], const float* weight,
                              const LanePlace& at) {
#pragma unroll
  for (int pair = 0; pair < kTiles / 2; ++pair) {
    float a[2][4];
    chained(in, pair, a);
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      float b[2][2];
      load_weight(weight, kTiles, pair, i, at.lane, b);
      product<kPrecision>(out[i], a, b);
    }
  }
}

/// to[pixel * stride + column] = in w for the lane's pixels below `pixels`; `in` rounded.
template <int kTiles, Precision kPrecision>
__device__ void scatter_product(const float (&in)[kTiles][4], const float* weight, int n_tiles, Shared<float> to,
                                int stride, int first_pixel, int pixels, const LanePlace& at) {
  const int low = first_pixel + at.g;
  const int high = low + tile_columns;
  for (int i = 0; i < n_tiles; ++i) {
    float d[4] = {};
#pragma unroll
    for (int pair = 0; pair < kTiles / 2; ++pair) {
      float a[2][4];
      float b[2][2];
      chained(in, pair, a);
      load_weight(weight, n_tiles, pair, i, at.lane, b);
      product<kPrecision>(d, a, b);
    }
    const int column = i * tile_columns + 2 * at.t;
    if (low < pixels) {
      to[low * stride + column] = d[0];
      to[low * stride + column + 1] = d[1];
    }
    if (high < pixels) {
      to[high * stride + column] = d[2];
      to[high * stride + column + 1] = d[3];
    }
  }
}

template <int kTiles>
__device__ void start_with_bias(float (&h)[kTiles][4], const float* bias, const LanePlace& at) {
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    const float2 b = load2(bias + i * tile_columns + 2 * at.t);
    h[i][0] = h[i][2] = b.x;
    h[i][1] = h[i][3] = b.y;
  }
}

/// NaN stays NaN.
__device__ inline float fused_relu(float x) {
  return x > 0.0F || x != x ? x : 0.0F;
}
template <int kTiles, Precision kPrecision>
__device__ void relu_and_round(float (&h)[kTiles][4]) {
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      h[i][j] = rounded<kPrecision>(fused_relu(h[i][j]));
    }
  }
}

/// Rows [first, first + rows) of `channels` planes to tile[row][column][channel] with a column of zeros on either side
/// and zeros for rows outside of the map.
template <Precision kPrecision>
__device__ void load_tile(const FusedShape& s, const float* planes, int channels, int first, int rows,
                          Shared<float> tile) {
  const int columns = s.width + 2;
  for (int i = static_cast<int>(threadIdx.x); i < channels * rows * columns; i += fused_threads) {
    const int column = i % columns;
    const int row = i / columns % rows;
    const int channel = i / (columns * rows);
    const int y = first + row;
    const int x = column - 1;
    const bool inside = y >= 0 && y < s.height && x >= 0 && x < s.width;
    const float value = inside ? planes[(channel * s.height + y) * s.width + x] : 0.0F;
    tile[(row * columns + column) * channels + channel] = rounded<kPrecision>(value);
  }
}

/// Where k = (tap, channel) lies from a pixel's upper left neighbour; with `turned`, from its lower right one
/// backwards. k beyond the taps meets a weight of zero: any place of the tile will do.
__device__ inline void fill_offsets(const FusedShape& s, int channels, int count, bool turned, Shared<int> offset) {
  for (int k = static_cast<int>(threadIdx.x); k < count; k += fused_threads) {
    const int tap = turned ? taps - 1 - k / channels : k / channels;
    const bool real = k < taps * channels;
    offset[k] = real ? (tap / 3 * (s.width + 2) + tap % 3) * channels + k % channels : 0;
  }
}

/// The kernel for a padded hidden width and an arithmetic: `choose` is called with (tiles, precision) as constants.
template <class Choose>
auto for_width_and_precision(const FusedShape& s, Precision precision, const Choose& choose) {
  const auto with = [&](auto tiles) {
    if (precision == Precision::bf16) {
      return choose(tiles, std::integral_constant<Precision, Precision::bf16>());
    }
    return choose(tiles, std::integral_constant<Precision, Precision::tf32>());
  };
  // Few widths: each is a kernel more to compile.
  if (s.padded == tile_pixels) {
    return with(std::integral_constant<int, 2>());
  }
  if (s.padded == 2 * tile_pixels) {
    return with(std::integral_constant<int, 4>());
  }
  return with(std::integral_constant<int, 8>());
}

}  // namespace evenflow::kernels::cuda
