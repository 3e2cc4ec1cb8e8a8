// The coupling's gradients, hidden maps computed again from x_a. A strip begins with what follows the network, element
// by element, for its neighbours' rows as well; where dx is dy's memory, which neighbours may have changed by then,
// affine.cu or shift.cu has done that before for all. Grid: as many blocks as the GPU has multiprocessors, each with a
// fixed share of the strips of all windows. A warp carries 16 pixels through the network and back; the weight
// gradients' tiles stay in registers, each tile in one warp of every group that shares its pixels, until a block has
// done all. A second launch adds up the blocks' shares, at once or for all couplings of a pass. Traffic, per element of
// x: 12 bytes in (x, dy, what forward kept), rows around a strip again, and 4 out (dx); per block one row of all
// gradients out, read once by the second launch. Sums: a weight gradient over a group's pixels in the order of its
// rounds, float32 (tensor cores); the block's groups in order, float32; blocks every 8th in order, then those 8,
// float64. The order depends on the number of multiprocessors. Hidden maps are not kept for it: at hidden width 32 they
// are 4 to 16 times x. Dropped: each tile in one warp of the block, its operands loaded 4 bytes at a time (25
// instructions a product, 14 now: block 1, H200).
#include <algorithm>
#include <span>
#include <vector>

#include "kernels/cuda/affine.h"
#include "kernels/cuda/coupling.h"
#include "kernels/cuda/fused.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/shift.h"
#include "kernels/cuda/steps.h"

namespace evenflow::kernels::cuda {
namespace {

/// What a kernel is compiled for. Channels of x_a and of the network's output, 0: any; column tiles of the gradients of
/// the first and the last convolution, the most there are; the warps that share a row of all these tiles.
template <int kHalf, int kOutputs, int kColumns1, int kColumns3, int kParts>
struct Size {
  static constexpr int half = kHalf, outputs = kOutputs, columns1 = kColumns1, columns3 = kColumns3, parts = kParts;
};
/// Whether a kernel finds its weights in shared memory.
template <class Size>
inline constexpr bool shares_weights = Size::half > 0;
using AnySize = Size<0, 0, taps * most_half / tile_columns, taps * 2 * most_half / tile_columns, 4>;
template <class Size>
inline constexpr bool can_be_additive = Size::half == 0 || Size::outputs == Size::half;
template <class Size>
inline constexpr bool can_be_affine = Size::half == 0 || Size::outputs == 2 * Size::half;

/// How a block divides its work.
template <int kTiles, class Size>
struct Division {
  static constexpr int padded = kTiles * tile_columns;
  // Warps that share their pixels: as many as a row of tiles has, for every 16 features.
  static constexpr int parts = Size::parts < kTiles ? Size::parts : kTiles;
  static constexpr int group = kTiles / 2 * parts;
  static constexpr int groups = backward_warps / group;
  // Gradient tiles that a warp of a group owns.
  static constexpr int own1 = (Size::columns1 + parts - 1) / parts;
  static constexpr int own2 = kTiles / parts;
  static constexpr int own3 = (Size::columns3 + parts - 1) / parts;
  static constexpr int owned = own1 + own2 + own3;
  static_assert(backward_warps % group == 0);
};

/// A division as the host and the second launch see it, and a block's share of the gradients: tiles as they lie in the
/// lanes' registers, [warp of the group][tile][lane][4], then the first and the second bias, log gain and last bias.
struct PartialRow {
  int padded, parts, own1, own2, own3;
  __host__ __device__ constexpr int owned() const { return own1 + own2 + own3; }
  __host__ __device__ constexpr int bias() const { return padded / tile_pixels * parts * owned() * 4 * warp_size; }
  __host__ __device__ constexpr int gain() const { return bias() + 2 * padded; }
  __host__ __device__ constexpr int floats() const { return gain() + 4 * most_half; }
};

struct BackwardTask {
  FusedShape shape;
  int rows = 0, strips = 0;  // rows of a strip, strips of a window
  int64_t items = 0;         // strips of all windows
  const float *x = nullptr, *dy = nullptr;
  float* dx = nullptr;
  int64_t x_stride = 0, dy_stride = 0, dx_stride = 0;
  const float* packed = nullptr;
  CouplingKind kind = CouplingKind::sigmoid;
  float log_det_gradient = 0;
  const float* saved = nullptr;  // [n, outputs, pixels]: the network's output as forward kept it
  const float* d_raw = nullptr;  // of the same size, its gradient if it is there already, or null
  float* partials = nullptr;     // [blocks, PartialRow::floats()]
  /// Of a tile: a strip's rows, the hidden ones around them, and those around these.
  __device__ int most_rows() const { return (rows + 2 < shape.height ? rows + 2 : shape.height) + 2; }
};

/// What a block holds in shared memory.
struct BackwardMemory {
  Shared<float> x_tile, d_raw_tile;    // a strip's rows and those around them
  Shared<int> x_offset, d_raw_offset;  // where k lies in them, for any number of channels
  Shared<float> v;                     // [hidden pixel][tap, channel]: what it says of its neighbours' d x_a
  // Of each warp's pixels: h1 (right), then d z1 (left); h2, then d z2 (left).
  Shared<float> stage1, stage2;
  Shared<int> upper_left;       // in the tiles, of a round's pixels
  Shared<float> bias_and_gain;  // of the last convolution, [output][2]
  Shared<double> gain_sum;      // [warp][gain_sums]
  Shared<float> weights;        // of a kernel of its own: all packed ones but conv3, then bias1 and bias2

