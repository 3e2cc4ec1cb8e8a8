// The part of an additive coupling after its network: y_b = x_b + shift, shift = (raw + bias) exp(3 log_gain).
#pragma once

#include "kernels/cuda/execution.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels::cuda {

/// The maps it changes, and the network's last convolution before its bias and gain.
struct ShiftTask {
  ConstMap in;
  Map out;
  const float *bias = nullptr, *log_gain = nullptr;  // [half]
  float* shift = nullptr;                            // [n, half, pixels]: raw before, the shift after
};
void shift_forward(Stream& stream, const ShiftTask& task);
void shift_inverse(Stream& stream, const ShiftTask& task);

struct ShiftBackwardTask {
  ConstMap dy;
  Map dx;
  const float *log_gain = nullptr, *shift = nullptr;
  float* d_raw = nullptr;  // [n, half, pixels]
};
/// dx_b = dy_b, and d_raw; the gradients of log gain and bias [half] are added to.
void shift_backward(Stream& stream, const ShiftBackwardTask& task, float* dlog_gain, float* dbias);

}  // namespace evenflow::kernels::cuda
