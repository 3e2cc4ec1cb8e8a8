// Grid. Forward: one block, a warp per flow step; backward: a block of one warp per step. Tasks of up to 3840 bytes
// of steps to a launch.
// Traffic: 4 bytes per channel and 8 per step; backward 8 per channel.
// Sums: float64; a step's channels by lanes and a tree, then the steps in order.
#include "kernels/log_det.h"

#include "kernels/cuda/grid.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/steps.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

__global__ void constant_log_det_kernel(LaneStrides lanes, Steps<LogDetTerm> steps, int count, bool adds,
                                        const double* __restrict__ invconv_log_det, double* total) {
  after_predecessor();
  to_lane(lanes, invconv_log_det);
  SharedMemory memory;
  const Shared<double> terms = memory.take<double>(count);
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  for (int i = static_cast<int>(threadIdx.x) / warp_size; i < count; i += static_cast<int>(blockDim.x) / warp_size) {
    LogDetTerm term = steps.step[i];
    to_lane(lanes, term.log_scale.data);
    double sum = 0;
    for (int64_t c = lane; c < term.log_scale.size; c += warp_size) {
      sum += static_cast<double>(term.log_scale.data[c]);
    }
    for (int mask = warp_size / 2; mask > 0; mask /= 2) {
      sum += shuffle_xor(sum, mask);
    }
    if (lane == 0) {
      terms[i] = static_cast<double>(term.pixels) * (sum + invconv_log_det[i]);
    }
  }
  sync_block();
  if (threadIdx.x != 0) {
    return;
  }
  to_lane(lanes, total);
  double sum = adds ? *total : 0.0;
  for (int i = 0; i < count; ++i) {
    sum += terms[i];
  }
  *total = sum;
}

__global__ void actnorm_log_det_backward_kernel(LaneStrides lanes, Steps<LogDetGradient> steps) {
  after_predecessor();
  LogDetGradient term = steps.step[blockIdx.x];
  to_lane(lanes, term.dlog_scale.data);
  for (int64_t c = threadIdx.x; c < term.dlog_scale.size; c += blockDim.x) {
    term.dlog_scale.data[c] += static_cast<float>(term.gradient);
  }
}

}  // namespace

void run(Stream& stream, const ConstantLogDet& task) {
  if (task.steps.empty()) {
    return runtime().zero(stream, task.total.data, sizeof(double));
  }
  launch_all(task.steps, [&](const Steps<LogDetTerm>& some, size_t first, unsigned count) {
    launch(stream, {"constant_log_det", {1}, block_threads, sizeof(double) * count}, constant_log_det_kernel, some,
           static_cast<int>(count), first > 0, task.invconv_log_det.data + first, task.total.data);
  });
}

void run(Stream& stream, const ActnormLogDetBackward& task) {
  launch_all(task.steps, [&](const Steps<LogDetGradient>& some, size_t, unsigned count) {
    launch(stream, {"actnorm_log_det_backward", {count}, warp_size}, actnorm_log_det_backward_kernel, some);
  });
}

}  // namespace evenflow::kernels::cuda