  __device__ BackwardMemory(const BackwardTask& task, bool weights_shared, SharedMemory& memory) {
    const FusedShape& s = task.shape;
    const int columns = s.tile_width();
    const int most_rows = task.most_rows();
    x_tile = memory.take<float>(most_rows * columns * pixel_floats(s.half));
    d_raw_tile = memory.take<float>(most_rows * columns * pixel_floats(s.outputs));
    x_offset = memory.take<int>(s.conv1.k_tiles * tile_columns);
    d_raw_offset = memory.take<int>(s.conv3_back.k_tiles * tile_columns);
    v = memory.take<float>((most_rows - 2) * s.width * scatter_stride(s.conv1_back.n_tiles));
    stage1 = memory.take<float>(backward_warps * stage_floats(s.padded));
    stage2 = memory.take<float>(backward_warps * stage_floats(s.padded));
    upper_left = memory.take<int>(backward_warps * tile_pixels);
    bias_and_gain = memory.take<float>(2 * s.outputs);
    gain_sum = memory.take<double>(backward_warps * gain_sums);
    weights = memory.take<float>(weights_shared ? backward_weight_floats(s) : 0);
  }
};

/// A strip of a window, its rows [first, last), and the hidden rows that they need. Pixels are carried in tiles of 16:
/// first the strip's own, then those of the rows around it, which have no part in the weight gradients.
struct StripPlace {
  int64_t window;
  int first, last, hidden_first, hidden_rows;
  int own_pixels, other_pixels, own_tiles, tiles;
  __device__ StripPlace(const BackwardTask& task, int64_t item) {
    const FusedShape& s = task.shape;
    window = item / task.strips;
    first = static_cast<int>(item % task.strips) * task.rows;
    last = first + task.rows < s.height ? first + task.rows : s.height;
    hidden_first = first > 0 ? first - 1 : 0;
    const int hidden_last = last + 1 < s.height ? last + 1 : s.height;
    hidden_rows = hidden_last - hidden_first;
    own_pixels = (last - first) * s.width;
    other_pixels = hidden_rows * s.width - own_pixels;
    own_tiles = (own_pixels + tile_pixels - 1) / tile_pixels;
    tiles = own_tiles + (other_pixels + tile_pixels - 1) / tile_pixels;
  }
};

/// A tile's pixels in a lane, and where they lie in the tiles [row][column] of a strip. Beyond the last one it repeats.
struct TilePixels {
  LanePixels lane;  // of the hidden rows
  int upper_left[2];
  bool whole;  // all 16 are real
  __device__ TilePixels(const FusedShape& s, const StripPlace& strip, int tile, const LanePlace& at) {
    const bool own = tile < strip.own_tiles;
    const int begin = (own ? tile : tile - strip.own_tiles) * tile_pixels;
    const int count = own ? strip.own_pixels : strip.other_pixels;
    whole = begin + tile_pixels <= count;
    const int above = strip.first - strip.hidden_first;  // rows
    const float inverse_width = 1.0F / static_cast<float>(s.width);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int i = begin + at.g + r * tile_columns;
      lane.real[r] = i < count;
      const int q = i < count ? i : count - 1;
      const int of_kind = quotient(q, inverse_width);
      const int row = own ? above + of_kind : of_kind < above ? 0 : strip.hidden_rows - 1;
      lane.pixel[r] = q + (row - of_kind) * s.width;
      upper_left[r] = lane.pixel[r] + row * (s.tile_width() - s.width);
    }
  }
};

/// What follows the network, back, at one element: d x_b, d raw of s and t, and the terms of the gains' sums (a third
/// of log gain's).
struct ElementGradient {
  float dx, d_raw_s, d_raw_t;
  double sums[gain_sums];
};
template <CouplingKind kKind>
__device__ ElementGradient element_gradient(float kept_s, float kept_t, float x_b, float dy_b, float log_det_gradient,
                                            const float (&bias)[2], const float (&gain)[2]) {
  if constexpr (kKind == CouplingKind::additive) {  // the shift is kept as it is
    const float d_raw = dy_b * gain[0];
    return {dy_b, d_raw, 0, {static_cast<double>(dy_b) * kept_s, 0, d_raw, 0}};
  }
  const float s = (kept_s + bias[0]) * gain[0];
  const float t = (kept_t + bias[1]) * gain[1];
  const Gain g = gain_of<kKind>(s);
  const float dt = dy_b * g.g;  // and d x_b
  const float ds = (dt * (x_b + t) + log_det_gradient) * g.slope;
  return {dt,
          ds * gain[0],
          dt * gain[1],
          {static_cast<double>(ds) * s, static_cast<double>(dt) * t, ds * gain[0], dt * gain[1]}};
}

/// += a warp's sums. After two exchanges a lane has one of the four to add up.
__device__ inline void add_gain_sums(const double (&sums)[gain_sums], Shared<double> to, const LanePlace& at) {
  const bool odd = at.lane % 2 != 0;
  const bool upper = at.lane / 2 % 2 != 0;
  double pair[2];
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    pair[j] = (odd ? sums[2 + j] : sums[j]) + shuffle_xor(odd ? sums[j] : sums[2 + j], 1);
  }
  double sum = (upper ? pair[1] : pair[0]) + shuffle_xor(upper ? pair[0] : pair[1], 2);
  for (int mask = gain_sums; mask < warp_size; mask *= 2) {
    sum += shuffle_xor(sum, mask);
  }
  if (at.lane < gain_sums) {
    to[at.lane % 2 * 2 + at.lane / 2] += sum;
  }
}

