// The coupling's network and what follows it in one kernel: forward, and the inverse, which sees the same x_a.
// Grid: x is a strip of a window's rows, y the window; 8 warps. Hidden pixels of the strip and a row on either side,
// 16 to a warp at a time, h1 and h2 in registers; u of the turned-round last convolution in shared memory; then the
// strip's output pixels, consecutive threads on consecutive pixels of one channel.
// Traffic, per element of x: 8 bytes (x in, y out), and 4 out for what backward needs (2 of an additive one); a strip
// reads two rows of x_a more than its own. Packed weights come through the first-level cache, 256 bytes a tile product.
// Hidden maps never leave the chip. Sums: a product's k in the order of its tiles, float32; an output pixel its taps in
// order; log_det in float64, the block's tree, then the strips in order (affine.cu). Strips are as high as two blocks
// to a multiprocessor allow; 12 % of the paper's hidden pixels are computed twice for it. Lanes have kernels of their
// own: the compiler takes other registers where an offset is added to every pointer.
#include "kernels/cuda/affine.h"
#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/coupling.h"
#include "kernels/cuda/fused.h"
#include "kernels/cuda/runtime.h"

namespace evenflow::kernels::cuda {
namespace {

struct ForwardTask {
  FusedShape shape;
  int rows = 0;  // of a strip
  const float* in = nullptr;
  float* out = nullptr;
  int64_t in_stride = 0, out_stride = 0;
  const float* packed = nullptr;
  float* kept = nullptr;                // [n, outputs, pixels] for backward, or null: raw, additive the shift
  double* log_det_of_strips = nullptr;  // [n, strips]; none of the inverse or an additive one
};

/// Outputs `channel` and, of an affine coupling, `channel` + half of the last convolution at one pixel: its neighbours'
/// u, in the order of the taps.
template <int kOutputs>
__device__ void sum_neighbours(const FusedShape& s, Shared<float> u, int hidden_first, int y, int x, int channel,
                               float (&raw)[kOutputs]) {
  const int stride = scatter_stride(s.conv3.n_tiles);
  for (int tap = 0; tap < taps; ++tap) {
    const int row = y + tap / 3 - 1;
    const int column = x + tap % 3 - 1;
    if (row < 0 || row >= s.height || column < 0 || column >= s.width) {
      continue;
    }
    const int from = ((row - hidden_first) * s.width + column) * stride + tap * s.outputs + channel;
#pragma unroll
    for (int i = 0; i < kOutputs; ++i) {
      raw[i] += u[from + i * s.half];
    }
  }
}

template <int kTiles, Precision kPrecision, CouplingKind kKind, bool kInverse, bool kLanes>
__global__ __launch_bounds__(forward_threads) void fused_forward_kernel(LaneStrides lanes, ForwardTask task) {
  const int64_t lane = kLanes ? lane_offset(lanes, task.in, task.out, task.packed, task.kept) : 0;
  const FusedShape& s = task.shape;
  const int first = static_cast<int>(blockIdx.x) * task.rows;
  const int last = first + task.rows < s.height ? first + task.rows : s.height;
  const int hidden_first = first > 0 ? first - 1 : 0;
  const int hidden_last = last + 1 < s.height ? last + 1 : s.height;
  const int hidden_rows = hidden_last - hidden_first;
  const int hidden_pixels = hidden_rows * s.width;
  const int stride = scatter_stride(s.conv3.n_tiles);

  SharedMemory memory;
  const Shared<float> tile = memory.take<float>((hidden_rows + 2) * (s.width + 2) * s.half);
  const Shared<int> offset = memory.take<int>(s.conv1.k_tiles * tile_columns);
  const Shared<float> u = memory.take<float>(hidden_pixels * stride);
  const Shared<double> sums = memory.take<double>(most_warps);

  const float* in = task.in + (lane + blockIdx.y * task.in_stride);
  float* out = task.out + (lane + blockIdx.y * task.out_stride);
  const LanePlace at;
  load_tile<forward_warps, kPrecision>(s, in, s.half, hidden_first - 1, hidden_rows + 2, tile, at);
  fill_offsets<forward_threads>(s, s.half, s.conv1.k_tiles * tile_columns, false, offset);
  sync_block();

  for (int pixel = at.warp * tile_pixels; pixel < hidden_pixels; pixel += forward_warps * tile_pixels) {
    int base[2];
    LanePixels pixels;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      // Lanes beyond the strip carry its last pixel along and write nothing.
      const int own = pixel + at.g + r * tile_columns;
      const int q = own < hidden_pixels ? own : hidden_pixels - 1;
      pixels.pixel[r] = q;
      pixels.real[r] = own < hidden_pixels;
      base[r] = (q / s.width * (s.width + 2) + q % s.width) * s.half;
    }
    float h1[kTiles][4];
    start_with_bias(h1, task.packed + (lane + s.bias1), at);
    gather_product<kTiles, kPrecision, 0, false>(h1, tile, s.width + 2, offset, base, s.conv1.k_tiles, task.packed + (lane + s.conv1.offset),
                                       at);
    relu_and_round<kTiles, kPrecision>(h1);
    float h2[kTiles][4];
    start_with_bias(h2, task.packed + (lane + s.bias2), at);
    chain_product<kTiles, kPrecision>(h1, h2, task.packed + (lane + s.conv2.offset), at);
    relu_and_round<kTiles, kPrecision>(h2);
    scatter_product<kTiles, kPrecision>(h2, task.packed + (lane + s.conv3.offset), s.conv3.n_tiles, u, stride, pixels,
                                        at);
  }
  sync_block();

