// The coupling's network and what follows it in one kernel: forward, and the inverse, which sees the same x_a.
// Grid: x is a window, y a strip of its rows, or all of them in turn. The paper's couplings have kernels of their own:
// 16 warps, one block to a multiprocessor, its weights in shared memory. Any other, and the inverse: 8 warps, two
// blocks, the weights through the first-level cache. Hidden pixels of the strip and a row on either side, 16 to a warp
// at a time, h1 and h2 in registers; u of the turned-round last convolution in shared memory; then the strip's output
// pixels, consecutive threads on consecutive pixels of one channel. Traffic, per element of x: 8 bytes (x in, y out),
// and 4 out for what backward needs (2 of an additive one); a strip reads two rows of x_a more than its own, and
// computes them again. Hidden maps never leave the chip. Sums: a product's k in the order of its tiles, float32; an
// output pixel its taps in order; log_det in float64, the block's tree, then the strips in order (affine.cu).
#include "kernels/cuda/affine.h"
#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/coupling.h"
#include "kernels/cuda/fused.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/runtime.h"

namespace evenflow::kernels::cuda {
namespace {

struct ForwardTask {
  FusedShape shape;
  int rows = 0, strips = 0;  // of a strip; of a window
  const float* in = nullptr;
  float* out = nullptr;
  int64_t in_stride = 0, out_stride = 0;
  const float* packed = nullptr;
  float* kept = nullptr;  // [n, outputs, pixels] for backward, or null: raw, additive the shift
  // None of the inverse or an additive one.
  double* log_det = nullptr;            // [n], added to, where a block computes a whole window
  double* log_det_of_strips = nullptr;  // [n, strips], where it computes a strip
};

/// What a kernel is compiled for: channels of x_a and of the network's output, 0: any; warps of a block.
template <int kHalf, int kOutputs, int kWarps>
struct Size {
  static constexpr int half = kHalf, outputs = kOutputs, warps = kWarps, threads = kWarps * warp_size;
  static constexpr int columns3 = (taps * kOutputs + tile_columns - 1) / tile_columns;
};
using AnySize = Size<0, 0, 8>;

/// Where a pixel's u lies, and which of its neighbours are on the map.
template <class Size>
struct Neighbours {
  int centre, across, row;  // in u: the pixel's, from a pixel to the next, from a row to the next
  bool rows[3], columns[3];
  int outputs;