/// A strip's x_a and d raw, rows around it too; d x_b of its own rows, and their part of the gains' sums.
template <CouplingKind kKind, Precision kPrecision, class Size>
__device__ void load_strip(const BackwardTask& task, int64_t lane, const StripPlace& strip,
                           const BackwardMemory& memory, const LanePlace& outer) {
  constexpr int batch = 4;
  const LanePlace at = afresh(outer);
  constexpr bool additive = kKind == CouplingKind::additive;
  const FusedShape& s = task.shape;
  const int half = Size::half > 0 ? Size::half : s.half;
  const int outputs = additive ? half : 2 * half;
  const ChannelPlace<backward_warps> place(half, at);
  const int from = strip.hidden_first - 1;
  const int rows = strip.hidden_rows + 2;
  const int columns = s.tile_width();
  clear_outside<backward_threads>(s, half, from, rows, memory.x_tile);
  clear_outside<backward_threads>(s, outputs, from, rows, memory.d_raw_tile);
  if (place.channel >= half) {
    return;
  }
  const RowsOnMap there(s, from, rows);
  const int plane = s.height * s.width;
  const int count = (there.end - there.begin) * s.width;
  const int own_begin = (strip.first - there.begin) * s.width;
  const int own_end = (strip.last - there.begin) * s.width;
  const Shared<float> of_s = memory.bias_and_gain + 2 * place.channel;
  const Shared<float> of_t = memory.bias_and_gain + 2 * (additive ? place.channel : half + place.channel);
  const float bias[2] = {of_s[0], of_t[0]};
  const float gain[2] = {of_s[1], of_t[1]};
  const int begin = place.channel * plane + there.begin * s.width;
  const float* kept = task.saved + (lane + strip.window * outputs * plane + begin);
  const float* x_a = task.x + (lane + strip.window * task.x_stride + begin);
  const float* dy_b = task.dy + (lane + strip.window * task.dy_stride + half * plane + begin);
  float* dx_b = task.dx + (lane + strip.window * task.dx_stride + half * plane + begin);
  const int first_row = there.begin - from;
  const Shared<float> x_to = memory.x_tile + ((first_row * columns + 1) * pixel_floats(half) + place.channel);
  const Shared<float> d_raw = memory.d_raw_tile + ((first_row * columns + 1) * pixel_floats(outputs) + place.channel);
  PixelWalk walk(place.first, place.step, s.width);
  double sums[gain_sums] = {};
  for (int i = place.first; i < count; i += batch * place.step) {
    float values[batch][5];
#pragma unroll
    for (int k = 0; k < batch; ++k) {
      const int pixel = i + k * place.step;
      const bool loaded = pixel < count;  // zeros otherwise: what only may be assigned keeps its register all along
      values[k][0] = loaded ? kept[pixel] : 0.0F;
      values[k][1] = loaded && !additive ? kept[half * plane + pixel] : 0.0F;
      values[k][2] = loaded ? x_a[pixel] : 0.0F;
      values[k][3] = loaded && !additive ? x_a[half * plane + pixel] : 0.0F;
      values[k][4] = loaded ? dy_b[pixel] : 0.0F;
    }
#pragma unroll
    for (int k = 0; k < batch; ++k) {
      const int pixel = i + k * place.step;
      if (pixel >= count) {
        break;
      }
      const ElementGradient d = element_gradient<kKind>(values[k][0], values[k][1], values[k][3], values[k][4],
                                                        task.log_det_gradient, bias, gain);
      const int cell = walk.row() * columns + walk.column();
      walk.next();
      x_to[cell * pixel_floats(half)] = rounded<kPrecision>(values[k][2]);
      d_raw[cell * pixel_floats(outputs)] = rounded<kPrecision>(d.d_raw_s);
      if (!additive) {
        d_raw[cell * pixel_floats(outputs) + half] = rounded<kPrecision>(d.d_raw_t);
      }
      if (pixel >= own_begin && pixel < own_end) {
        dx_b[pixel] = d.dx;
#pragma unroll
        for (int j = 0; j < gain_sums; ++j) {
          sums[j] += d.sums[j];
        }
      }
    }
  }
  add_gain_sums(sums, memory.gain_sum + at.warp * gain_sums, at);
}

/// How a stage is laid out (fused.h).
enum class Side { left, right };

template <Side kSide, int kTiles>
__device__ void put(Shared<float> stage, const float (&v)[kTiles][4], const LanePlace& at) {
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const int feature = 2 * at.t + j;  // of a tile
    if constexpr (kSide == Side::left) {
      const Shared<float> slot = stage + left_slot(feature, at.g);
#pragma unroll
      for (int i = 0; i < kTiles; i += 2) {
        store4(slot + i * stage_tile_floats, make_float4(v[i][j], v[i + 1][j], v[i][j + 2], v[i + 1][j + 2]));
      }
    } else {
      const Shared<float> slot = stage + right_slot(feature, at.g);
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        store2(slot + i * stage_tile_floats, make_float2(v[i][j], v[i][j + 2]));
      }
    }
  }
}

/// A repeated pixel has no part in the sums.
template <int kTiles>
__device__ void clear_repeated(const TilePixels& pixels, float (&v)[kTiles][4]) {
  if (pixels.whole) {
    return;
  }
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      v[i][j] = pixels.lane.real[j / 2] ? v[i][j] : 0.0F;
    }
  }
}

// The bits below a rounded number are left: zero is less than this.
constexpr float least_h = 0x1p-126F;

/// dh where the ReLU that gave the staged h let a gradient through, or a NaN; rounded.
template <Side kSide, int kTiles, Precision kPrecision>
__device__ void through_relu(float (&dh)[kTiles][4], Shared<float> h, const LanePlace& at) {
  const auto pass = [](float& gradient, float there) {
    gradient = rounded<kPrecision>(there < least_h ? 0.0F : gradient);
  };
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const int feature = 2 * at.t + j;  // of a tile
    if constexpr (kSide == Side::left) {
      const Shared<float> slot = h + left_slot(feature, at.g);
#pragma unroll
      for (int i = 0; i < kTiles; i += 2) {
        const float4 there = load4(slot + i * stage_tile_floats);
        pass(dh[i][j], there.x);
        pass(dh[i + 1][j], there.y);
        pass(dh[i][j + 2], there.z);
        pass(dh[i + 1][j + 2], there.w);
      }
    } else {
      const Shared<float> slot = h + right_slot(feature, at.g);
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        const float2 there = load2(slot + i * stage_tile_floats);
        pass(dh[i][j], there.x);
        pass(dh[i][j + 2], there.y);
      }
    }
  }
}

/// The tiles of one weight gradient that a warp owns. kAll: those that are not real are computed too, which costs less
/// than to ask.
template <int kOwn, bool kAll>
struct OwnTiles {
  float sum[kOwn][4] = {};
  int count = 0;  // real ones

