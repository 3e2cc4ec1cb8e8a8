// Grid. The channel counts of the models have kernels of their own (mix.h). Any other: a block per tile of pixels,
// which run on from sample to sample, all channels in shared memory; rows are 4 floats longer than the tile, so that
// 16-byte reads down a column meet no bank twice. A second launch adds up the tiles' shares of dW. Traffic: forward 8
// bytes per element; backward 12, one reading of x and dy giving dx and dW, plus 4 c^2 per tile. Sums: over channels in
// order, float32; dW over a tile's pixels in parts of them, float32, tiles in float64: every 32nd, then those 32 in
// order. Dropped: tiles read 4 bytes at a time, which was the first version of backward.
#include "kernels/invconv.h"

#include "kernels/cuda/mix.h"
#include "kernels/cuda/planes.h"
#include "kernels/cuda/runtime.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

struct Channels {
  int64_t n, c, pixels;  // of a sample
  int64_t in_stride, out_stride;
};

// A block's tile: `pixels` pixels of all channels.
struct Tiling {
  int pixels;      // a multiple of 4
  int row_floats;  // pixels + 4
  int groups;      // of 4 rows of the product
  bool weight_shared;
};

constexpr int row_group = 4;
constexpr int most_tile_pixels = 512;

Tiling tiling_of(int64_t c) {
  constexpr int64_t tile_floats = 2048;
  constexpr int64_t most_shared_channels = 64;
  int pixels = most_tile_pixels;
  while (pixels > 4 && pixels * c > tile_floats) {
    pixels /= 2;
  }
  return {.pixels = pixels,
          .row_floats = pixels + 4,
          .groups = static_cast<int>(divide_up(c, row_group)),
          .weight_shared = c <= most_shared_channels};
}

int weight_floats(const Tiling& tiling, int64_t c) {
  return tiling.weight_shared ? static_cast<int>(c) * tiling.groups * row_group : 0;
}

/// How a block's threads walk over a tile in units of kWidth pixels, each thread down the channels (or groups of them)
/// of its own pixels, so that it looks for their sample once. Both counts are powers of two.
struct Walk {
  int units, across;  // units of a row; threads of a row
};
template <int kWidth>
__device__ Walk walk_over(const Tiling& tiling) {
  const int units = tiling.pixels / kWidth;
  const int threads = static_cast<int>(blockDim.x);
  return {units, units < threads ? units : threads};
}

/// Rows of pixels beyond the map's end become zero.
template <int kWidth>
__device__ void load_tile(const Channels& s, const Tiling& tiling, int64_t first, const float* __restrict__ data,
                          int64_t stride, Shared<float> tile) {
  const Walk walk = walk_over<kWidth>(tiling);
  const int thread = static_cast<int>(threadIdx.x);
  const int c = static_cast<int>(s.c);
  const int step = static_cast<int>(blockDim.x) / walk.across;
  for (int unit = thread % walk.across; unit < walk.units; unit += walk.across) {
    const int64_t n = (first + unit * kWidth) / s.pixels;
    const float* from = data + n * stride + (first + unit * kWidth) - n * s.pixels;
#pragma unroll 4
    for (int channel = thread / walk.across; channel < c; channel += step) {
      Pack<kWidth> values = {};
      if (n < s.n) {
        values = load_pack<kWidth>(from + channel * s.pixels);
      }
      store_pack<kWidth>(tile + (channel * tiling.row_floats + unit * kWidth), values);
    }
  }
}

// w[k][row] = the product's factor of input channel k in output channel `row`, rows padded with zeros to whole groups.
template <bool kTransposed>
__device__ void load_weight(int c, const Tiling& tiling, const float* weight, Shared<float> w) {
  const int width = tiling.groups * row_group;
  for (int i = static_cast<int>(threadIdx.x); i < c * width; i += static_cast<int>(blockDim.x)) {
    const int k = i / width;
    const int row = i % width;
    w[i] = row < c ? weight[kTransposed ? k * c + row : row * c + k] : 0.0F;
  }
}