  __device__ Neighbours(const FusedShape& s, int y, int x, int hidden_row)
      : across(scatter_stride(Size::outputs > 0 ? Size::columns3 : s.conv3.n_tiles)),
        row(across * s.width),
        rows{y > 0, true, y + 1 < s.height},
        columns{x > 0, true, x + 1 < s.width},
        outputs(Size::outputs > 0 ? Size::outputs : s.outputs) {
    centre = hidden_row * row + x * across;
  }
  /// The last convolution's output `channel` at the pixel: its neighbours' u, in the order of the taps.
  __device__ float sum(Shared<float> u, int channel) const {
    float sum = 0;
#pragma unroll
    for (int tap = 0; tap < taps; ++tap) {
      if (rows[tap / 3] && columns[tap % 3]) {
        sum += u[centre + (tap / 3 - 1) * row + (tap % 3 - 1) * across + tap * outputs + channel];
      }
    }
    return sum;
  }
};

/// What a block holds in shared memory.
struct ForwardMemory {
  Shared<float> tile;           // x_a: a strip's hidden rows and those around them
  Shared<int> offset;           // where k lies in it, for any number of channels
  Shared<float> u;              // [hidden pixel][tap, channel]
  Shared<float> bias_and_gain;  // of the last convolution, [output][2]
  Shared<double> sums;
  Shared<float> weights;  // of a kernel of its own: conv1, conv2 and conv3, then bias1 and bias2
  __device__ ForwardMemory(const ForwardTask& task, bool weights_shared, int stride, SharedMemory& memory) {
    const FusedShape& s = task.shape;
    const int hidden_rows = task.rows + 2 < s.height ? task.rows + 2 : s.height;
    tile = memory.take<float>((hidden_rows + 2) * s.tile_width() * pixel_floats(s.half));
    offset = memory.take<int>(s.conv1.k_tiles * tile_columns);
    u = memory.take<float>(hidden_rows * s.width * stride);
    bias_and_gain = memory.take<float>(2 * s.outputs);
    sums = memory.take<double>(most_warps);
    weights = memory.take<float>(weights_shared ? forward_weight_floats(s) : 0);
  }
};

/// A strip's rows [first, last), and the hidden rows that they need.
struct ForwardStrip {
  int first, last, hidden_first, hidden_rows;
  __device__ ForwardStrip(const ForwardTask& task, int strip) {
    const FusedShape& s = task.shape;
    first = strip * task.rows;
    last = first + task.rows < s.height ? first + task.rows : s.height;
    hidden_first = first > 0 ? first - 1 : 0;
    const int hidden_last = last + 1 < s.height ? last + 1 : s.height;
    hidden_rows = hidden_last - hidden_first;
  }
};

/// The strip's hidden pixels through the network, to u.
template <int kTiles, Precision kPrecision, class Size>
__device__ void carry_strip(const FusedShape& s, const float* packed, const ForwardStrip& strip,
                            const ForwardMemory& memory, int stride, const LanePlace& at) {
  const int columns = s.tile_width();
  const int hidden_pixels = strip.hidden_rows * s.width;
  const float inverse_width = 1.0F / static_cast<float>(s.width);
  const FusedLayout layout = layout_of<kTiles, Size>(s);
  const auto weight = [&](const PackedWeight& w) {
    if constexpr (Size::half > 0) {
      return lane_weight(memory.weights, w, at);
    } else {
      return lane_weight(packed, w, at);
    }
  };
  const auto bias = [&](int offset) {
    if constexpr (Size::half > 0) {
      return memory.weights + (offset - layout.bias1 + layout.conv3_back.offset);
    } else {
      return packed + offset;
    }
  };
#pragma unroll 1
  for (int pixel = at.warp * tile_pixels; pixel < hidden_pixels; pixel += Size::warps * tile_pixels) {
    int upper_left[2];
    LanePixels pixels;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      // Lanes beyond the strip carry its last pixel along and write nothing.
      const int own = pixel + at.g + r * tile_columns;
      const int q = own < hidden_pixels ? own : hidden_pixels - 1;
      pixels.pixel[r] = q;
      pixels.real[r] = own < hidden_pixels;
      const int row = quotient(q, inverse_width);
      upper_left[r] = row * columns + q - row * s.width;
    }
    float h1[kTiles][4];
    start_with_bias(h1, bias(layout.bias1), at);
    gather_product<kTiles, kPrecision, Size::half, false>(h1, memory.tile, columns, s.half, memory.offset, upper_left,
                                                          layout.conv1.k_tiles, weight(layout.conv1), at);
    relu_and_round<kTiles, kPrecision>(h1);
    float h2[kTiles][4];
    start_with_bias(h2, bias(layout.bias2), at);
    chain_product<kTiles, kPrecision>(h1, h2, weight(layout.conv2));
    relu_and_round<kTiles, kPrecision>(h2);
    scatter_product<kTiles, kPrecision, (Size::half > 0 ? 3 : 2)>(h2, weight(layout.conv3), layout.conv3.n_tiles,
                                                                  memory.u, stride, pixels, at);
  }
}

/// A strip's output.
template <CouplingKind kKind, bool kInverse, class Size>
class StripOutput {
 public:
  /// Asks for the input of the calling thread's first pixels.
  __device__ StripOutput(const ForwardTask& task, int64_t lane, const ForwardStrip& strip, const LanePlace& at)
      : task_(task),
        strip_(strip),
        inputs_(Size::half > 0 ? Size::half : task.shape.half),
        plane_(task.shape.height * task.shape.width),
        pixels_((strip.last - strip.first) * task.shape.width),
        place_(inputs_, at),
        in_(task.in + (lane + blockIdx.x * task.in_stride + strip.first * task.shape.width)),
        out_(task.out + (lane + blockIdx.x * task.out_stride + strip.first * task.shape.width)),
        kept_(task.kept == nullptr ? nullptr
                                   : task.kept + (lane + static_cast<int64_t>(blockIdx.x) * outputs() * plane_ +
                                                  strip.first * task.shape.width)) {
    load(place_.channel, place_.first);
  }
  /// What u and the input give; the thread's part of the log-determinant.
  __device__ double write(const ForwardMemory& memory) {
    double log_det = 0;
    for (int channel = place_.channel; channel < inputs_; channel += Size::warps) {
      PixelWalk walk(place_.first, place_.step, task_.shape.width);
      for (int i = place_.first; i < pixels_; i += batch * place_.step) {
        if (channel != place_.channel || i != place_.first) {
          load(channel, i);
        }
#pragma unroll
        for (int k = 0; k < batch; ++k) {
          const int pixel = i + k * place_.step;
          if (pixel < pixels_) {
            log_det += write_pixel(memory, channel, pixel, walk.row(), walk.column(), x_a_[k], x_b_[k]);
          }
          walk.next();
        }
      }
    }
    return log_det;
  }

 private:
  static constexpr int batch = 4;

