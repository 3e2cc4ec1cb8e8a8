// The part of an affine coupling after its network, pixel by pixel: y = (x + t) g(s).
#pragma once

#include "kernels/coupling.h"
#include "kernels/cuda/execution.h"

namespace evenflow::kernels::cuda {

/// A gain, its logarithm, and d log g / d s. NaN stays NaN.
struct Gain {
  float g, log_g, slope;
};

template <CouplingKind kKind>
__device__ Gain gain_of(float s) {
  if constexpr (kKind == CouplingKind::sigmoid) {
    // g = sigmoid(s + 2); log g as a log-sigmoid, which does not run out where g does. The slope is 1 - g.
    const float u = s + 2.0F;
    const float e = expf(-fabsf(u));
    const float larger = reciprocal(1.0F + e);
    const float smaller = e * larger;
    return {u < 0.0F ? smaller : larger, (u < 0.0F ? u : 0.0F) - log1pf(e), u < 0.0F ? larger : smaller};
  } else {
    // log g = 2 tanh(s / 2).
    const float t = tanhf(0.5F * s);
    return {expf(2.0F * t), 2.0F * t, 1.0F - t * t};
  }
}

/// The network's last convolution `raw` [n, 2 half, pixels], before its bias and gain, and the maps it changes.
struct AffineTask {
  int64_t n = 0;
  int64_t half = 0, pixels = 0;
  const float* raw = nullptr;  // [n, 2 half, pixels]: the last convolution's output
  const float *bias = nullptr, *log_gain = nullptr;
  const float* in = nullptr;
  float* out = nullptr;
  int64_t in_stride = 0, out_stride = 0;
};

/// d x_b = d y_b g, and what flows back into raw.
struct AffineBackwardTask {
  AffineTask forward;  // in: x
  const float* dy = nullptr;
  float* dx = nullptr;
  int64_t dy_stride = 0, dx_stride = 0;
  float log_det_gradient = 0;
  float* d_raw = nullptr;  // [n, 2 half, pixels]
};

/// y = x with its second half changed; log_det[i] += sum of log g of sample i.
void affine_forward(Stream& stream, CouplingKind kind, const AffineTask& task, double* log_det);
void affine_inverse(Stream& stream, CouplingKind kind, const AffineTask& task);
/// dx's second half and d_raw; the gradients of log gain and bias [2 half] are added to.
void affine_backward(Stream& stream, CouplingKind kind, const AffineBackwardTask& task, float* dlog_gain, float* dbias);
/// log_det[i] += the parts [n, parts] of sample i, in order.
void add_log_det(Stream& stream, int64_t n, int64_t parts, const double* of_parts, double* log_det);
/// dlog_gain and dbias [outputs] += the planes' sums [n, 2 outputs], samples in order.
void add_gain_gradient(Stream& stream, int64_t n, int64_t outputs, const double* of_planes, float* dlog_gain,
                       float* dbias);

}  // namespace evenflow::kernels::cuda