  __device__ OwnTiles(int tiles, int part) {
    const int left = tiles - part * kOwn;
    count = left < 0 ? 0 : left < kOwn ? left : kOwn;
  }
  /// += over 16 pixels, as a product whose k are pixels: A features x pixels from a left stage's 16 features, B pixels
  /// x columns, those of tile i from `column(i)`, in the order of the stage's slots. With kSums also the features' sums
  /// over the pixels, to `feature_sums`: of g in all columns of its first row, of g + 8 in those of its second.
  template <Precision kPrecision, bool kSums, class Column>
  __device__ void add(Shared<float> features, const LanePlace& at, float (&feature_sums)[4], const Column& column) {
    const float4 first = load4(features + left_slot(at.g, 2 * at.t));
    const float4 second = load4(features + left_slot(at.g, 2 * at.t + 1));
    const float a[2][4] = {{first.x, first.y, first.z, first.w}, {second.x, second.y, second.z, second.w}};
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      if (kAll || i < count) {
        const float4 v = column(i);
        const float b[2][2] = {{v.x, v.y}, {v.z, v.w}};
        product<kPrecision>(sum[i], a, b);
      }
    }
    if constexpr (kSums) {
      const float ones[2][2] = {{1, 1}, {1, 1}};
      product<kPrecision>(feature_sums, a, ones);
    }
  }
};

/// A warp's part in the weight gradients: which tiles, and where their columns lie in the tiles of x_a and d raw.
template <int kTiles, class Size>
struct Gradients {
  using D = Division<kTiles, Size>;
  int feature, part;  // the first of the 16 features
  int features;       // where they lie in a left stage
  OwnTiles<D::own1, (Size::half > 0)> conv1;
  OwnTiles<D::own2, true> conv2;
  OwnTiles<D::own3, (Size::half > 0)> conv3;
  int x_at[D::own1], d_raw_at[D::own3];  // bytes
  float bias1[4] = {}, bias2[4] = {};    // sums of features, as OwnTiles::add leaves them

  __device__ Gradients(const FusedShape& s, const LanePlace& at)
      : feature(at.warp % D::group / D::parts * tile_pixels),
        part(at.warp % D::parts),
        features(feature * tile_pixels),
        conv1(s.conv1_back.n_tiles, part),
        conv2(s.conv2_back.n_tiles, part),
        conv3(s.conv3.n_tiles, part) {
    const auto offset = [&](int column, int channels, bool turned) {
      return place_of(column, s.tile_width(), channels, turned) * static_cast<int>(sizeof(float));
    };
    const int inputs = Size::half > 0 ? Size::half : s.half;
    const int outputs = Size::outputs > 0 ? Size::outputs : s.outputs;
#pragma unroll
    for (int i = 0; i < D::own1; ++i) {
      x_at[i] = offset((part * D::own1 + i) * tile_columns + at.g, inputs, false);
    }
#pragma unroll
    for (int i = 0; i < D::own3; ++i) {
      d_raw_at[i] = offset((part * D::own3 + i) * tile_columns + at.g, outputs, true);
    }
  }
  /// Of all its tiles the i-th.
  __device__ const float (&tile(int i) const)[4] {
    return i < D::own1             ? conv1.sum[i]
           : i < D::own1 + D::own2 ? conv2.sum[i - D::own1]
                                   : conv3.sum[i - D::own1 - D::own2];
  }
};

/// What the warps of a group share in a round: their stages, and their own pixels' places.
struct GroupStages {
  Shared<float> stage1, stage2;
  Shared<int> upper_left;
  int own;  // tiles of the strip's own pixels; the others have no part in the sums
};

/// tiles += over the group's own pixels: 16 features of their left stages, from `stage` on, times columns of a map, its
/// channels picked up where they lie. With kSums also the features' sums.
template <int kTiles, Precision kPrecision, bool kSums, int kOwn, bool kAll>
__device__ void add_columns_of_map(OwnTiles<kOwn, kAll>& tiles, const GroupStages& group, Shared<float> stage,
                                   Shared<float> map, int channels, const int (&offset)[kOwn], const LanePlace& at,
                                   float (&feature_sums)[4]) {
#pragma unroll(kAll ? 4 : 2)  // 4 spills more in the kernel for any shape
  for (int warp = 0; warp < group.own; ++warp) {
    const int4 place = load4(group.upper_left + (warp * tile_pixels + 4 * at.t));
    const int pixel_bytes = pixel_floats(channels) * static_cast<int>(sizeof(float));
    const int from[4] = {place.x * pixel_bytes, place.y * pixel_bytes, place.z * pixel_bytes, place.w * pixel_bytes};
    tiles.template add<kPrecision, kSums>(
        stage + warp * stage_floats(kTiles * tile_columns), at, feature_sums, [&](int i) {
          return make_float4(load_at_byte(map, from[0] + offset[i]), load_at_byte(map, from[1] + offset[i]),
                             load_at_byte(map, from[2] + offset[i]), load_at_byte(map, from[3] + offset[i]));
        });
  }
}

