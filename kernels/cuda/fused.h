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
#include "kernels/cuda/fragments.h"

namespace evenflow::kernels::cuda {

inline constexpr int tile_pixels = 16;
inline constexpr int tile_columns = 8;
inline constexpr int backward_warps = 16;
inline constexpr int backward_threads = backward_warps * warp_size;
inline constexpr int taps = 9;

/// One packed weight: [pair of k tiles][n tile][lane][4], so that a lane's values of both k tiles are one load of 16
/// bytes and a warp's are 512 bytes in a row. What is beyond the weight is zero.
struct PackedWeight {
  int offset = 0;  ///< in floats
  int k_tiles = 0, n_tiles = 0;
  bool chained = false;  ///< k runs over features that come from a product, in a product's order
  constexpr int floats() const { return k_tiles * n_tiles * 2 * warp_size; }
};
/// The k and n of a packed weight's i-th float.
struct PackedPlace {
  int k, n;
  constexpr PackedPlace(const PackedWeight& w, int i) : k(0), n(0) {
    const int which = i % 2;
    const int of_pair = i / 2 % 2;
    const int lane = i / 4 % warp_size;
    const int tiles = i / (4 * warp_size);
    const TileElement of_tile = of_b(lane, which);
    k = (tiles / w.n_tiles * 2 + of_pair) * tile_columns + (w.chained ? of_sums(lane, which).column : of_tile.row);
    n = tiles % w.n_tiles * tile_columns + of_tile.column;
  }
};

/// A coupling's packed floats: the weights, then the biases (padded), the last bias and log gain.
struct FusedLayout {
  /// conv1 [tap, in -> f], conv2 [f -> f], conv3 turned round [f -> tap, out]; and backward's: d h2 from d out
  /// [tap, out -> f], d h1 from d h2 [f -> f], d x_a turned round [f -> tap, in].
  PackedWeight conv1, conv2, conv3, conv3_back, conv2_back, conv1_back;
  int bias1 = 0, bias2 = 0, bias3 = 0, log_gain = 0, packed_floats = 0;  ///< offsets, and the whole
};
/// `padded`: the hidden width, rounded up.
constexpr FusedLayout fused_layout(int half, int outputs, int padded) {
  FusedLayout s;
  int at = 0;
  const auto up = [](int size, int unit) { return (size + unit - 1) / unit * unit; };
  const auto weight = [&](int keys, int columns, bool chained) {
    PackedWeight w{at, up(keys, 2 * tile_columns) / tile_columns, up(columns, tile_columns) / tile_columns, chained};
    at += w.floats();
    return w;
  };
  s.conv1 = weight(taps * half, padded, false);
  s.conv2 = weight(padded, padded, true);
  s.conv3 = weight(padded, taps * outputs, true);
  s.conv3_back = weight(taps * outputs, padded, false);
  s.conv2_back = weight(padded, padded, true);
  s.conv1_back = weight(padded, taps * half, true);
  const auto vector = [&](int size) {
    const int offset = at;
    at += up(size, 4);
    return offset;
  };
  s.bias1 = vector(padded);
  s.bias2 = vector(padded);
  s.bias3 = vector(outputs);
  s.log_gain = vector(outputs);
  s.packed_floats = at;
  return s;
}

/// A coupling as the kernels see it.
struct FusedShape : FusedLayout {
  int half = 0, height = 0, width = 0;
  int outputs = 0;             ///< of the network: 2 half, or half
  int hidden = 0, padded = 0;  ///< hidden width, and rounded up to 16, 32 or 64
  constexpr int pixels() const { return height * width; }
  /// Of a tile's rows in shared memory: width and a border on either side, an odd number, so that taps of two rows lie
  /// in different banks where 8 columns of a product are two taps' 4 channels.
  constexpr int tile_width() const { return (width + 2) | 1; }
};
FusedShape fused_shape(const CouplingShape& shape);
/// Halves that have kernels of their own, compiled for them: those of the paper's model at the default hidden width.
/// They keep the weights in shared memory, where each is used but a few times by a block that would wait for the
/// second-level cache.
constexpr bool has_own_kernels(int half_channels, int padded) {
  return (half_channels == 2 || half_channels == 4 || half_channels == 8) && padded == 32;
}

/// What a kernel of its own keeps in shared memory: forward's weights and the first two biases, backward's and those.
constexpr int forward_weight_floats(const FusedLayout& s) {
  return s.conv3_back.offset + s.bias3 - s.bias1;
}
constexpr int backward_weight_floats(const FusedLayout& s) {
  return s.bias3 - s.conv3.floats();
}

/// A stage holds a tile's features of 16 pixels in shared memory, as a product of weight gradients wants them, whose k
/// are pixels: lane t's of its first k tile are 2t and 2t + 8, of its second 2t + 1 and 2t + 9. Slot g of a row is what
/// a lane has of the pixels g and g + 8.
///
/// Left: [row of 8 to 16 features][slot][pixel: feature, feature + 8], a slot stored and loaded as 16 bytes.
/// Right: [feature][slot][pixel], a slot stored as 8 bytes, two loaded as 16.
///
/// Within 128 bytes slots are exchanged (left_slot, right_slot), so that neither meets bank conflicts.
constexpr int stage_floats(int padded) {
  return padded * tile_pixels;
}
/// From a column tile to the next one.
inline constexpr int stage_tile_floats = tile_columns * tile_pixels;
/// Where slot `g` of a left stage's row lies.
constexpr int left_slot(int row, int g) {
  return row * 2 * tile_pixels + 4 * (g ^ row % tile_columns);
}
/// Where slot `g` of a right stage's feature lies.
constexpr int right_slot(int feature, int g) {
  return feature / 2 * 2 * tile_pixels + ((feature % 2 * tile_pixels + 2 * g) ^ (feature / 2 % 4 * tile_columns));
}

/// What a warp adds up of a channel for the gradients of log gain and the last bias: of s, then of t, each.
inline constexpr int gain_sums = 4;

/// Rows of a window's map that a block computes, and what it takes in shared memory.
struct Strips {
  int rows = 0, count = 0;
  int64_t shared_bytes = 0;
};
/// Of what the device's blocks can have of it. rows = 0: not even one fits.
/// For a kernel of the shape's own, or for the one that takes any shape.
Strips forward_strips(const FusedShape& shape, bool own_kernel, Device device);
Strips backward_strips(const FusedShape& shape, bool own_kernel, Device device);

/// From a pixel to the next in a tile [row][column][channel]: beyond 4 channels 4 more than a multiple of 8, so that 8
/// pixels' 4 channels, and every other of 8 pixels' 8, lie in different banks.
constexpr int pixel_floats(int channels) {
  return channels <= 4 ? channels : (channels + 3) / 8 * 8 + 4;
}

/// u's and v's row: odd, so that neighbouring pixels lie in different banks; of an odd number of tiles, so that no more
/// than two of a product's values meet in one.
constexpr int scatter_stride(int n_tiles) {
  return (n_tiles | 1) * tile_columns + 1;
}
int64_t backward_workspace_floats(const CouplingShape& shape, int64_t n, Device device);
int64_t share_floats(const CouplingShape& shape, int64_t n, Device device);

/// The most channels of a half that the kernels take.
inline constexpr int most_half = 16;

// ---- in the kernels

/// a / b of whole numbers 0 <= a < 2^21, given 1 / b: a + 1/2 is too far from a multiple of b for rounding to matter.
__device__ inline int quotient(int a, float inverse) {
  return static_cast<int>((static_cast<float>(a) + 0.5F) * inverse);
}

/// A lane's place in its warp's tiles: row g (and g + 8) and columns 2t, 2t + 1, or k = t, t + 4.
struct LanePlace {
  int lane, warp, g, t;
  __device__ LanePlace()
      : lane(static_cast<int>(threadIdx.x) % warp_size),
        warp(static_cast<int>(threadIdx.x) / warp_size),
        g(lane / 4),
        t(lane % 4) {}
};

/// The same place, but what follows from it is computed anew: the compiler would keep it in registers through all
/// strips, which the products' loop is short of.
__device__ inline LanePlace afresh(LanePlace at) {
  asm volatile("" : "+r"(at.lane), "+r"(at.warp));
  return at;
}

/// As an operand of the products; not a number to compute with otherwise: bits are left below tf32's.
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

/// The layout: constants in a kernel of its own, Size::half > 0, hidden width kTiles tiles.
template <int kTiles, class Size>
__device__ constexpr FusedLayout layout_of(const FusedShape& s) {
  if constexpr (Size::half > 0) {
    return fused_layout(Size::half, Size::outputs, kTiles * tile_columns);
  } else {
    return s;
  }
}

/// A packed weight as a lane reads it, and so are all `weight` below, in device or shared memory: its values lie a
/// warp's apart.
template <class Pointer>
__device__ Pointer lane_weight(Pointer packed, const PackedWeight& weight, const LanePlace& at) {
  return packed + (weight.offset + at.lane * 4);
}

/// Packed floats [first, last), whole weights, into shared memory from `to` on, by all threads. They are there after
/// wait_copies and a barrier.
template <int kThreads>
__device__ void copy_weights(const float* packed, int first, int last, Shared<float> to) {
  for (int i = 4 * static_cast<int>(threadIdx.x); i < last - first; i += 4 * kThreads) {
    copy_async(to + i, packed + (first + i));
  }
}

/// k tiles 2 pair and 2 pair + 1 of a packed weight's column tile.
template <class Pointer>
__device__ void load_weight(Pointer weight, int n_tiles, int pair, int n_tile, float (&b)[2][2]) {
  const float4 v = load4(weight + (pair * n_tiles + n_tile) * warp_size * 4);
  b[0][0] = v.x;
  b[0][1] = v.y;
  b[1][0] = v.z;
  b[1][1] = v.w;
}

/// From a pixel's upper left neighbour in a tile [row][column][channel] to where k = (tap, channel) of a 3 x 3
/// convolution lies; turned: the taps backwards. k beyond the taps meets a weight of zero, or is read by nobody: any
/// place of the tile will do.
__device__ inline int place_of(int k, int columns, int channels, bool turned) {
  const int tap = k / channels;
  const int from = turned ? taps - 1 - tap : tap;
  return tap < taps ? (from / 3 * columns + from % 3) * pixel_floats(channels) + k % channels : 0;
}

/// What a 3 x 3 convolution meets around a lane's pixels g and g + 8 in a tile [row][column][kChannels], k = (tap,
/// channel); turned: the taps backwards. A load's place is a constant beyond one of these pointers.
template <int kChannels, bool kTurned>
class TapRows {
 public:
  /// upper_left: the pixels' upper left neighbours.
  __device__ TapRows(Shared<float> tile, int columns, const int (&upper_left)[2], int t) : right_(t >= 2) {
    static_assert(kChannels == 2 || kChannels % 4 == 0);
    // With two channels, t 0 and 1 are of one tap and t 2 and 3 of the next, to the right or, turned, to the left.
    const int shift = kChannels == 2 && kTurned && right_ ? t - 4 : t;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
#pragma unroll
      for (int row = 0; row < 3; ++row) {
        rows_[r][row] = tile + ((upper_left[r] + row * columns) * pixel + shift);
      }
    }
  }
  /// Of k = 8 k_tile + 4 which + t and pixel g + 8 r. k beyond the taps meets a weight of zero: the last tap will do.
  __device__ float at(int r, int k_tile, int which) const {
    const int k = tile_columns * k_tile + 4 * which;
    const Place here = place(k / kChannels);
    const Shared<float> first = rows_[r][here.row] + (here.column * pixel + k % kChannels);
    if constexpr (kChannels == 2) {
      const Place next = place(k / kChannels + 1);
      const int step = kTurned ? -1 : 1;
      if (next.row != here.row || next.column != here.column + step) {
        const Shared<float> second = rows_[r][next.row] + (next.column - step) * pixel;
        return (right_ ? second : first)[0];
      }
    }
    return first[0];
  }