// out = W in, or W^T in: a thread takes four output channels of kWidth pixels at a time.
template <bool kTransposed, bool kWeightShared, int kWidth>
__device__ void multiply_tile(const Channels& s, const Tiling& tiling, int64_t first, const float* weight,
                              Shared<float> w, Shared<float> tile, float* __restrict__ out) {
  const int c = static_cast<int>(s.c);
  const int width = tiling.groups * row_group;
  const Walk walk = walk_over<kWidth>(tiling);
  const int thread = static_cast<int>(threadIdx.x);
  const int step = static_cast<int>(blockDim.x) / walk.across;
  for (int unit = thread % walk.across; unit < walk.units; unit += walk.across) {
    const int64_t n = (first + unit * kWidth) / s.pixels;
    if (n >= s.n) {
      continue;
    }
    float* to = out + n * s.out_stride + (first + unit * kWidth) - n * s.pixels;
    for (int row = thread / walk.across * row_group; row < c; row += step * row_group) {
      Pack<kWidth> sum[row_group] = {};
#pragma unroll 4
      for (int k = 0; k < c; ++k) {
        const Pack<kWidth> value = load_pack<kWidth>(tile + (k * tiling.row_floats + unit * kWidth));
        float factor[row_group];
        if constexpr (kWeightShared) {
          const float4 four = load4(w + (k * width + row));
          factor[0] = four.x;
          factor[1] = four.y;
          factor[2] = four.z;
          factor[3] = four.w;
        } else {
#pragma unroll
          for (int r = 0; r < row_group; ++r) {
            const int64_t i = row + r < c ? row + r : 0;
            factor[r] = weight[kTransposed ? k * s.c + i : i * s.c + k];
          }
        }
#pragma unroll
        for (int r = 0; r < row_group; ++r) {
#pragma unroll
          for (int i = 0; i < kWidth; ++i) {
            sum[r].at[i] = fmaf(factor[r], value.at[i], sum[r].at[i]);
          }
        }
      }
#pragma unroll
      for (int r = 0; r < row_group; ++r) {
        if (row + r < c) {
          store_pack<kWidth>(to + (row + r) * s.pixels, sum[r]);
        }
      }
    }
  }
}

template <bool kWeightShared, int kWidth>
__global__ void invconv_apply_tiled_kernel(LaneStrides lanes, Channels s, Tiling tiling, const float* __restrict__ x,
                                           const float* __restrict__ weight, float* __restrict__ y) {
  after_predecessor();
  to_lane(lanes, x, weight, y);
  SharedMemory memory;
  const int c = static_cast<int>(s.c);
  const Shared<float> tile = memory.take<float>(c * tiling.row_floats);
  const Shared<float> w = memory.take<float>(kWeightShared ? c * tiling.groups * row_group : 0);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * tiling.pixels;
  load_tile<kWidth>(s, tiling, first, x, s.in_stride, tile);
  if constexpr (kWeightShared) {
    load_weight<false>(c, tiling, weight, w);
  }
  sync_block();
  multiply_tile<false, kWeightShared, kWidth>(s, tiling, first, weight, w, tile, y);
}

// How the c x c products' sums over a tile's pixels are dealt out: a thread takes side x side of them over one of
// `parts` parts of the pixels; the parts meet in shared memory.
struct Products {
  int side, across;  // across^2 squares
  int parts;
};

Products products_of(int64_t c, const Tiling& tiling) {
  constexpr int64_t one_each = 4;
  constexpr int64_t four_each = 32;
  const int side = c <= one_each ? 1 : c <= four_each ? 2 : 4;
  const int across = static_cast<int>(divide_up(c, side));
  int parts = 1;
  while (parts * 2 * across * across <= block_threads && parts * 8 <= tiling.pixels) {
    parts *= 2;
  }
  return {side, across, parts};
}

