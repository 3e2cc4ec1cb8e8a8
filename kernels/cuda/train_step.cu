// Grid. select_batch: a thread per window. guarded_update: one block judges (the loss, the state, the step's
// factors), so that no thread of the update needs float64; then a grid-stride loop over packs of 16 bytes.
// Traffic: the update reads 16 bytes and writes 24 per parameter (what there was goes to the good state, then the
// update); nothing if the step was refused.
// Sums: the loss over the windows in float64, a thread's windows in order, then the block's tree.
#include "kernels/train_step.h"

#include <cmath>

#include "kernels/cuda/adam_pack.h"
#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/runtime.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

__global__ void select_batch_kernel(LaneStrides lanes, SelectBatch task) {
  after_predecessor();
  to_lane(lanes, task.state.data, task.order.data, task.start.data, task.v.data, task.batch_start.data,
          task.batch_v.data);
  const int64_t i = first_item();
  const int64_t at = task.state.data[0].position * task.stride + i;
  if (i >= task.batch_start.size || at >= task.order.size) {
    return;
  }
  const int64_t window = task.order.data[at];
  task.batch_start.data[i] = task.start.data[window];
  const int64_t columns = task.v.size == 0 ? 0 : task.v.size / task.start.size;
  for (int64_t p = 0; p < columns; ++p) {
    task.batch_v.data[i * columns + p] = task.v.data[window * columns + p];
  }
}

/// What the judge tells the update.
struct Verdict {
  AdamFactors factors;
  int update;
};

// One block: the loss, the state and the step's factors, so that no thread of the update needs float64.
__global__ void judge_step_kernel(LaneStrides lanes, GuardedUpdate task, Verdict* __restrict__ verdict) {
  after_predecessor();
  to_lane(lanes, task.state.data, task.learning_rate.data, task.nll.data, task.squared_norm.data, task.loss.data,
          task.norm.data);
  scratch_to_lane(lanes, verdict);
  SharedMemory memory;
  const Shared<double> warps = memory.take<double>(most_warps);
  double mine = 0;
  for (int64_t i = threadIdx.x; i < task.nll.size; i += blockDim.x) {
    mine += task.nll.data[i];
  }
  const double loss = task.loss_scale * block_sum(mine, warps);
  if (threadIdx.x != 0) {
    return;
  }
  verdict->update = 0;
  StepState state = task.state.data[0];
  state.accepted = 0;
  if (state.halted == 0 && state.position < task.loss.size) {
    const double norm = sqrt(task.squared_norm.data[0]);
    task.loss.data[state.position] = loss;
    task.norm.data[state.position] = norm;
    if (is_finite(loss) && is_finite(norm)) {
      const double rate = task.learning_rate.data[state.position];
      const bool clipped = state.clip_norm > 0.0 && norm > state.clip_norm;
      state.good_step = state.adam_step;
      ++state.adam_step;
      ++state.position;
      state.accepted = 1;
      verdict->factors = adam_factors({.learning_rate = rate,
                                       .beta1 = task.beta1,
                                       .beta2 = task.beta2,
                                       .epsilon = task.epsilon,
                                       .step = state.adam_step,
                                       .gradient_scale = clipped ? state.clip_norm / norm : 1.0});
      verdict->update = 1;
    } else {
      state.halted = 1;
    }
  }
  task.state.data[0] = state;
}

template <int kWidth>
__global__ void guarded_update_kernel(LaneStrides lanes, GuardedUpdate task, int64_t packs,
                                      const Verdict* __restrict__ verdict) {
  after_predecessor();
  scratch_to_lane(lanes, verdict);
  if (verdict->update == 0) {
    return;
  }
  const int64_t lane = lane_offset(lanes, task.gradient.data, task.parameter.data, task.m.data, task.v.data,
                                   task.good_parameter.data, task.good_m.data, task.good_v.data) /
                       kWidth;
  const AdamFactors a = verdict->factors;
  for (int64_t item = lane + first_item(); item < lane + packs; item += item_stride()) {
    const int64_t at = item * kWidth;
    const Pack<kWidth> g = load_pack<kWidth>(task.gradient.data + at);
    Pack<kWidth> p = load_pack<kWidth>(task.parameter.data + at);
    Pack<kWidth> m = load_pack<kWidth>(task.m.data + at);
    Pack<kWidth> v = load_pack<kWidth>(task.v.data + at);
    store_pack<kWidth>(task.good_parameter.data + at, p);
    store_pack<kWidth>(task.good_m.data + at, m);
    store_pack<kWidth>(task.good_v.data + at, v);
    adam_pack(a, g, p, m, v);
    store_pack<kWidth>(task.parameter.data + at, p);
    store_pack<kWidth>(task.m.data + at, m);
    store_pack<kWidth>(task.v.data + at, v);
  }
}

}  // namespace

void run(Stream& stream, const SelectBatch& task) {
  launch(stream,
         {"select_batch", {static_cast<unsigned>(divide_up(task.batch_start.size, block_threads))}, block_threads},
         select_batch_kernel, task);
}

void run(Stream& stream, const GuardedUpdate& task) {
  auto* verdict = static_cast<Verdict*>(scratch(stream, sizeof(Verdict)));
  launch(stream, {"judge_step", {1}, block_threads, block_sum_bytes}, judge_step_kernel, task, verdict);
  const bool whole =
      arrays_are_packs(task.gradient, task.parameter, task.m, task.v, task.good_parameter, task.good_m, task.good_v);
  const int64_t packs = task.parameter.size / (whole ? pack_floats : 1);
  launch(stream, {"guarded_update", blocks_for(packs), block_threads},
         whole ? guarded_update_kernel<pack_floats> : guarded_update_kernel<1>, task, packs, verdict);
}

}  // namespace evenflow::kernels::cuda