 private:
  static constexpr int pixel = pixel_floats(kChannels);
  struct Place {
    int row, column;
  };
  static __device__ constexpr Place place(int tap) {
    const int last = tap < taps ? tap : taps - 1;
    const int from = kTurned ? taps - 1 - last : last;
    return {from / 3, from % 3};
  }
  Shared<float> rows_[2][3];
  bool right_;
};

/// gather_product's part of k tiles 2 pair and, if it has values, 2 pair + 1 (`second`). `value(r, k_tile, which)`: the
/// map's of pixel g + 8 r and k = 8 k_tile + 4 which + t.
template <int kTiles, Precision kPrecision, class Pointer, class Value>
__device__ void gather_pair(float (&out)[kTiles][4], int pair, bool second, Pointer weight, const Value& value) {
  float a[2][4] = {};
#pragma unroll
  for (int u = 0; u < 2; ++u) {
    if (u == 1 && !second) {
      continue;
    }
#pragma unroll
    for (int which = 0; which < 2; ++which) {
      a[u][value_of_a(0, which)] = value(0, 2 * pair + u, which);
      a[u][value_of_a(1, which)] = value(1, 2 * pair + u, which);
    }
  }
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    float b[2][2];
    load_weight(weight, kTiles, pair, i, b);
    if (kPrecision == Precision::tf32 && !second) {
      mma_tf32(out[i], a[0], b[0]);
    } else {
      product<kPrecision>(out[i], a, b);
    }
  }
}