// Tiles of a strip's hidden pixels through the network and back, one to a warp, from `first_tile` on: their share of
// d x_a goes to v; what the strip's own pixels say of weights and biases is added to `sums`.
template <int kTiles, Precision kPrecision, class Size>
__device__ void carry_tiles(const BackwardTask& task, int64_t lane, const StripPlace& strip,
                            const BackwardMemory& memory, int first_tile, const LanePlace& at,
                            Gradients<kTiles, Size>& sums) {
  using D = Division<kTiles, Size>;
  constexpr int group_threads = D::group * warp_size;
  const FusedShape& s = task.shape;
  const int inputs = Size::half > 0 ? Size::half : s.half;
  const int outputs = Size::outputs > 0 ? Size::outputs : s.outputs;
  const int group_warp = at.warp / D::group * D::group;
  const int left = strip.own_tiles - (first_tile + group_warp);
  constexpr int stage = stage_floats(D::padded);
  const GroupStages group{memory.stage1 + group_warp * stage, memory.stage2 + group_warp * stage,
                          memory.upper_left + group_warp * tile_pixels,
                          left < 0          ? 0
                          : left < D::group ? left
                                            : D::group};
  if (first_tile + group_warp >= strip.tiles) {
    return;
  }
  const int columns = s.tile_width();
  const Shared<float> mine1 = memory.stage1 + at.warp * stage;
  const Shared<float> mine2 = memory.stage2 + at.warp * stage;
  const int tile = first_tile + at.warp;
  const TilePixels pixels(s, strip, tile < strip.tiles ? tile : strip.tiles - 1, at);
  const float* packed = task.packed + lane;
  const FusedLayout layout = layout_of<kTiles, Size>(s);
  const auto packed_at = [&](int offset) {
    if constexpr (shares_weights<Size>) {
      return memory.weights + (offset - (offset > layout.conv3.offset ? layout.conv3.floats() : 0));
    } else {
      return packed + offset;
    }
  };
  const auto weight = [&](const PackedWeight& w) { return packed_at(w.offset) + at.lane * 4; };
  sync_group<group_threads>();  // the tiles before are done with the stages
  if (at.t == 0) {
    store2(memory.upper_left + (at.warp * tile_pixels + 2 * at.g),
           make_int2(pixels.upper_left[0], pixels.upper_left[1]));
  }
  {
    float h1[kTiles][4];
    start_with_bias(h1, packed_at(layout.bias1), at);
    gather_product<kTiles, kPrecision, Size::half, false>(h1, memory.x_tile, columns, inputs, memory.x_offset,
                                                          pixels.upper_left, layout.conv1.k_tiles, weight(layout.conv1),
                                                          at);
    relu_and_round<kTiles, kPrecision>(h1);
    put<Side::right>(mine1, h1, at);
    float h2[kTiles][4];
    start_with_bias(h2, packed_at(layout.bias2), at);
    chain_product<kTiles, kPrecision>(h1, h2, weight(layout.conv2));
    relu_and_round<kTiles, kPrecision>(h2);
    clear_repeated(pixels, h2);
    put<Side::left>(mine2, h2, at);
  }
  sync_group<group_threads>();
  float unused[4] = {};
  add_columns_of_map<kTiles, kPrecision, false>(sums.conv3, group, group.stage2 + sums.features, memory.d_raw_tile,
                                                outputs, sums.d_raw_at, at, unused);
  float dz2[kTiles][4] = {};
  gather_product<kTiles, kPrecision, Size::outputs, true>(dz2, memory.d_raw_tile, columns, outputs, memory.d_raw_offset,
                                                          pixels.upper_left, layout.conv3_back.k_tiles,
                                                          weight(layout.conv3_back), at);
  through_relu<Side::left, kTiles, kPrecision>(dz2, mine2, at);
  clear_repeated(pixels, dz2);
  sync_group<group_threads>();  // h2 has been read
  put<Side::left>(mine2, dz2, at);
  sync_group<group_threads>();
#pragma unroll(Size::half > 0 ? 4 : 2)
  for (int warp = 0; warp < group.own; ++warp) {
    const Shared<float> h1 = group.stage1 + (warp * stage + right_slot(at.g, 2 * at.t));
    sums.conv2.template add<kPrecision, true>(
        group.stage2 + (warp * stage + sums.features), at, sums.bias2,
        [&](int i) { return load4(h1 + (sums.part * D::own2 + i) * stage_tile_floats); });
  }
  float dz1[kTiles][4] = {};
  chain_product<kTiles, kPrecision>(dz2, dz1, weight(layout.conv2_back));
  through_relu<Side::right, kTiles, kPrecision>(dz1, mine1, at);
  sync_group<group_threads>();  // h1 has been read
  put<Side::left>(mine1, dz1, at);
  sync_group<group_threads>();
  add_columns_of_map<kTiles, kPrecision, true>(sums.conv1, group, group.stage1 + sums.features, memory.x_tile, inputs,
                                               sums.x_at, at, sums.bias1);
  if (tile < strip.tiles) {
    scatter_product<kTiles, kPrecision, (Size::half > 0 ? 3 : 2)>(
        dz1, weight(layout.conv1_back), layout.conv1_back.n_tiles, memory.v, scatter_stride(layout.conv1_back.n_tiles),
        pixels.lane, at);
  }
}

/// d x_a = d y_a + what its neighbours' v say, in the order of the taps: hidden pixel q met x_a at q + tap.
template <int kTiles, class Size>
class InputGradient {
 public:
  /// Asks for d y_a of the calling thread's first pixels.
  __device__ InputGradient(const BackwardTask& task, int64_t lane, const StripPlace& strip, const LanePlace& at)
      : s_(task.shape),
        strip_(strip),
        inputs_(Size::half > 0 ? Size::half : s_.half),
        pixels_((strip.last - strip.first) * s_.width),
        place_(inputs_, at),
        dy_(task.dy + (lane + strip.window * task.dy_stride + begin())),
        dx_(task.dx + (lane + strip.window * task.dx_stride + begin())) {
    load(place_.first);
  }
  __device__ void write(const BackwardMemory& memory) {
    if (place_.channel >= inputs_) {
      return;
    }
    const int stride = scatter_stride(layout_of<kTiles, Size>(s_).conv1_back.n_tiles);
    const Shared<float> v = memory.v + ((strip_.first - strip_.hidden_first) * s_.width * stride + place_.channel);
    PixelWalk walk(place_.first, place_.step, s_.width);
    for (int i = place_.first; i < pixels_; i += batch * place_.step) {
      if (i != place_.first) {
        load(i);
      }
#pragma unroll
      for (int k = 0; k < batch; ++k) {
        const int pixel = i + k * place_.step;
        if (pixel >= pixels_) {
          break;
        }
        const int y = strip_.first + walk.row();
        const bool rows[3] = {y + 1 < s_.height, true, y > 0};
        const bool columns[3] = {walk.column() + 1 < s_.width, true, walk.column() > 0};
        walk.next();
        float sum = 0;
#pragma unroll
        for (int tap = 0; tap < taps; ++tap) {
          const Shared<float> row = v + (pixel + (1 - tap / 3) * s_.width) * stride;
          if (rows[tap / 3] && columns[tap % 3]) {
            sum += row[(1 - tap % 3) * stride + tap * inputs_];
          }
        }
        dx_[pixel] = dy_a_[k] + sum;
      }
    }
  }

 private:
  static constexpr int batch = 4;

  __device__ int begin() const {
    return (place_.channel * s_.height + strip_.first) * s_.width;
  }
  __device__ void load(int first) {
#pragma unroll
    for (int k = 0; k < batch; ++k) {
      const int pixel = first + k * place_.step;
      dy_a_[k] = place_.channel < inputs_ && pixel < pixels_ ? dy_[pixel] : 0.0F;
    }
  }

