// Every operation of the flow: forward, inverse, backward. Declared once, implemented per backend.
//
// Maps are float32 [n, c, h, w] (view.h). Sums over pixels run in float32 lanes of bounded length or in float64;
// log-determinants and likelihood terms are float64, in nats. `d...` is the gradient of the loss with respect to `...`;
// parameter gradients are added to, data gradients are overwritten. Workspaces are sized by the query beside the
// operation; no operation allocates. Shapes that do not fit throw ShapeError. Definitions: method, section 2
// (docs/method.md); Glow is Kingma & Dhariwal 2018.
#pragma once

#include <cstdint>

#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

// ---- squeeze: [n, c, h, w] -> [n, 4c, h/2, w/2], out channel = 4 c + 2 dy + dx. h and w even.
void squeeze(Stream& stream, ConstMap x, Map y);
/// The inverse of squeeze, and its backward.
void unsqueeze(Stream& stream, ConstMap y, Map x);

// ---- actnorm: y = (x + bias) exp(log_scale), per channel.
struct ActnormParameters {
  Array<const float> bias, log_scale;  ///< [c]
};
struct ActnormGradients {
  Array<float> bias, log_scale;  ///< [c]
};
void actnorm_forward(Stream& stream, ConstMap x, const ActnormParameters& p, Map y);
void actnorm_inverse(Stream& stream, ConstMap y, const ActnormParameters& p, Map x);
/// dx may be dy's memory. The log-determinant's share of d log_scale is not included (it is the same for all samples).
void actnorm_backward(Stream& stream, ConstMap y, ConstMap dy, const ActnormParameters& p, Map dx,
                      const ActnormGradients& d);
/// Data-dependent initialisation: bias = -mean, log_scale = -log(max(std, 1e-3) + 1e-6) where std < 1e-3 is a constant
/// channel, else -log(std + 1e-6); two-pass biased std over n, h, w.
void actnorm_initialise(Stream& stream, ConstMap x, Array<float> bias, Array<float> log_scale);

/// log_det[0] += pixels times the sum of log_scale: one window's log-determinant.
void actnorm_log_det(Stream& stream, Array<const float> log_scale, int64_t pixels, Array<double> log_det);
/// dlog_scale += gradient (d loss / d log_det times pixels), every channel.
void actnorm_log_det_backward(Stream& stream, double gradient, Array<float> dlog_scale);

// ---- invertible 1x1: y = W x over channels.
struct PluParameters {
  Array<const int32_t> permutation;  ///< row i of W is row permutation[i] of L (U + diag(sign exp(log_s)))
  Array<const float> lower, upper;   ///< [c, c]; only the strict triangles are read
  Array<const float> log_s;          ///< [c]
  Array<const int8_t> sign;          ///< [c], +1 or -1
};
struct PluGradients {
  Array<float> lower, upper, log_s;  ///< [c, c] (strict triangles written, the rest stays), [c, c], [c]
};
/// W and W^-1 (float64 inside) and log|det W|.
void invconv_assemble_plu(Stream& stream, const PluParameters& p, Array<float> weight, Array<float> inverse,
                          Array<double> log_det);
/// W^-1 and log|det W| of a dense W by LU with partial pivoting in float64. SingularError on a zero or non-finite
/// pivot.
void invconv_assemble_dense(Stream& stream, Array<const float> weight, Array<float> inverse, Array<double> log_det);
/// Adds dW's chain into the factors, and log_det_gradient to every d log_s.
void invconv_plu_backward(Stream& stream, const PluParameters& p, Array<const float> dweight, double log_det_gradient,
                          const PluGradients& d);
/// d weight += dW + log_det_gradient W^-T.
void invconv_dense_backward(Stream& stream, Array<const float> inverse, Array<const float> dweight,
                            double log_det_gradient, Array<float> d);
/// y = weight x per pixel; the inverse is the same call with W^-1. weight [c, c] row-major.
void invconv_apply(Stream& stream, ConstMap x, Array<const float> weight, Map y);
/// dx = W^T dy, dweight += dy x^T. dx must not be dy's memory.
void invconv_backward(Stream& stream, ConstMap x, ConstMap dy, Array<const float> weight, Map dx, Array<float> dweight);

// ---- affine coupling.
enum class CouplingKind { sigmoid, tanh };
struct CouplingShape {
  int64_t channels = 0, hidden = 0, height = 0, width = 0;  ///< channels c even
  CouplingKind kind = CouplingKind::sigmoid;
};
struct CouplingParameters {
  Array<const float> conv1_weight, conv1_bias;  ///< [F, c/2, 3, 3], [F]
  Array<const float> conv2_weight, conv2_bias;  ///< [F, F], [F]
  Array<const float> conv3_weight, conv3_bias;  ///< [c, F, 3, 3], [c]
  Array<const float> log_gain;                  ///< [c]
};
struct CouplingGradients {
  Array<float> conv1_weight, conv1_bias, conv2_weight, conv2_bias, conv3_weight, conv3_bias, log_gain;
};
/// Weights in the backend's own layout: packed once per optimiser step, used by every window.
int64_t coupling_packed_floats(Device device, const CouplingShape& shape);
void coupling_pack(Stream& stream, const CouplingShape& shape, const CouplingParameters& p, Array<float> packed);
/// What forward keeps for backward, per sample.
int64_t coupling_saved_floats(Device device, const CouplingShape& shape);
/// Scratch of one call over n samples.
int64_t coupling_workspace_floats(Device device, const CouplingShape& shape, int64_t n);
/// y_a = x_a, y_b = (x_b + t) g; log_det[i] += sum of log g of sample i. `saved` [n * saved_floats] or empty (scoring).
/// y may be x's memory.
void coupling_forward(Stream& stream, const CouplingShape& shape, ConstMap x, Array<const float> packed, Map y,
                      Array<double> log_det, Array<float> saved, Array<float> workspace);
/// x from y. x may be y's memory.
void coupling_inverse(Stream& stream, const CouplingShape& shape, ConstMap y, Array<const float> packed, Map x,
                      Array<float> workspace);
/// dx from dy, x, saved; log_det_gradient: d loss / d log_det, the same for every sample. dx may be dy's memory.
void coupling_backward(Stream& stream, const CouplingShape& shape, ConstMap x, ConstMap dy, Array<const float> packed,
                       Array<const float> saved, double log_det_gradient, Map dx, const CouplingGradients& d,
                       Array<float> workspace);

// ---- Gaussian terms.
/// Per sample: sum[i] += sum of z, centred[i] += sum of (z - own mean)^2, two-pass. All Gaussian likelihoods of
/// the method follow from these two and the number of elements.
void gaussian_moments(Stream& stream, ConstMap z, Array<double> sum, Array<double> centred_squares);
/// dz = scale (z - shift[i]).
void gaussian_backward(Stream& stream, ConstMap z, Array<const double> shift, double scale, Map dz);

}  // namespace evenflow::kernels