/// out[pixel, f] += sum over k of map[pixel, k] w[k, f]: a 3 x 3 convolution of a tile [row][column][channel], the
/// values picked up where they lie. upper_left: of the lane's pixels g and g + 8, their neighbours' places. Of
/// kChannels channels; 0: of any number, `channels`, with the places of all k in a table (fill_offsets).
template <int kTiles, Precision kPrecision, int kChannels, bool kTurned, class Pointer>
__device__ void gather_product(float (&out)[kTiles][4], Shared<float> map, int columns, int channels,
                               Shared<int> offset, const int (&upper_left)[2], int k_tiles, Pointer weight,
                               const LanePlace& at) {
  if constexpr (kChannels > 0) {
    const TapRows<kChannels, kTurned> rows(map, columns, upper_left, at.t);
    constexpr int filled = (taps * kChannels + tile_columns - 1) / tile_columns;
#pragma unroll
    for (int pair = 0; pair < (filled + 1) / 2; ++pair) {
      gather_pair<kTiles, kPrecision>(out, pair, 2 * pair + 1 < filled, weight,
                                      [&](int r, int k_tile, int which) { return rows.at(r, k_tile, which); });
    }
  } else {
    const int base[2] = {upper_left[0] * pixel_floats(channels), upper_left[1] * pixel_floats(channels)};
    for (int pair = 0; pair < k_tiles / 2; ++pair) {
      gather_pair<kTiles, kPrecision>(out, pair, true, weight, [&](int r, int k_tile, int which) {
        return map[base[r] + offset[k_tile * tile_columns + 4 * which + at.t]];
      });
    }
  }
}