  const FusedShape& s_;
  const StripPlace& strip_;
  int inputs_, pixels_;
  ChannelPlace<backward_warps> place_;
  const float* dy_;
  float* dx_;
  float dy_a_[batch];
};

/// Tile by tile, what the block's groups have added up, in their order; as many at a time as the stages have room for.
template <int kTiles, class Size>
__device__ void write_tiles(const Gradients<kTiles, Size>& sums, const BackwardMemory& memory, float* partial,
                            const LanePlace& at) {
  using D = Division<kTiles, Size>;
  constexpr int area_floats = backward_threads * 4;
  constexpr int areas = backward_warps * stage_floats(D::padded) / area_floats;  // of a stage
  const int mine = static_cast<int>(threadIdx.x) * 4;
  const auto area = [&](int i) {
    return (i < areas ? memory.stage1 : memory.stage2) + (i < areas ? i : i - areas) * area_floats;
  };
#pragma unroll
  for (int first = 0; first < D::owned; first += 2 * areas) {
    const int last = first + 2 * areas < D::owned ? first + 2 * areas : D::owned;
    sync_block();
#pragma unroll
    for (int i = first; i < last; ++i) {
      const float(&d)[4] = sums.tile(i);
      store4(area(i - first) + mine, make_float4(d[0], d[1], d[2], d[3]));
    }
    sync_block();
    if (at.warp >= D::group) {
      continue;
    }
#pragma unroll
    for (int i = first; i < last; ++i) {
      const Shared<float> tile = area(i - first) + mine;
      float4 sum = load4(tile);
      for (int group = 1; group < D::groups; ++group) {
        const float4 more = load4(tile + group * D::group * warp_size * 4);
        sum = make_float4(sum.x + more.x, sum.y + more.y, sum.z + more.z, sum.w + more.w);
      }
      store4(partial + ((at.warp * D::owned + i) * warp_size + at.lane) * 4, sum);
    }
  }
}

// A feature's bias gradients lie in the lanes of one g, in the first warp of its features in every group: groups in
// order.
template <int kTiles, class Size>
__device__ void write_biases(const Gradients<kTiles, Size>& sums, Shared<float> memory, float* partial,
                             const LanePlace& at) {
  using D = Division<kTiles, Size>;
  constexpr int both = 2 * D::padded;
  sync_block();
  if (at.t == 0 && sums.part == 0) {
    const Shared<float> mine = memory + (at.warp / D::group * both + sums.feature + at.g);
    mine[0] = sums.bias1[0];
    mine[tile_columns] = sums.bias1[2];
    mine[D::padded] = sums.bias2[0];
    mine[D::padded + tile_columns] = sums.bias2[2];
  }
  sync_block();
  for (int feature = static_cast<int>(threadIdx.x); feature < both; feature += backward_threads) {
    float sum = 0;
    for (int group = 0; group < D::groups; ++group) {
      sum += memory[group * both + feature];
    }
    partial[feature] = sum;
  }
}

// [log gain, bias][outputs]: a channel's warps in order; zero where another kernel has added them.
__device__ inline void write_gains(const FusedShape& s, Shared<double> gain_sum, float* partial) {
  const bool shared = backward_warps % s.half == 0;
  for (int i = static_cast<int>(threadIdx.x); i < 2 * s.outputs; i += backward_threads) {
    const int output = i % s.outputs;
    const int sum_of = i / s.outputs * 2 + output / s.half;  // of s, then of t
    double sum = 0;
    for (int warp = output % s.half; warp < (shared ? backward_warps : s.half); warp += s.half) {
      sum += gain_sum[warp * gain_sums + sum_of];
    }
    partial[i] = static_cast<float>(i < s.outputs ? 3.0 * sum : sum);
  }
}

template <int kTiles, class Size>
__host__ __device__ constexpr PartialRow partial_row() {
  using D = Division<kTiles, Size>;
  return {D::padded, D::parts, D::own1, D::own2, D::own3};
}

