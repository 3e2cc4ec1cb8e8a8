// A training step that needs no host: which batch comes next, whether its loss is finite, and the update, decided on
// the device, so that steps can be queued one behind the other.
#pragma once

#include <cstdint>

#include "kernels/adam.h"
#include "kernels/cost.h"

namespace evenflow::kernels {

/// Where a run of steps stands. Lives on the device; the host reads it when it likes.
struct StepState {
  int64_t position = 0;   ///< the epoch's step that comes next
  int64_t adam_step = 0;  ///< updates made
  int64_t good_step = 0;  ///< updates made when the state kept as good was reached
  int64_t halted = 0;     ///< 1: the step at `position` was not finite; nothing changes any more until the host says
  int64_t accepted = 0;   ///< 1: the last step judged was finite
  double clip_norm = 0;   ///< gradients longer than this are scaled down to it; 0: none are
};

/// The windows of the step at `position`: window w = order[position * stride + i] gives batch_start[i] = start[w] and
/// row i of batch_v = row w of v. Nothing is written once position * stride + i reaches the order's end. Exact.
/// ShapeError.
struct SelectBatch {
  Array<const StepState> state;  ///< [1]
  Array<const int64_t> order;    ///< [windows of the epoch]
  Array<const int64_t> start;    ///< [windows]
  Array<const double> v;         ///< [windows * P] or empty
  int64_t stride = 0;            ///< windows of a full batch
  Array<int64_t> batch_start;    ///< [n]
  Array<double> batch_v;         ///< [n * P] or empty
};
void select_batch(Stream& stream, const SelectBatch& task);
Cost cost(const SelectBatch& task);

/// Judges the step and, if it is finite and nothing is halted, keeps parameter, m and v as the last good state and
/// makes one Adam update (adam.h) with the learning rate of `position`, the gradient scaled down to the state's
/// clip_norm if it is longer. Else halts. loss[position] and norm[position] are written in both cases. The update has
/// the bits of AdamUpdate's.
struct GuardedUpdate {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double loss_scale = 1;              ///< loss = loss_scale times the sum of nll
  Array<StepState> state;             ///< [1]
  Array<const double> learning_rate;  ///< [steps of the epoch]
  Array<const double> nll;            ///< [n]
  Array<const double> squared_norm;   ///< [1] of gradient
  Array<const float> gradient;        ///< [arena]
  Array<float> parameter, m, v;       ///< [arena]
  Array<float> good_parameter, good_m, good_v;
  Array<double> loss, norm;  ///< [steps of the epoch]
};
void guarded_update(Stream& stream, const GuardedUpdate& task);
Cost cost(const GuardedUpdate& task);

}  // namespace evenflow::kernels