/// The operand that a product's result is to the next one.
template <int kTiles>
__device__ void chained(const float (&in)[kTiles][4], int pair, float (&a)[2][4]) {
#pragma unroll
  for (int u = 0; u < 2; ++u) {
    a[u][0] = in[2 * pair + u][constant<chained_sum(0)>];
    a[u][1] = in[2 * pair + u][constant<chained_sum(1)>];
    a[u][2] = in[2 * pair + u][constant<chained_sum(2)>];
    a[u][3] = in[2 * pair + u][constant<chained_sum(3)>];
  }
}

/// out += in w; `in` rounded.
template <int kTiles, Precision kPrecision, class Pointer>
__device__ void chain_product(const float (&in)[kTiles][4], float (&out)[kTiles][4], Pointer weight) {
#pragma unroll
  for (int pair = 0; pair < kTiles / 2; ++pair) {
    float a[2][4];
    chained(in, pair, a);
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      float b[2][2];
      load_weight(weight, kTiles, pair, i, b);
      product<kPrecision>(out[i], a, b);
    }
  }
}

/// The pixels of a lane's rows g and g + 8, and whether they are real.
struct LanePixels {
  int pixel[2];
  bool real[2];
};

/// to[pixel * stride + column] = in w for the lane's real pixels; `in` rounded. kUnroll column tiles at a time.
template <int kTiles, Precision kPrecision, int kUnroll, class Pointer>
__device__ void scatter_product(const float (&in)[kTiles][4], Pointer weight, int n_tiles, Shared<float> to, int stride,
                                const LanePixels& pixels, const LanePlace& at) {
  constexpr int pairs = kTiles / 2;
  float a[pairs][2][4];
  float next[pairs][2][2];
#pragma unroll
  for (int pair = 0; pair < pairs; ++pair) {
    chained(in, pair, a[pair]);
    load_weight(weight, n_tiles, pair, 0, next[pair]);
  }
  const Shared<float> place[2] = {to + (pixels.pixel[0] * stride + 2 * at.t),
                                  to + (pixels.pixel[1] * stride + 2 * at.t)};
#pragma unroll kUnroll
  for (int i = 0; i < n_tiles; ++i) {
    // The next tile's weights are on their way while this one's are used.
    float b[pairs][2][2];
    const int ahead = i + 1 < n_tiles ? i + 1 : i;
#pragma unroll
    for (int pair = 0; pair < pairs; ++pair) {
#pragma unroll
      for (int u = 0; u < 2; ++u) {
        b[pair][u][0] = next[pair][u][0];
        b[pair][u][1] = next[pair][u][1];
      }
      load_weight(weight, n_tiles, pair, ahead, next[pair]);
    }
    float d[4] = {};
#pragma unroll
    for (int pair = 0; pair < pairs; ++pair) {
      product<kPrecision>(d, a[pair], b[pair]);
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      if (pixels.real[r]) {
        place[r][i * tile_columns] = d[2 * r];
        place[r][i * tile_columns + 1] = d[2 * r + 1];
      }
    }
  }
}