// A block takes strips of rows of windows, a fixed share of them. Of a strip: hidden pixels of its rows and one on
// either side pass through the network and back; the strip's own pixels make the weight gradients.
template <int kTiles, Precision kPrecision, class Size>
__global__ __launch_bounds__(backward_threads, 1) void fused_backward_kernel(LaneStrides lanes, BackwardTask task) {
  after_predecessor();
  const int64_t lane = lane_offset(lanes, task.x, task.dy, task.dx, task.packed, task.saved, task.d_raw, task.partials);
  const FusedShape& s = task.shape;
  const int inputs = Size::half > 0 ? Size::half : s.half;
  const int outputs = Size::outputs > 0 ? Size::outputs : s.outputs;
  const LanePlace at;
  SharedMemory shared;
  const BackwardMemory memory(task, shares_weights<Size>, shared);
  if constexpr (Size::half == 0) {
    fill_offsets<backward_threads>(s, s.half, s.conv1.k_tiles * tile_columns, false, memory.x_offset);
    fill_offsets<backward_threads>(s, s.outputs, s.conv3_back.k_tiles * tile_columns, true, memory.d_raw_offset);
  }
  if constexpr (shares_weights<Size>) {
    const FusedLayout layout = layout_of<kTiles, Size>(s);
    copy_weights<backward_threads>(task.packed + lane, 0, layout.conv3.offset, memory.weights);
    copy_weights<backward_threads>(task.packed + lane, layout.conv3_back.offset, layout.bias3,
                                   memory.weights + layout.conv3.offset);
    commit_copies();
  }
  clear_sides<backward_threads>(s, inputs, task.most_rows(), memory.x_tile);
  clear_sides<backward_threads>(s, outputs, task.most_rows(), memory.d_raw_tile);
  for (int i = static_cast<int>(threadIdx.x); i < outputs; i += backward_threads) {
    memory.bias_and_gain[2 * i] = task.packed[lane + s.bias3 + i];
    memory.bias_and_gain[2 * i + 1] = expf(3.0F * task.packed[lane + s.log_gain + i]);
  }
  for (int i = static_cast<int>(threadIdx.x); i < backward_warps * gain_sums; i += backward_threads) {
    memory.gain_sum[i] = 0.0;
  }
  Gradients<kTiles, Size> sums(s, at);
  for (int64_t item = blockIdx.x; item < task.items; item += gridDim.x) {
    const StripPlace strip(task, item);
    const int from = strip.hidden_first - 1;
    const int rows = strip.hidden_rows + 2;
    sync_block();  // the strip before is done with what follows
    if (task.d_raw != nullptr) {
      load_tile<backward_threads, kPrecision>(s, task.x + (lane + strip.window * task.x_stride), inputs, from, rows,
                                              memory.x_tile, at);
      load_tile<backward_threads, kPrecision>(s, task.d_raw + (lane + strip.window * outputs * s.height * s.width),
                                              outputs, from, rows, memory.d_raw_tile, at);
    } else if (can_be_additive<Size> && task.kind == CouplingKind::additive) {
      load_strip<CouplingKind::additive, kPrecision, Size>(task, lane, strip, memory, at);
    } else if (can_be_affine<Size> && task.kind == CouplingKind::tanh) {
      load_strip<CouplingKind::tanh, kPrecision, Size>(task, lane, strip, memory, at);
    } else if (can_be_affine<Size>) {
      load_strip<CouplingKind::sigmoid, kPrecision, Size>(task, lane, strip, memory, at);
    }
    wait_copies<0>();
    sync_block();
    for (int tile = 0; tile < strip.tiles; tile += backward_warps) {
      carry_tiles<kTiles, kPrecision>(task, lane, strip, memory, tile, at, sums);
    }
    InputGradient<kTiles, Size> input(task, lane, strip, afresh(at));
    sync_block();
    input.write(memory);
  }

  // The block's share of every gradient, to be added up in the order of the blocks. The stages are free for it.
  constexpr PartialRow row = partial_row<kTiles, Size>();
  float* partial = task.partials + (lane + static_cast<int64_t>(blockIdx.x) * row.floats());
  write_tiles(sums, memory, partial, at);
  write_biases(sums, memory.stage1, partial + row.bias(), at);
  write_gains(s, memory.gain_sum, partial + row.gain());
}

struct GradientSums {
  int half, outputs, hidden;
  PartialRow row;
  int blocks = 0;
  const float* partials = nullptr;
  float *conv1_weight, *conv1_bias, *conv2_weight, *conv2_bias, *conv3_weight, *conv3_bias, *log_gain;
};

/// Where float i of a row belongs, or null.
__device__ inline float* gradient_of(const GradientSums& task, int i) {
  const PartialRow& row = task.row;
  const int f = task.hidden;
  if (i >= row.gain()) {
    i -= row.gain();
    return i >= 2 * task.outputs ? nullptr
           : i < task.outputs    ? task.log_gain + i
                                 : task.conv3_bias + (i - task.outputs);
  }
  if (i >= row.bias()) {
    i -= row.bias();
    const int feature = i % row.padded;
    return feature >= f ? nullptr : (i < row.padded ? task.conv1_bias : task.conv2_bias) + feature;
  }
  const int value = i % 4;
  const int lane = i / 4 % warp_size;
  const int tile_of_warp = i / (4 * warp_size);
  const int warp = tile_of_warp / row.owned();
  const int part = warp % row.parts;
  const int feature = warp / row.parts * tile_pixels + value / 2 * tile_columns + lane / 4;
  if (feature >= f) {
    return nullptr;
  }
  int tile = tile_of_warp % row.owned();
  const auto column_of = [&](int own) { return (part * own + tile) * tile_columns + lane % 4 * 2 + value % 2; };
  if (tile < row.own1) {  // [f, in, tap]
    const int column = column_of(row.own1);
    return column >= taps * task.half
               ? nullptr
               : task.conv1_weight + (feature * task.half + column % task.half) * taps + column / task.half;
  }
  tile -= row.own1;
  if (tile < row.own2) {  // [f, f]
    const int column = column_of(row.own2);
    return column >= f ? nullptr : task.conv2_weight + feature * f + column;
  }
  tile -= row.own2;  // [out, f, tap]
  const int column = column_of(row.own3);
  return column >= taps * task.outputs
             ? nullptr
             : task.conv3_weight + (column % task.outputs * f + feature) * taps + column / task.outputs;
}

// A warp to 32 floats of a row, eight warps to the rows: every 8th each, then the eight in order.
constexpr int summing_warps = 8;

__global__ void add_fused_gradients_kernel(LaneStrides lanes, Steps<GradientSums> steps) {
  after_predecessor();
  GradientSums task = steps.step[blockIdx.y];
  const int floats = task.row.floats();
  if (static_cast<int>(blockIdx.x) * warp_size >= floats) {
    return;
  }
  to_lane(lanes, task.partials, task.conv1_weight, task.conv1_bias, task.conv2_weight, task.conv2_bias,
          task.conv3_weight, task.conv3_bias, task.log_gain);
  const LanePlace at;
  SharedMemory memory;
  const Shared<double> sums = memory.take<double>(summing_warps * warp_size);
  const int i = static_cast<int>(blockIdx.x) * warp_size + at.lane;
  double sum = 0;
  if (i < floats) {
#pragma unroll 8
    for (int block = at.warp; block < task.blocks; block += summing_warps) {
      sum += task.partials[static_cast<int64_t>(block) * floats + i];
    }
  }
  sums[static_cast<int>(threadIdx.x)] = sum;
  sync_block();
  float* to = at.warp == 0 && i < floats ? gradient_of(task, i) : nullptr;
  if (to == nullptr) {
    return;
  }
  for (int warp = 1; warp < summing_warps; ++warp) {
    sum += sums[warp * warp_size + at.lane];
  }
  *to = static_cast<float>(*to + sum);
}

using BackwardKernel = void (*)(LaneStrides, BackwardTask);
struct BackwardChoice {
  BackwardKernel kernel;
  PartialRow row;
};

template <int kTiles, Precision kPrecision, class Size>
BackwardChoice choice() {
  return {fused_backward_kernel<kTiles, kPrecision, Size>, partial_row<kTiles, Size>()};
}

