// The coupling layer by layer over the whole batch: a library's convolutions, and own kernels for what lies between
// them. Any width; float32 is exact here, and this is the oracle for the fused kernels.
//
// saved, and without it the workspace: h1 [n, F, P], h2 [n, F, P] after their ReLU, and the last convolution's output
// [n, c, P] before bias and gain (additive: the shift [n, c/2, P] after them). Backward's workspace: d of that output,
// d h2, d h1, d x_a, and d conv2.weight of each sample.
//
// Grid: bias and ReLU by planes.h's grid; ReLU's backward a block per plane; sums a thread per element; packing y the
// flow step. Traffic, per element of a hidden map: bias and ReLU 8 bytes forward, 12 back; the library's products
// read and write each hidden map once more.
// Sums: bias gradients in float64, a plane by the block's tree, samples in order; conv2's weight gradient per sample
// by cuBLAS, samples in order in float64; the library's own orders are deterministic.
#include <array>
#include <span>
#include <vector>

#include "kernels/cuda/affine.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/coupling.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/planes.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/shift.h"
#include "kernels/cuda/steps.h"

namespace evenflow::kernels::cuda {
namespace {

constexpr int tensors = 7;

std::array<int64_t, tensors> sizes_of(const CouplingShape& s) {
  return {s.hidden * s.channels / 2 * 9, s.hidden,    s.hidden * s.hidden, s.hidden,
          s.outputs() * s.hidden * 9,    s.outputs(), s.outputs()};
}

/// The packed parameters: one tensor behind the other, as they are.
struct Packed {
  const float *conv1_weight, *conv1_bias, *conv2_weight, *conv2_bias, *conv3_weight, *conv3_bias, *log_gain;
};
Packed packed_of(const CouplingShape& s, const float* packed) {
  std::array<const float*, tensors> at{};
  const std::array<int64_t, tensors> sizes = sizes_of(s);
  for (size_t i = 0; i < tensors; ++i) {
    at[i] = packed;
    packed += sizes[i];
  }
  return {at[0], at[1], at[2], at[3], at[4], at[5], at[6]};
}

int64_t packed_floats(const CouplingShape& s) {
  int64_t floats = 0;
  for (const int64_t size : sizes_of(s)) {
    floats += size;
  }
  return floats;
}

int64_t pixels_of(const CouplingShape& s) {
  return s.height * s.width;
}
int64_t saved_floats(const CouplingShape& s) {
  return (2 * s.hidden + s.outputs()) * pixels_of(s);
}
int64_t workspace_floats(const CouplingShape& s, int64_t n) {
  return n * ((2 * s.hidden + s.outputs() + s.channels) * pixels_of(s) + s.hidden * s.hidden);
}

// ---- packing: every step's tensors in one launch

struct PackStep {
  const float* from[tensors];
  int64_t size[tensors];
  float* to;
};

__global__ void pack_kernel(Steps<PackStep> steps) {
  after_predecessor();
  const PackStep& step = steps.step[blockIdx.y];
  float* to = step.to;
  for (int tensor = 0; tensor < tensors; ++tensor) {
    for (int64_t i = first_item(); i < step.size[tensor]; i += item_stride()) {
      to[i] = step.from[tensor][i];
    }
    to += step.size[tensor];
  }
}

// ---- the hidden layers' bias and ReLU, in place: one read and one write

/// NaN stays NaN.
__device__ inline float relu(float x) {
  return x > 0.0F || x != x ? x : 0.0F;
}

template <int kWidth>
__global__ void bias_relu_kernel(PackedPlanes planes, const float* __restrict__ bias, float* h) {
  after_predecessor();
  const PlanePlace place = plane_place(planes);
  if (place.n >= planes.n) {
    return;
  }
  float* plane = h + (place.n * planes.c + place.c) * planes.packs * kWidth;
  const float b = bias[place.c];
  map_packs<kWidth>(planes, place, plane, plane, [b](float x) { return relu(x + b); });
}

void bias_relu(Stream& stream, int64_t n, int64_t hidden, int64_t pixels, const float* bias, float* h) {
  const bool packs = pixels % pack_floats == 0 && is_aligned(h);
  const PackedPlanes planes{n, hidden, packs ? pixels / pack_floats : pixels};
  const PlaneGrid grid = grid_over(planes);
  launch(stream, {"bias_relu", grid.grid, grid.block}, packs ? bias_relu_kernel<pack_floats> : bias_relu_kernel<1>,
         planes, bias, h);
}

// ---- ReLU's backward with its bias gradient: a block per plane

__global__ void relu_backward_kernel(int64_t pixels, const float* __restrict__ h, float* __restrict__ dh,
                                     double* __restrict__ sums_of_planes) {
  after_predecessor();
  SharedMemory memory;
  const Shared<double> sums = memory.take<double>(most_warps);
  const int64_t plane = blockIdx.x;
  double total = 0;
  for (int64_t i = plane * pixels + threadIdx.x; i < (plane + 1) * pixels; i += blockDim.x) {
    const float d = h[i] > 0.0F || h[i] != h[i] ? dh[i] : 0.0F;
    dh[i] = d;
    total += d;
  }
  total = block_sum(total, sums);
  if (threadIdx.x == 0) {
    sums_of_planes[plane] = total;
  }
}

/// out[j] += sum over rows of in[row, j], in order.
template <class T>
__global__ void add_rows_kernel(int64_t rows, int64_t columns, const T* __restrict__ in, float* __restrict__ out) {
  after_predecessor();
  for (int64_t j = first_item(); j < columns; j += item_stride()) {
    double sum = 0;
    for (int64_t row = 0; row < rows; ++row) {
      sum += in[row * columns + j];
    }
    out[j] = static_cast<float>(out[j] + sum);
  }
}

/// out = a + b of `count` floats of each sample.
__global__ void add_samples_kernel(int64_t n, int64_t count, const float* a, int64_t a_stride,
                                   const float* __restrict__ b, float* out, int64_t out_stride) {
  after_predecessor();
  for (int64_t i = first_item(); i < n * count; i += item_stride()) {
    const int64_t sample = i / count;
    const int64_t at = i % count;
    out[sample * out_stride + at] = a[sample * a_stride + at] + b[i];
  }
}

// ---- the whole

struct Hidden {
  float *h1, *h2, *raw;
};
Hidden hidden_of(const CouplingShape& s, int64_t n, float* memory) {
  const int64_t map = n * s.hidden * pixels_of(s);
  return {memory, memory + map, memory + 2 * map};
}

Convolution first_convolution(const CouplingShape& s, ConstMap x) {
  return {x.n, s.channels / 2, s.hidden, s.height, s.width, x.sample_stride, s.hidden * pixels_of(s), s.precision};
}
Convolution last_convolution(const CouplingShape& s, int64_t n) {
  return {n,          s.hidden, s.outputs(), s.height, s.width, s.hidden * pixels_of(s), s.outputs() * pixels_of(s),
          s.precision};
}
BatchedProduct middle_product(const CouplingShape& s, int64_t n) {
  const int64_t map = s.hidden * pixels_of(s);
  return {.batch = n,
          .rows = s.hidden,
          .columns = pixels_of(s),
          .inner = s.hidden,
          .stride_b = map,
          .stride_c = map,
          .precision = s.precision};
}

void run_network(Stream& stream, const CouplingShape& s, ConstMap x, const Packed& p, const Hidden& hidden) {
  const int64_t pixels = pixels_of(s);
  convolve(stream, first_convolution(s, x), x.data, p.conv1_weight, hidden.h1);
  bias_relu(stream, x.n, s.hidden, pixels, p.conv1_bias, hidden.h1);
  multiply(stream, middle_product(s, x.n), p.conv2_weight, hidden.h1, hidden.h2);
  bias_relu(stream, x.n, s.hidden, pixels, p.conv2_bias, hidden.h2);
  convolve(stream, last_convolution(s, x.n), hidden.h2, p.conv3_weight, hidden.raw);
}

AffineTask affine_task(const CouplingShape& s, const Packed& p, const float* raw, ConstMap in, Map out) {
  return {.n = in.n,
          .half = s.channels / 2,
          .pixels = pixels_of(s),
          .raw = raw,
          .bias = p.conv3_bias,
          .log_gain = p.log_gain,
          .in = in.data,
          .out = out.data,
          .in_stride = in.sample_stride,
          .out_stride = out.sample_stride};
}

ShiftTask shift_task(const Packed& p, float* raw, ConstMap in, Map out) {
  return {.in = in, .out = out, .bias = p.conv3_bias, .log_gain = p.log_gain, .shift = raw};
}

// dh through its ReLU, and the bias' gradient.
void relu_backward(Stream& stream, const CouplingShape& s, int64_t n, const float* h, float* dh, Array<float> dbias) {
  double* of_planes = scratch_doubles(stream, n * s.hidden);
  launch(stream, {"relu_backward", {static_cast<unsigned>(n * s.hidden)}, plane_block(pixels_of(s)), block_sum_bytes},
         relu_backward_kernel, pixels_of(s), h, dh, of_planes);
  launch(stream, {"add_bias_gradient", blocks_for(s.hidden), block_threads}, add_rows_kernel<double>, n, s.hidden,
         of_planes, dbias.data);
}

}  // namespace

namespace layered {

BufferSizes sizes(const CouplingBuffers& buffers) {
  const CouplingShape& s = buffers.shape;
  return {.packed = packed_floats(s), .saved = saved_floats(s), .workspace = workspace_floats(s, buffers.n)};
}

void run(Stream& stream, const CouplingPack& coupling) {
  std::vector<PackStep> all;
  for (const PackedCoupling& step : coupling.steps) {
    const CouplingParameters& p = step.parameters;
    PackStep task{{p.conv1_weight.data, p.conv1_bias.data, p.conv2_weight.data, p.conv2_bias.data, p.conv3_weight.data,
                   p.conv3_bias.data, p.log_gain.data},
                  {},
                  step.packed.data};
    const std::array<int64_t, tensors> sizes = sizes_of(step.shape);
    std::copy(sizes.begin(), sizes.end(), task.size);
    all.push_back(task);
  }
  constexpr unsigned blocks = 4;
  launch_all(std::span<const PackStep>(all), [&](const Steps<PackStep>& some, size_t, unsigned count) {
    launch(stream, {"coupling_pack", {blocks, count}, block_threads}, pack_kernel, some);
  });
}

void run(Stream& stream, const CouplingForward& task) {
  const CouplingShape& s = task.shape;
  const ConstMap& x = task.x;
  if (x.n == 0) {
    return;
  }
  const Packed p = packed_of(s, task.packed.data);
  const Hidden hidden = hidden_of(s, x.n, task.saved.size > 0 ? task.saved.data : task.workspace.data);
  run_network(stream, s, x, p, hidden);
  if (s.kind == CouplingKind::additive) {
    shift_forward(stream, shift_task(p, hidden.raw, x, task.y));
  } else {
    affine_forward(stream, s.kind, affine_task(s, p, hidden.raw, x, task.y), task.log_det.data);
  }
}

void run(Stream& stream, const CouplingInverse& task) {
  const CouplingShape& s = task.shape;
  const ConstMap& y = task.y;
  if (y.n == 0) {
    return;
  }
  const Packed p = packed_of(s, task.packed.data);
  const Hidden hidden = hidden_of(s, y.n, task.workspace.data);
  run_network(stream, s, y, p, hidden);
  if (s.kind == CouplingKind::additive) {
    shift_inverse(stream, shift_task(p, hidden.raw, y, task.x));
  } else {
    affine_inverse(stream, s.kind, affine_task(s, p, hidden.raw, y, task.x));
  }
}

void run(Stream& stream, const CouplingBackward& task) {
  const CouplingShape& s = task.shape;
  const ConstMap& x = task.x;
  const ConstMap& dy = task.dy;
  const Map& dx = task.dx;
  const CouplingGradients& d = task.gradients;
  const int64_t n = x.n;
  if (n == 0) {
    return;
  }
  const int64_t half = s.channels / 2;
  const int64_t pixels = pixels_of(s);
  const Packed p = packed_of(s, task.packed.data);
  const float* h1 = task.saved.data;
  const float* h2 = h1 + n * s.hidden * pixels;
  const float* raw = h2 + n * s.hidden * pixels;
  float* d_raw = task.workspace.data;
  float* dh2 = d_raw + n * s.outputs() * pixels;
  float* dh1 = dh2 + n * s.hidden * pixels;
  float* dxa = dh1 + n * s.hidden * pixels;
  float* dconv2 = dxa + n * half * pixels;

  if (s.kind == CouplingKind::additive) {
    shift_backward(stream, {.dy = dy, .dx = dx, .log_gain = p.log_gain, .shift = raw, .d_raw = d_raw}, d.log_gain.data,
                   d.conv3_bias.data);
  } else {
    affine_backward(stream, s.kind,
                    {.forward = affine_task(s, p, raw, x, dx),
                     .dy = dy.data,
                     .dx = dx.data,
                     .dy_stride = dy.sample_stride,
                     .dx_stride = dx.sample_stride,
                     .log_det_gradient = static_cast<float>(task.log_det_gradient),
                     .d_raw = d_raw},
                    d.log_gain.data, d.conv3_bias.data);
  }

  const Convolution last = last_convolution(s, n);
  convolve_backward_weight(stream, last, h2, d_raw, d.conv3_weight.data);
  convolve_backward_data(stream, last, p.conv3_weight, d_raw, dh2);
  relu_backward(stream, s, n, h2, dh2, d.conv2_bias);

  const int64_t map = s.hidden * pixels;
  multiply(stream,
           {.batch = n,
            .rows = s.hidden,
            .columns = s.hidden,
            .inner = pixels,
            .transpose_b = true,
            .stride_a = map,
            .stride_b = map,
            .stride_c = s.hidden * s.hidden,
            .precision = s.precision},
           dh2, h1, dconv2);
  launch(stream, {"add_conv2_gradient", blocks_for(s.hidden * s.hidden), block_threads}, add_rows_kernel<float>, n,
         s.hidden * s.hidden, dconv2, d.conv2_weight.data);
  BatchedProduct back = middle_product(s, n);
  back.transpose_a = true;
  multiply(stream, back, p.conv2_weight, dh2, dh1);
  relu_backward(stream, s, n, h1, dh1, d.conv1_bias);

  Convolution first = first_convolution(s, x);
  convolve_backward_weight(stream, first, x.data, dh1, d.conv1_weight.data);
  first.x_stride = half * pixels;
  convolve_backward_data(stream, first, p.conv1_weight, dh1, dxa);
  launch(stream, {"add_dxa", blocks_for(n * half * pixels), block_threads}, add_samples_kernel, n, half * pixels,
         dy.data, dy.sample_stride, dxa, dx.data, dx.sample_stride);
}

}  // namespace layered

}  // namespace evenflow::kernels::cuda