// partial [c, c] = dy x^T over the tile. `sums` [parts, c, c] is used where there are several parts.
template <int kSide>
__device__ void multiply_out(int c, const Tiling& tiling, const Products& products, Shared<float> x, Shared<float> dy,
                             Shared<float> sums, float* __restrict__ partial) {
  const int squares = products.across * products.across;
  const int part_pixels = tiling.pixels / products.parts;
  for (int item = static_cast<int>(threadIdx.x); item < squares * products.parts;
       item += static_cast<int>(blockDim.x)) {
    const int part = item / squares;
    const int row = item % squares / products.across;  // rows row, row + across, ...: neighbours' reads spread
    const int column = item % products.across;
    float sum[kSide][kSide] = {};
    for (int pixel = part * part_pixels; pixel < (part + 1) * part_pixels; pixel += 4) {
      float4 a[kSide];
      float4 b[kSide];
#pragma unroll
      for (int r = 0; r < kSide; ++r) {
        const int i = row + r * products.across;
        const int j = column + r * products.across;
        a[r] = load4(dy + ((i < c ? i : 0) * tiling.row_floats + pixel));
        b[r] = load4(x + ((j < c ? j : 0) * tiling.row_floats + pixel));
      }
#pragma unroll
      for (int r = 0; r < kSide; ++r) {
#pragma unroll
        for (int q = 0; q < kSide; ++q) {
          sum[r][q] = fmaf(a[r].x, b[q].x, sum[r][q]);
          sum[r][q] = fmaf(a[r].y, b[q].y, sum[r][q]);
          sum[r][q] = fmaf(a[r].z, b[q].z, sum[r][q]);
          sum[r][q] = fmaf(a[r].w, b[q].w, sum[r][q]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kSide; ++r) {
#pragma unroll
      for (int q = 0; q < kSide; ++q) {
        const int i = row + r * products.across;
        const int j = column + q * products.across;
        if (i >= c || j >= c) {
          continue;
        }
        if (products.parts == 1) {
          partial[i * c + j] = sum[r][q];
        } else {
          sums[(part * c + i) * c + j] = sum[r][q];
        }
      }
    }
  }
  if (products.parts == 1) {
    return;
  }
  sync_block();
  for (int i = static_cast<int>(threadIdx.x); i < c * c; i += static_cast<int>(blockDim.x)) {
    float sum = 0;
    for (int part = 0; part < products.parts; ++part) {
      sum += sums[part * c * c + i];
    }
    partial[i] = sum;
  }
}

// One reading of x and dy gives dx and the tile's share of dW; invconv_backward_sum_kernel adds the shares up.
template <int kSide, bool kWeightShared, int kWidth>
__global__ void invconv_backward_kernel(LaneStrides lanes, Channels s, Tiling tiling, Products products,
                                        const float* __restrict__ x, int64_t x_stride, const float* __restrict__ dy,
                                        const float* __restrict__ weight, float* __restrict__ dx,
                                        float* __restrict__ partials) {
  after_predecessor();
  to_lane(lanes, x, dy, weight, dx);
  scratch_to_lane(lanes, partials);
  SharedMemory memory;
  const int c = static_cast<int>(s.c);
  const Shared<float> x_tile = memory.take<float>(c * tiling.row_floats);
  const Shared<float> dy_tile = memory.take<float>(c * tiling.row_floats);
  const Shared<float> w = memory.take<float>(kWeightShared ? c * tiling.groups * row_group : 0);
  const Shared<float> sums = memory.take<float>(products.parts > 1 ? products.parts * c * c : 0);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * tiling.pixels;
  load_tile<kWidth>(s, tiling, first, x, x_stride, x_tile);
  load_tile<kWidth>(s, tiling, first, dy, s.in_stride, dy_tile);
  if constexpr (kWeightShared) {
    load_weight<true>(c, tiling, weight, w);
  }
  sync_block();
  multiply_tile<true, kWeightShared, kWidth>(s, tiling, first, weight, w, dy_tile, dx);
  multiply_out<kSide>(c, tiling, products, x_tile, dy_tile, sums, partials + blockIdx.x * s.c * s.c);
}

// dW += the tiles' shares: thread (x, y) adds shares y, y + blockDim.y, ... of one element in float64, then y's in
// order.
__global__ void invconv_backward_sum_kernel(LaneStrides lanes, const float* __restrict__ partials, int64_t tiles,
                                            int64_t elements, float* __restrict__ dweight) {
  after_predecessor();
  scratch_to_lane(lanes, partials);
  to_lane(lanes, dweight);
  SharedMemory memory;
  const Shared<double> sums = memory.take<double>(static_cast<int>(blockDim.x * blockDim.y));
  const int64_t element = first_item();
  double sum = 0;
  if (element < elements) {
#pragma unroll 16
    for (int64_t tile = threadIdx.y; tile < tiles; tile += blockDim.y) {
      sum += static_cast<double>(partials[tile * elements + element]);
    }
  }
  sums[static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x)] = sum;
  sync_block();
  if (threadIdx.y != 0 || element >= elements) {
    return;
  }
  for (int y = 1; y < static_cast<int>(blockDim.y); ++y) {
    sum += sums[y * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)];
  }
  dweight[element] += static_cast<float>(sum);
}

template <bool kWeightShared>
auto apply_kernel(bool packs) {
  return packs ? invconv_apply_tiled_kernel<kWeightShared, pack_floats> : invconv_apply_tiled_kernel<kWeightShared, 1>;
}

template <int kSide>
auto backward_kernel(bool weight_shared, bool packs) {
  if (!weight_shared) {
    return invconv_backward_kernel<kSide, false, 1>;
  }
  return packs ? invconv_backward_kernel<kSide, true, pack_floats> : invconv_backward_kernel<kSide, true, 1>;
}

}  // namespace