  __device__ int outputs() const {
    return Size::outputs > 0 ? Size::outputs : task_.shape.outputs;
  }
  __device__ void load(int channel, int first) {
    const float* in = in_ + channel * plane_;
#pragma unroll
    for (int k = 0; k < batch; ++k) {
      const int pixel = first + k * place_.step;
      const bool there = channel < inputs_ && pixel < pixels_;
      x_a_[k] = there ? in[pixel] : 0.0F;
      x_b_[k] = there ? in[inputs_ * plane_ + pixel] : 0.0F;
    }
  }
  __device__ float write_pixel(const ForwardMemory& memory, int channel, int pixel, int row, int column, float x_a,
                               float x_b) {
    const Shared<float> bias_and_gain = memory.bias_and_gain;
    const int y = strip_.first + row;
    const int a = channel * plane_ + pixel;
    const int b = a + inputs_ * plane_;
    const Neighbours<Size> neighbours(task_.shape, y, column, y - strip_.hidden_first);
    const float first_raw = neighbours.sum(memory.u, channel);
    const float first_output = (first_raw + bias_and_gain[2 * channel]) * bias_and_gain[2 * channel + 1];
    if (out_ != in_) {
      out_[a] = x_a;
    }
    if constexpr (kKind == CouplingKind::additive) {
      const float shift = first_output;
      if (kept_ != nullptr) {
        kept_[a] = shift;
      }
      out_[b] = kInverse ? x_b - shift : x_b + shift;
      return 0;
    } else {
      const int second = inputs_ + channel;
      const float second_raw = neighbours.sum(memory.u, second);
      if (kept_ != nullptr) {
        kept_[a] = first_raw;
        kept_[b] = second_raw;
      }
      const Gain gain = gain_of<kKind>(first_output);
      const float shift = (second_raw + bias_and_gain[2 * second]) * bias_and_gain[2 * second + 1];
      out_[b] = kInverse ? x_b / gain.g - shift : (x_b + shift) * gain.g;
      return gain.log_g;
    }
  }