/// Kernels of their own for the couplings of the paper's model, affine and additive, at the default hidden width.
BackwardChoice choice_for(const FusedShape& s, bool own_kernel, Precision precision) {
  return for_width_and_precision(s, precision, [&](auto tiles, auto rounding) {
    constexpr int feature_tiles = decltype(tiles)::value;
    constexpr Precision arithmetic = decltype(rounding)::value;
    if constexpr (feature_tiles == 4) {
      const auto is = [&](int inputs, int outputs) { return own_kernel && s.half == inputs && s.outputs == outputs; };
      if (is(2, 4)) {
        return choice<feature_tiles, arithmetic, Size<2, 4, 3, 5, 2>>();
      }
      if (is(4, 8)) {
        return choice<feature_tiles, arithmetic, Size<4, 8, 5, 9, 2>>();
      }
      if (is(8, 16)) {
        return choice<feature_tiles, arithmetic, Size<8, 16, 9, 18, 4>>();
      }
      if (is(2, 2)) {
        return choice<feature_tiles, arithmetic, Size<2, 2, 3, 3, 2>>();
      }
      if (is(4, 4)) {
        return choice<feature_tiles, arithmetic, Size<4, 4, 5, 5, 2>>();
      }
      if (is(8, 8)) {
        return choice<feature_tiles, arithmetic, Size<8, 8, 9, 9, 2>>();
      }
    }
    return choice<feature_tiles, arithmetic, AnySize>();
  });
}

/// [n, outputs, pixels], up to what a load of 16 bytes may follow.
int64_t d_raw_floats(const FusedShape& s, int64_t n) {
  return (n * s.outputs * s.pixels() + 3) / 4 * 4;
}

/// Which kernel, and the strips that it takes.
struct BackwardPlan {
  bool own_kernel;
  Strips strips;
  BackwardChoice choice;
  BackwardPlan(const FusedShape& s, Precision precision, Device device)
      : own_kernel(has_own_kernels(s.half, s.padded) && backward_strips(s, true, device).rows > 0),
        strips(backward_strips(s, own_kernel, device)),
        choice(choice_for(s, own_kernel, precision)) {}
};

int64_t blocks_of(const Strips& strips, int64_t n, Device device) {
  return std::min<int64_t>(limits_of(device.index).multiprocessors, n * strips.count);
}

GradientSums sums_of(const FusedShape& s, const PartialRow& row, int64_t blocks, const float* partials,
                     const CouplingGradients& d) {
  return {.half = s.half,
          .outputs = s.outputs,
          .hidden = s.hidden,
          .row = row,
          .blocks = static_cast<int>(blocks),
          .partials = partials,
          .conv1_weight = d.conv1_weight.data,
          .conv1_bias = d.conv1_bias.data,
          .conv2_weight = d.conv2_weight.data,
          .conv2_bias = d.conv2_bias.data,
          .conv3_weight = d.conv3_weight.data,
          .conv3_bias = d.conv3_bias.data,
          .log_gain = d.log_gain.data};
}

void add_gradients(Stream& stream, std::span<const GradientSums> all) {
  constexpr unsigned threads = summing_warps * warp_size;
  launch_all(all, [&](const Steps<GradientSums>& some, size_t first, unsigned count) {
    int floats = 0;
    for (const GradientSums& step : all.subspan(first, count)) {
      floats = std::max(floats, step.row.floats());
    }
    const auto columns = static_cast<unsigned>(divide_up(floats, warp_size));
    launch(stream, {"add_fused_gradients", {columns, count}, threads, threads * sizeof(double)},
           add_fused_gradients_kernel, some);
  });
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

int64_t backward_workspace_floats(const CouplingShape& shape, int64_t n, Device device) {
  const FusedShape s = fused_shape(shape);
  return d_raw_floats(s, n) + share_floats(shape, n, device);
}

int64_t share_floats(const CouplingShape& shape, int64_t n, Device device) {
  const BackwardPlan plan(fused_shape(shape), shape.precision, device);
  return blocks_of(plan.strips, n, device) * plan.choice.row.floats();
}

namespace fused {

void run(Stream& stream, const CouplingBackward& coupling) {
  const CouplingShape& shape = coupling.shape;
  const ConstMap& x = coupling.x;
  const ConstMap& dy = coupling.dy;
  const Map& dx = coupling.dx;
  if (x.n == 0) {
    return;
  }
  const FusedShape s = fused_shape(shape);
  float* d_raw = coupling.workspace.data;
  const bool in_place = dx.data == dy.data;
  const bool at_once = coupling.shares.size == 0;
  if (in_place) {
    after_network_backward(stream, coupling, s, d_raw);
  }
  const BackwardPlan plan(s, shape.precision, stream.device());
  const Strips& strips = plan.strips;
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
                          .packed = coupling.packed.data,
                          .kind = shape.kind,
                          .log_det_gradient = static_cast<float>(coupling.log_det_gradient),
                          .saved = coupling.saved.data,
                          .d_raw = in_place ? d_raw : nullptr,
                          .partials = at_once ? d_raw + d_raw_floats(s, x.n) : coupling.shares.data};
  const int64_t blocks = blocks_of(strips, x.n, stream.device());
  const BackwardChoice& choice = plan.choice;
  launch(
      stream,
      {"fused_backward", {static_cast<unsigned>(blocks)}, backward_threads, static_cast<size_t>(strips.shared_bytes)},
      choice.kernel, task);
  if (at_once) {
    add_gradients(stream, std::vector{sums_of(s, choice.row, blocks, task.partials, coupling.gradients)});
  }
}

void run(Stream& stream, const CouplingAddShares& task) {
  std::vector<GradientSums> all;
  for (const CouplingShares& step : task.steps) {
    const FusedShape s = fused_shape(step.shape);
    const BackwardPlan plan(s, step.shape.precision, stream.device());
    all.push_back(
        sums_of(s, plan.choice.row, blocks_of(plan.strips, step.n, stream.device()), step.shares.data, step.gradients));
  }
  add_gradients(stream, all);
}

}  // namespace fused

}  // namespace evenflow::kernels::cuda