void run(Stream& stream, const InvconvApply& task) {
  const ConstMap& x = task.x;
  const Array<const float>& weight = task.weight;
  const Map& y = task.y;
  if (x.size() == 0) {
    return;
  }
  if (mix_forward_serves(x)) {
    return mix_forward(stream, {.x = x, .weight = weight.data, .y = y, .actnorm = {}, .normalised = {}});
  }
  const Channels s = {x.n, x.c, x.pixels(), x.sample_stride, y.sample_stride};
  const bool packs = planes_are_packs(x, y);
  const Tiling tiling = tiling_of(x.c);
  const auto tiles = static_cast<unsigned>(divide_up(x.n * x.pixels(), tiling.pixels));
  const auto floats = static_cast<size_t>(x.c * tiling.row_floats + weight_floats(tiling, x.c));
  launch(stream, {"invconv_apply", {tiles}, block_threads, sizeof(float) * floats},
         tiling.weight_shared ? apply_kernel<true>(packs) : apply_kernel<false>(packs), s, tiling, x.data, weight.data,
         y.data);
}

void run(Stream& stream, const InvconvBackward& task) {
  const ConstMap& x = task.x;
  const ConstMap& dy = task.dy;
  const Map& dx = task.dx;
  if (x.size() == 0) {
    return;
  }
  if (mix_backward_serves(x)) {
    return mix_backward(
        stream, {.x = x, .dy = dy, .weight = task.weight.data, .dx = dx, .dweight = task.dweight.data, .actnorm = {}});
  }
  const Channels s = {x.n, x.c, x.pixels(), dy.sample_stride, dx.sample_stride};
  const Tiling tiling = tiling_of(x.c);
  const Products products = products_of(x.c, tiling);
  const bool packs = planes_are_packs(x, dy, dx);
  const int64_t tiles = divide_up(x.n * x.pixels(), tiling.pixels);
  const int64_t elements = x.c * x.c;
  auto* partials = static_cast<float*>(scratch(stream, tiles * elements * static_cast<int64_t>(sizeof(float))));
  const int64_t sum_floats = products.parts > 1 ? products.parts * elements : 0;
  const auto shared_floats = [](int64_t count) { return divide_up(count, pack_floats) * pack_floats; };
  const auto floats =
      static_cast<size_t>(2 * x.c * tiling.row_floats + weight_floats(tiling, x.c) + shared_floats(sum_floats));
  const auto kernel = products.side == 1   ? backward_kernel<1>(tiling.weight_shared, packs)
                      : products.side == 2 ? backward_kernel<2>(tiling.weight_shared, packs)
                                           : backward_kernel<4>(tiling.weight_shared, packs);
  launch(stream, {"invconv_backward", {static_cast<unsigned>(tiles)}, block_threads, sizeof(float) * floats}, kernel, s,
         tiling, products, x.data, x.sample_stride, dy.data, task.weight.data, dx.data, partials);
  constexpr unsigned across = 16;
  constexpr unsigned rows = 32;
  launch(stream,
         {"invconv_backward_sum",
          {static_cast<unsigned>(divide_up(elements, across))},
          {across, rows},
          sizeof(double) * across * rows},
         invconv_backward_sum_kernel, partials, tiles, elements, task.dweight.data);
}

}  // namespace evenflow::kernels::cuda
