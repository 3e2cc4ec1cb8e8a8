// The coupling's part pixel by pixel, of one channel of one window: y = (x + t) g(s), or x + t of an additive one.
//
// s and t, what the coupling network says, lie on padded planes (conv.h) and point to pixel (0, 0); x and y are dense.
#pragma once

#include "kernels/coupling.h"
#include "kernels/cpu/conv.h"

namespace evenflow::kernels::cpu {

/// Returns the sum of log g.
double affine_forward(CouplingKind kind, const PaddedPlane& plane, const float* s, const float* t, const float* x,
                      float* y);
void affine_inverse(CouplingKind kind, const PaddedPlane& plane, const float* s, const float* t, const float* y,
                    float* x);

/// dx = dy g, dt = dx, ds = (dy y + log_det_gradient) d log g / d s. s and t are the network's convolution times a gain
/// each: ds and dt are stored times it, as gradients of the convolution, and zero between rows.
struct AffineBackward {
  const float *s = nullptr, *t = nullptr, *x = nullptr, *dy = nullptr;
  float log_det_gradient = 0, gain_s = 1, gain_t = 1;
  float *dx = nullptr, *ds = nullptr, *dt = nullptr;
};
/// Sums over the pixels, before the gain: the gradients of log gain_s and log gain_t.
struct AffineGainGradients {
  double s = 0, t = 0;
};
AffineGainGradients affine_backward(CouplingKind kind, const PaddedPlane& plane, const AffineBackward& task);

/// y = x + t. y may be x.
void shift_forward(const PaddedPlane& plane, const float* t, const float* x, float* y);
/// x = y - t. x may be y.
void shift_inverse(const PaddedPlane& plane, const float* t, const float* y, float* x);
/// dt = dy times t's gain, zero between rows. Returns the sum of dy t: the gradient of log gain.
double shift_backward(const PaddedPlane& plane, const float* t, const float* dy, float gain, float* dt);

}  // namespace evenflow::kernels::cpu