template <int kTiles, class Pointer>
__device__ void start_with_bias(float (&h)[kTiles][4], Pointer bias, const LanePlace& at) {
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
      const float value = fused_relu(h[i][j]);
      h[i][j] = kPrecision == Precision::tf32 ? not_negative_to_tf32(value) : value;
    }
  }
}

/// Of a tile's rows, which begin `first` rows into the map, those that are on it.
struct RowsOnMap {
  int begin, end;
  __device__ RowsOnMap(const FusedShape& s, int first, int rows)
      : begin(first > 0 ? first : 0), end(first + rows < s.height ? first + rows : s.height) {}
};

/// Zeros to the borders on either side of tile[rows][column][channel]. They stay: no strip writes there.
template <int kThreads>
__device__ void clear_sides(const FusedShape& s, int channels, int rows, Shared<float> tile) {
  const int pixel = pixel_floats(channels);
  const int row_floats = s.tile_width() * pixel;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < rows * 2 * pixel; i += kThreads) {
    const int row = i / (2 * pixel);
    const int at = i % (2 * pixel);
    tile[row * row_floats + (at < pixel ? at : s.width * pixel + at)] = 0.0F;
  }
}

/// Zeros to the first or the last of a tile's rows where it is outside of the map, but for its sides.
template <int kThreads>
__device__ void clear_outside(const FusedShape& s, int channels, int first, int rows, Shared<float> tile) {
  const int pixel = pixel_floats(channels);
  const auto clear = [&](int row) {
#pragma unroll 1  // or addresses are kept in registers all along
    for (int i = static_cast<int>(threadIdx.x); i < s.width * pixel; i += kThreads) {
      tile[(row * s.tile_width() + 1) * pixel + i] = 0.0F;
    }
  };
  if (first < 0) {
    clear(0);
  }
  if (first + rows > s.height) {
    clear(rows - 1);
  }
}