  const ForwardTask& task_;
  const ForwardStrip& strip_;
  int inputs_, plane_, pixels_;
  ChannelPlace<Size::warps> place_;
  const float* in_;
  float *out_, *kept_;
  float x_a_[batch], x_b_[batch];
};

template <int kTiles, Precision kPrecision, CouplingKind kKind, bool kInverse, class Size>
__global__ __launch_bounds__(Size::threads, 16 / Size::warps) void fused_forward_kernel(LaneStrides lanes,
                                                                                        ForwardTask task) {
  after_predecessor();
  constexpr bool own_kernel = Size::half > 0;
  const int64_t lane = lane_offset(lanes, task.in, task.out, task.packed, task.kept);
  const FusedShape& s = task.shape;
  const int inputs = Size::half > 0 ? Size::half : s.half;
  const int outputs = Size::outputs > 0 ? Size::outputs : s.outputs;
  const int stride = scatter_stride(Size::outputs > 0 ? Size::columns3 : s.conv3.n_tiles);
  SharedMemory shared;
  const ForwardMemory memory(task, own_kernel, stride, shared);
  const float* packed = task.packed + lane;
  const LanePlace at;
  if constexpr (own_kernel) {
    const FusedLayout layout = layout_of<kTiles, Size>(s);
    copy_weights<Size::threads>(packed, 0, layout.conv3_back.offset, memory.weights);
    copy_weights<Size::threads>(packed, layout.bias1, layout.bias3, memory.weights + layout.conv3_back.offset);
    commit_copies();
  } else {
    fill_offsets<Size::threads>(s, inputs, s.conv1.k_tiles * tile_columns, false, memory.offset);
  }
  for (int i = static_cast<int>(threadIdx.x); i < outputs; i += Size::threads) {
    memory.bias_and_gain[2 * i] = packed[s.bias3 + i];
    memory.bias_and_gain[2 * i + 1] = expf(3.0F * packed[s.log_gain + i]);
  }
  clear_sides<Size::threads>(s, inputs, (task.rows + 2 < s.height ? task.rows + 2 : s.height) + 2, memory.tile);
  double log_det_of_window = 0;
  for (int i = static_cast<int>(blockIdx.y); i < task.strips; i += static_cast<int>(gridDim.y)) {
    const ForwardStrip strip(task, i);
    load_tile<Size::threads, kPrecision>(s, task.in + (lane + blockIdx.x * task.in_stride), inputs,
                                         strip.hidden_first - 1, strip.hidden_rows + 2, memory.tile, at);
    wait_copies<0>();
    sync_block();
    carry_strip<kTiles, kPrecision, Size>(s, packed, strip, memory, stride, at);
    StripOutput<kKind, kInverse, Size> output(task, lane, strip, afresh(at));
    sync_block();
    double log_det = output.write(memory);
    if constexpr (!kInverse && kKind != CouplingKind::additive) {
      log_det = block_sum(log_det, memory.sums);
      if (threadIdx.x == 0 && task.log_det_of_strips != nullptr) {
        double* of_strips = task.log_det_of_strips;
        scratch_to_lane(lanes, of_strips);
        of_strips[static_cast<int64_t>(blockIdx.x) * task.strips + i] = log_det;
      }
      log_det_of_window += log_det;
    }
  }
  if constexpr (!kInverse && kKind != CouplingKind::additive) {
    if (threadIdx.x == 0 && task.log_det_of_strips == nullptr) {
      double* of_window = task.log_det;
      to_lane(lanes, of_window);
      of_window[blockIdx.x] += log_det_of_window;
    }
  }
}

using ForwardKernel = void (*)(LaneStrides, ForwardTask);
struct ForwardChoice {
  ForwardKernel kernel;
  int threads;
};

template <int kTiles, Precision kPrecision, CouplingKind kKind, bool kInverse, class Size>
ForwardChoice choice() {
  return {fused_forward_kernel<kTiles, kPrecision, kKind, kInverse, Size>, Size::threads};
}

/// Kernels of their own for the couplings of the paper's model, affine and additive, at the default hidden width.
template <int kTiles, Precision kPrecision, CouplingKind kKind, bool kInverse>
ForwardChoice choice_for(const FusedShape& s, bool own_kernel) {
  constexpr int outputs = kKind == CouplingKind::additive ? 1 : 2;  // to a channel of x_a
  if constexpr (kTiles == 4 && kKind != CouplingKind::tanh && !kInverse) {
    switch (own_kernel ? s.half : 0) {
      case 2:
        return choice<kTiles, kPrecision, kKind, kInverse, Size<2, 2 * outputs, 16>>();
      case 4:
        return choice<kTiles, kPrecision, kKind, kInverse, Size<4, 4 * outputs, 16>>();
      case 8:
        return choice<kTiles, kPrecision, kKind, kInverse, Size<8, 8 * outputs, 16>>();
      default:
        break;
    }
  }
  return choice<kTiles, kPrecision, kKind, kInverse, AnySize>();
}

/// Whether a kernel of the shape's own computes it, and its strips.
struct ForwardPlan {
  bool own_kernel;
  Strips strips;
  /// Whether a block takes all strips of a window: where strips side by side would be computed no sooner.
  bool whole_windows(int64_t n, Device device) const {
    const int64_t places = limits_of(device.index).multiprocessors;
    return strips.count == 1 ||
           (own_kernel && divide_up(n, places) * strips.count <= divide_up(n * strips.count, places));
  }
  ForwardPlan(const FusedShape& s, CouplingKind kind, bool inverse, Device device)
      : own_kernel(has_own_kernels(s.half, s.padded) && kind != CouplingKind::tanh && !inverse &&
                   forward_strips(s, true, device).rows > 0),
        strips(forward_strips(s, own_kernel, device)) {}
};

template <bool kInverse>
void launch_forward(Stream& stream, const CouplingShape& shape, int64_t n, ForwardTask task) {
  const ForwardPlan plan(task.shape, shape.kind, kInverse, stream.device());
  const Strips& strips = plan.strips;
  task.rows = strips.rows;
  task.strips = strips.count;
  const bool whole_windows = plan.whole_windows(n, stream.device());
  const ForwardChoice choice = for_width_and_precision(task.shape, shape.precision, [&](auto tiles, auto precision) {
    constexpr int feature_tiles = decltype(tiles)::value;
    constexpr Precision arithmetic = decltype(precision)::value;
    switch (shape.kind) {
      case CouplingKind::tanh:
        return choice_for<feature_tiles, arithmetic, CouplingKind::tanh, kInverse>(task.shape, plan.own_kernel);
      case CouplingKind::additive:
        return choice_for<feature_tiles, arithmetic, CouplingKind::additive, kInverse>(task.shape, plan.own_kernel);
      case CouplingKind::sigmoid:
        break;
    }
    return choice_for<feature_tiles, arithmetic, CouplingKind::sigmoid, kInverse>(task.shape, plan.own_kernel);
  });
  launch(stream,
         {kInverse ? "fused_inverse" : "fused_forward",
          {static_cast<unsigned>(n), whole_windows ? 1 : static_cast<unsigned>(strips.count)},
          static_cast<unsigned>(choice.threads),
          static_cast<size_t>(strips.shared_bytes)},
         choice.kernel, task);
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
  const ForwardPlan plan(task.shape, coupling.shape.kind, false, stream.device());
  if (plan.whole_windows(x.n, stream.device())) {
    task.log_det = coupling.log_det.data;
    launch_forward<false>(stream, coupling.shape, x.n, task);
    return;
  }
  task.log_det_of_strips = scratch_doubles(stream, x.n * plan.strips.count);
  launch_forward<false>(stream, coupling.shape, x.n, task);
  add_log_det(stream, x.n, plan.strips.count, task.log_det_of_strips, coupling.log_det.data);
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