  const float* bias = task.packed + (lane + s.bias3);
  const float* log_gain = task.packed + (lane + s.log_gain);
  const int plane = s.height * s.width;
  const int pixels = (last - first) * s.width;
  double log_det = 0;
  for (int i = static_cast<int>(threadIdx.x); i < pixels * s.half; i += forward_threads) {
    const int channel = i / pixels;
    const int y = first + i % pixels / s.width;
    const int x = i % s.width;
    const int a = channel * plane + y * s.width + x;
    const int b = a + s.half * plane;
    if constexpr (kKind == CouplingKind::additive) {
      float raw[1] = {};
      sum_neighbours(s, u, hidden_first, y, x, channel, raw);
      const float shift = (raw[0] + bias[channel]) * expf(3.0F * log_gain[channel]);
      if (task.kept != nullptr) {
        task.kept[lane + blockIdx.y * static_cast<int64_t>(s.half) * plane + a] = shift;
      }
      out[b] = kInverse ? in[b] - shift : in[b] + shift;
    } else {
      float raw[2] = {};
      sum_neighbours(s, u, hidden_first, y, x, channel, raw);
      if (task.kept != nullptr) {
        float* kept = task.kept + (lane + static_cast<int64_t>(blockIdx.y) * s.outputs * plane);
        kept[a] = raw[0];
        kept[b] = raw[1];
      }
      const Gain gain = gain_of<kKind>((raw[0] + bias[channel]) * expf(3.0F * log_gain[channel]));
      const float shift = (raw[1] + bias[s.half + channel]) * expf(3.0F * log_gain[s.half + channel]);
      const float g = expf(gain.log_g);
      out[b] = kInverse ? in[b] / g - shift : (in[b] + shift) * g;
      log_det += gain.log_g;
    }
    if (out != in) {
      out[a] = in[a];
    }
  }
  if constexpr (!kInverse && kKind != CouplingKind::additive) {
    log_det = block_sum(log_det, sums);
    if (threadIdx.x == 0) {
      double* log_det_of_strips = task.log_det_of_strips;
      if constexpr (kLanes) {
        scratch_to_lane(lanes, log_det_of_strips);
      }
      log_det_of_strips[blockIdx.y * gridDim.x + blockIdx.x] = log_det;
    }
  }
}

using ForwardKernel = void (*)(LaneStrides, ForwardTask);

template <int kTiles, Precision kPrecision, CouplingKind kKind, bool kInverse>
ForwardKernel forward_kernel(bool lanes) {
  if constexpr (!kInverse) {
    if (lanes) {
      return fused_forward_kernel<kTiles, kPrecision, kKind, kInverse, true>;
    }
  }
  return fused_forward_kernel<kTiles, kPrecision, kKind, kInverse, false>;
}

template <bool kInverse>
void launch_forward(Stream& stream, const CouplingShape& shape, int64_t n, ForwardTask task) {
  const Strips strips = forward_strips(task.shape);
  task.rows = strips.rows;
  const bool lanes = stream.lanes().count > 1;
  const auto kernel =
      for_width_and_precision(task.shape, shape.precision, [&](auto tiles, auto precision) -> ForwardKernel {
        constexpr int feature_tiles = decltype(tiles)::value;
        constexpr Precision arithmetic = decltype(precision)::value;
        switch (shape.kind) {
          case CouplingKind::tanh:
            return forward_kernel<feature_tiles, arithmetic, CouplingKind::tanh, kInverse>(lanes);
          case CouplingKind::additive:
            return forward_kernel<feature_tiles, arithmetic, CouplingKind::additive, kInverse>(lanes);
          case CouplingKind::sigmoid:
            break;
        }
        return forward_kernel<feature_tiles, arithmetic, CouplingKind::sigmoid, kInverse>(lanes);
      });
  launch(stream,
         {kInverse ? "fused_inverse" : "fused_forward",
          {static_cast<unsigned>(strips.count), static_cast<unsigned>(n)},
          forward_threads,
          static_cast<size_t>(strips.shared_bytes)},
         kernel, task);
}

}  // namespace

namespace fused {

void run(Stream& stream, const CouplingForward& coupling) {
  const ConstMap& x = coupling.x;
  if (x.n == 0) {
    return;
  }
  ForwardTask task{.shape = fused_shape(coupling.shape),
                   .in = x.data,
                   .out = coupling.y.data,
                   .in_stride = x.sample_stride,
                   .out_stride = coupling.y.sample_stride,
                   .packed = coupling.packed.data,
                   .kept = coupling.saved.size > 0 ? coupling.saved.data : nullptr};
  if (coupling.shape.kind == CouplingKind::additive) {
    launch_forward<false>(stream, coupling.shape, x.n, task);
    return;
  }
  const int strips = forward_strips(task.shape).count;
  task.log_det_of_strips = scratch_doubles(stream, x.n * strips);
  launch_forward<false>(stream, coupling.shape, x.n, task);
  add_log_det(stream, x.n, strips, task.log_det_of_strips, coupling.log_det.data);
}

void run(Stream& stream, const CouplingInverse& coupling) {
  const ConstMap& y = coupling.y;
  if (y.n == 0) {
    return;
  }
  require_one_model(stream);
  launch_forward<true>(stream, coupling.shape, y.n,
                       {.shape = fused_shape(coupling.shape),
                        .in = y.data,
                        .out = coupling.x.data,
                        .in_stride = y.sample_stride,
                        .out_stride = coupling.x.sample_stride,
                        .packed = coupling.packed.data});
}

}  // namespace fused

}  // namespace evenflow::kernels::cuda
