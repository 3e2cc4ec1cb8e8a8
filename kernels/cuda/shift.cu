// The part of an additive coupling after its network; the addition itself is additive.cu's.
// Grid: forward by planes.h's grid; backward a block per plane of the shift and sample (x: sample, y: channel), a
// thread per pixel up to 256, then one launch that adds up what the planes summed.
// Traffic: 8 bytes per element of the half forward (raw in, shift out), 12 back (shift, d shift in; d raw out).
// Sums: in float64; a thread's pixels, the block's tree, then samples in order.
#include "kernels/cuda/shift.h"

#include "kernels/additive.h"
#include "kernels/cuda/affine.h"
#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/planes.h"
#include "kernels/cuda/runtime.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

template <int kWidth>
__global__ void shift_kernel(PackedPlanes planes, const float* __restrict__ bias, const float* __restrict__ log_gain,
                             float* shift) {
  after_predecessor();
  const PlanePlace place = plane_place(planes);
  if (place.n >= planes.n) {
    return;
  }
  float* plane = shift + (place.n * planes.c + place.c) * planes.packs * kWidth;
  const float b = bias[place.c];
  const float gain = expf(3.0F * log_gain[place.c]);
  map_packs<kWidth>(planes, place, plane, plane, [b, gain](float raw) { return (raw + b) * gain; });
}

// Per plane: the sums over pixels that make the gradients of log gain and bias.
constexpr int shift_sums = 2;

__global__ void shift_backward_kernel(LaneStrides lanes, int64_t pixels, const float* __restrict__ log_gain,
                                      const float* __restrict__ shift, float* __restrict__ d,
                                      double* __restrict__ sums_of_planes) {
  after_predecessor();
  to_lane(lanes, log_gain, shift, d);
  scratch_to_lane(lanes, sums_of_planes);
  SharedMemory memory;
  const Shared<double> sums = memory.take<double>(most_warps);
  const float gain = expf(3.0F * log_gain[blockIdx.y]);
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * gridDim.y + blockIdx.y) * pixels;
  double total[shift_sums] = {};
  for (int64_t i = first + threadIdx.x; i < first + pixels; i += blockDim.x) {
    const float d_shift = d[i];
    const float d_raw = d_shift * gain;
    d[i] = d_raw;
    total[0] += 3.0 * d_shift * shift[i];
    total[1] += d_raw;
  }
  for (int k = 0; k < shift_sums; ++k) {
    const double sum = block_sum(total[k], sums);
    if (threadIdx.x == 0) {
      sums_of_planes[(static_cast<int64_t>(blockIdx.x) * shift_sums + k) * gridDim.y + blockIdx.y] = sum;
    }
  }
}

ConstMap shift_of(Stream& stream, const ShiftTask& task) {
  const Map shift = make_map(task.shift, task.in.n, task.in.c / 2, task.in.h, task.in.w, task.in.device);
  const bool packs = planes_are_packs(shift);
  const PackedPlanes planes{shift.n, shift.c, packs ? shift.pixels() / pack_floats : shift.pixels()};
  const PlaneGrid grid = grid_over(planes);
  launch(stream, {"shift", grid.grid, grid.block}, packs ? shift_kernel<pack_floats> : shift_kernel<1>, planes,
         task.bias, task.log_gain, task.shift);
  return shift;
}

}  // namespace

void shift_forward(Stream& stream, const ShiftTask& task) {
  run(stream, AdditiveForward{.x = task.in, .shift = shift_of(stream, task), .y = task.out});
}

void shift_inverse(Stream& stream, const ShiftTask& task) {
  run(stream, AdditiveInverse{.y = task.in, .shift = shift_of(stream, task), .x = task.out});
}

void shift_backward(Stream& stream, const ShiftBackwardTask& task, float* dlog_gain, float* dbias) {
  const ConstMap& dy = task.dy;
  const int64_t half = dy.c / 2;
  run(stream,
      AdditiveBackward{.dy = dy, .dx = task.dx, .dshift = make_map(task.d_raw, dy.n, half, dy.h, dy.w, dy.device)});
  double* of_planes = scratch_doubles(stream, dy.n * shift_sums * half);
  launch(stream,
         {"shift_backward",
          {static_cast<unsigned>(dy.n), static_cast<unsigned>(half)},
          plane_block(dy.pixels()),
          block_sum_bytes},
         shift_backward_kernel, dy.pixels(), task.log_gain, task.shift, task.d_raw, of_planes);
  add_gain_gradient(stream, dy.n, half, of_planes, dlog_gain, dbias);
}

}  // namespace evenflow::kernels::cuda
