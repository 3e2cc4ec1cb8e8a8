// The affine part of a coupling after its network.
// Grid: a block per plane of x_b and sample (x: sample, y: channel of the half), a thread per pixel up to 256. Then one
// launch that adds up what the planes summed: a thread per sample (log_det), or 32 warps per 32 sums (gradients).
// Traffic: forward 16 bytes per element of the half (s, t, x_b in, y_b out), 8 more for x_a where y is other memory
// than x; backward 28 (s, t, x_b, dy_b in; dx_b and d raw for s and t out).
// Sums: in float64; a thread's pixels, the block's tree, then planes (forward) in order, or samples (backward) every
// 32nd in order and then those 32.
#include "kernels/cuda/affine.h"

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/planes.h"
#include "kernels/cuda/runtime.h"

namespace evenflow::kernels::cuda {
namespace {

/// What a plane of x_b needs of the network: s and t of pixel i are its convolution's output, plus bias, times gain.
struct PlaneNetwork {
  const float *s, *t;
  float bias_s, bias_t, gain_s, gain_t;
  __device__ PlaneNetwork(const float* raw, const float* bias, const float* log_gain, int64_t half_c, int64_t pixels,
                          int64_t lane = 0)
      : s(raw + ((blockIdx.x * 2 * half_c + blockIdx.y) * pixels + lane)),
        t(s + half_c * pixels),
        bias_s(bias[lane + blockIdx.y]),
        bias_t(bias[lane + half_c + blockIdx.y]),
        gain_s(expf(3.0F * log_gain[lane + blockIdx.y])),
        gain_t(expf(3.0F * log_gain[lane + half_c + blockIdx.y])) {}
  __device__ float scale(int64_t i) const { return (s[i] + bias_s) * gain_s; }
  __device__ float shift(int64_t i) const { return (t[i] + bias_t) * gain_t; }
};

template <CouplingKind kKind>
__global__ void affine_forward_kernel(AffineTask task, double* __restrict__ log_det_of_planes) {
  after_predecessor();
  SharedMemory memory;
  const Shared<double> sums = memory.take<double>(most_warps);
  const PlaneNetwork network(task.raw, task.bias, task.log_gain, task.half, task.pixels);
  const float* xa = task.in + blockIdx.x * task.in_stride + blockIdx.y * task.pixels;
  float* ya = task.out + blockIdx.x * task.out_stride + blockIdx.y * task.pixels;
  const float* xb = xa + task.half * task.pixels;
  float* yb = ya + task.half * task.pixels;
  double log_det = 0;
  for (int64_t i = threadIdx.x; i < task.pixels; i += blockDim.x) {
    const Gain gain = gain_of<kKind>(network.scale(i));
    yb[i] = (xb[i] + network.shift(i)) * gain.g;
    log_det += gain.log_g;
    if (ya != xa) {
      ya[i] = xa[i];
    }
  }
  log_det = block_sum(log_det, sums);
  if (threadIdx.x == 0) {
    log_det_of_planes[static_cast<int64_t>(blockIdx.x) * gridDim.y + blockIdx.y] = log_det;
  }
}

template <CouplingKind kKind>
__global__ void affine_inverse_kernel(AffineTask task) {
  after_predecessor();
  const PlaneNetwork network(task.raw, task.bias, task.log_gain, task.half, task.pixels);
  const float* ya = task.in + blockIdx.x * task.in_stride + blockIdx.y * task.pixels;
  float* xa = task.out + blockIdx.x * task.out_stride + blockIdx.y * task.pixels;
  const float* yb = ya + task.half * task.pixels;
  float* xb = xa + task.half * task.pixels;
  for (int64_t i = threadIdx.x; i < task.pixels; i += blockDim.x) {
    const Gain gain = gain_of<kKind>(network.scale(i));
    xb[i] = yb[i] / gain.g - network.shift(i);
    if (xa != ya) {
      xa[i] = ya[i];
    }
  }
}

/// out[n] += sum over the sample's planes, in order.
__global__ void add_planes_kernel(LaneStrides lanes, int64_t n, int64_t planes, const double* __restrict__ of_planes,
                                  double* __restrict__ out) {
  after_predecessor();
  scratch_to_lane(lanes, of_planes);
  to_lane(lanes, out);
  for (int64_t i = first_item(); i < n; i += item_stride()) {
    double sum = 0;
    for (int64_t plane = 0; plane < planes; ++plane) {
      sum += of_planes[i * planes + plane];
    }
    out[i] += sum;
  }
}

// Per plane: the sums over pixels that make the gradients of log gain and bias, for s and for t.
constexpr int affine_sums = 4;

template <CouplingKind kKind>
__global__ void affine_backward_kernel(LaneStrides lanes, AffineBackwardTask task,
                                       double* __restrict__ sums_of_planes) {
  after_predecessor();
  SharedMemory memory;
  const Shared<double> sums = memory.take<double>(most_warps);
  const AffineTask& f = task.forward;
  const int64_t lane = lane_offset(lanes, f.raw, f.bias, f.log_gain, f.in, task.dy, task.dx, task.d_raw);
  const PlaneNetwork network(f.raw, f.bias, f.log_gain, f.half, f.pixels, lane);
  const int64_t b = (f.half + blockIdx.y) * f.pixels + lane;
  const float* xb = f.in + blockIdx.x * f.in_stride + b;
  const float* dyb = task.dy + blockIdx.x * task.dy_stride + b;
  float* dxb = task.dx + blockIdx.x * task.dx_stride + b;
  float* d_raw_s = task.d_raw + ((blockIdx.x * 2 * f.half + blockIdx.y) * f.pixels + lane);
  float* d_raw_t = d_raw_s + f.half * f.pixels;
  double total[affine_sums] = {};
  for (int64_t i = threadIdx.x; i < f.pixels; i += blockDim.x) {
    const float s = network.scale(i);
    const float t = network.shift(i);
    const Gain gain = gain_of<kKind>(s);
    const float dt = dyb[i] * gain.g;  // and d x_b
    const float ds = (dt * (xb[i] + t) + task.log_det_gradient) * gain.slope;
    dxb[i] = dt;
    d_raw_s[i] = ds * network.gain_s;
    d_raw_t[i] = dt * network.gain_t;
    total[0] += 3.0 * ds * s;
    total[1] += 3.0 * dt * t;
    total[2] += ds * network.gain_s;
    total[3] += dt * network.gain_t;
  }
  for (int k = 0; k < affine_sums; ++k) {
    const double sum = block_sum(total[k], sums);
    if (threadIdx.x == 0) {
      double* to = sums_of_planes;
      scratch_to_lane(lanes, to);
      to[(blockIdx.x * affine_sums + k) * f.half + blockIdx.y] = sum;
    }
  }
}

// A warp to 32 columns, and as many warps to the samples: every 32nd each, then the warps in order.
__global__ void add_gain_gradient_kernel(LaneStrides lanes, int64_t n, int64_t outputs,
                                         const double* __restrict__ of_planes, float* __restrict__ dlog_gain,
                                         float* __restrict__ dbias) {
  after_predecessor();
  scratch_to_lane(lanes, of_planes);
  to_lane(lanes, dlog_gain, dbias);
  SharedMemory memory;
  const Shared<double> sums = memory.take<double>(most_warps * warp_size);
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int warp = static_cast<int>(threadIdx.x) / warp_size;
  const int64_t columns = 2 * outputs;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * warp_size + lane;
  double sum = 0;
  if (column < columns) {
#pragma unroll 4
    for (int64_t sample = warp; sample < n; sample += most_warps) {
      sum += of_planes[sample * columns + column];
    }
  }
  sums[static_cast<int>(threadIdx.x)] = sum;
  sync_block();
  if (warp > 0 || column >= columns) {
    return;
  }
  for (int other = 1; other < most_warps; ++other) {
    sum += sums[other * warp_size + lane];
  }
  float* to = column < outputs ? dlog_gain + column : dbias + (column - outputs);
  *to = static_cast<float>(*to + sum);
}

dim3 plane_grid(const AffineTask& task) {
  return {static_cast<unsigned>(task.n), static_cast<unsigned>(task.half)};
}

}  // namespace

void affine_forward(Stream& stream, CouplingKind kind, const AffineTask& task, double* log_det) {
  double* of_planes = scratch_doubles(stream, task.n * task.half);
  launch(stream, {"affine_forward", plane_grid(task), plane_block(task.pixels), block_sum_bytes},
         kind == CouplingKind::sigmoid ? affine_forward_kernel<CouplingKind::sigmoid>
                                       : affine_forward_kernel<CouplingKind::tanh>,
         task, of_planes);
  add_log_det(stream, task.n, task.half, of_planes, log_det);
}

void add_log_det(Stream& stream, int64_t n, int64_t parts, const double* of_parts, double* log_det) {
  launch(stream, {"add_log_det", blocks_for(n), block_threads}, add_planes_kernel, n, parts, of_parts, log_det);
}

void affine_inverse(Stream& stream, CouplingKind kind, const AffineTask& task) {
  launch(stream, {"affine_inverse", plane_grid(task), plane_block(task.pixels)},
         kind == CouplingKind::sigmoid ? affine_inverse_kernel<CouplingKind::sigmoid>
                                       : affine_inverse_kernel<CouplingKind::tanh>,
         task);
}

void affine_backward(Stream& stream, CouplingKind kind, const AffineBackwardTask& task, float* dlog_gain,
                     float* dbias) {
  const AffineTask& f = task.forward;
  double* of_planes = scratch_doubles(stream, f.n * affine_sums * f.half);
  launch(stream, {"affine_backward", plane_grid(f), plane_block(f.pixels), block_sum_bytes},
         kind == CouplingKind::sigmoid ? affine_backward_kernel<CouplingKind::sigmoid>
                                       : affine_backward_kernel<CouplingKind::tanh>,
         task, of_planes);
  add_gain_gradient(stream, f.n, 2 * f.half, of_planes, dlog_gain, dbias);
}

void add_gain_gradient(Stream& stream, int64_t n, int64_t outputs, const double* of_planes, float* dlog_gain,
                       float* dbias) {
  constexpr unsigned threads = most_warps * warp_size;
  launch(stream,
         {"add_gain_gradient", static_cast<unsigned>(divide_up(2 * outputs, warp_size)), threads,
          threads * sizeof(double)},
         add_gain_gradient_kernel, n, outputs, of_planes, dlog_gain, dbias);
}

}  // namespace evenflow::kernels::cuda