/// A warp's channel, and its lanes' places among the pixels: where the block's warps can share the channels evenly they
/// do, otherwise a channel is one warp's.
template <int kWarps>
struct ChannelPlace {
  int channel;      ///< and every kWarps-th after it, below the number of channels
  int first, step;  ///< the lane's pixels
  __device__ ChannelPlace(int channels, const LanePlace& at) {
    const bool shared = kWarps % channels == 0;
    channel = shared ? at.warp % channels : at.warp;
    first = (shared ? at.warp / channels * warp_size : 0) + at.lane;
    step = shared ? kWarps / channels * warp_size : warp_size;
  }
};

/// Row and column of a lane's pixels, one every `step`, without a division for each.
class PixelWalk {
 public:
  __device__ PixelWalk(int first, int step, int width) : width_(width) {
    const float inverse_width = 1.0F / static_cast<float>(width);
    row_ = quotient(first, inverse_width);
    column_ = first - row_ * width;
    rows_ = quotient(step, inverse_width);
    columns_ = step - rows_ * width;
  }
  __device__ int row() const { return row_; }
  __device__ int column() const { return column_; }
  __device__ void next() {
    row_ += rows_;
    column_ += columns_;
    if (column_ >= width_) {
      column_ -= width_;
      ++row_;
    }
  }

 private:
  int width_, row_, column_, rows_, columns_;
};

/// Rows [first, first + rows) of `channels` planes to tile[row][column][channel]; zeros to those outside of the map. A
/// thread has four loads on their way at a time.
template <int kThreads, Precision kPrecision>
__device__ void load_tile(const FusedShape& s, const float* planes, int channels, int first, int rows,
                          Shared<float> tile, const LanePlace& at) {
  constexpr int batch = 4;
  constexpr int warps = kThreads / warp_size;
  const int columns = s.tile_width();
  const int pixel_step = pixel_floats(channels);
  const RowsOnMap there(s, first, rows);
  const int count = (there.end - there.begin) * s.width;
  const ChannelPlace<warps> place(channels, at);
  for (int channel = place.channel; channel < channels; channel += warps) {
    const float* plane = planes + (channel * s.height + there.begin) * s.width;
    const Shared<float> to = tile + (((there.begin - first) * columns + 1) * pixel_step + channel);
    PixelWalk walk(place.first, place.step, s.width);
    for (int i = place.first; i < count; i += batch * place.step) {
      float value[batch];
#pragma unroll
      for (int k = 0; k < batch; ++k) {
        const int pixel = i + k * place.step;
        value[k] = pixel < count ? plane[pixel] : 0.0F;
      }
#pragma unroll
      for (int k = 0; k < batch; ++k) {
        if (i + k * place.step < count) {
          to[(walk.row() * columns + walk.column()) * pixel_step] = rounded<kPrecision>(value[k]);
        }
        walk.next();
      }
    }
  }
  clear_outside<kThreads>(s, channels, first, rows, tile);
}

/// place_of as a table, of any number of channels.
template <int kThreads>
__device__ void fill_offsets(const FusedShape& s, int channels, int count, bool turned, Shared<int> offset) {
  for (int k = static_cast<int>(threadIdx.x); k < count; k += kThreads) {
    offset[k] = place_of(k, s.tile_width(), channels, turned);
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
