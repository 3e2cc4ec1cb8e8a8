// Every operation of the flow: forward, inverse, backward. Declared once, implemented per backend.
//
// Maps are float32 [n, c, h, w] (view.h). Sums over pixels run in float32 lanes of bounded length or in float64;
// log-determinants and likelihood terms are float64, in nats. `d...` is the gradient of the loss with respect to `...`;
// parameter gradients are added to, data gradients are overwritten. Workspaces are sized by the query beside the
// operation; no operation allocates. Shapes that do not fit throw ShapeError. Definitions: method, section 2
// (docs/method.md); Glow is Kingma & Dhariwal 2018.
#pragma once

#include <cstdint>
#include <span>

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
struct PluAssembly {
  PluParameters p;
  Array<float> weight, inverse;  ///< [c, c]
};
/// Of each step: W and W^-1 (float64 inside), and log|det W| in log_det[step]. A zero or non-finite pivot: the CPU
/// throws SingularError with the step's index; a GPU, which cannot, makes log_det[step] NaN.
void invconv_assemble_plu(Stream& stream, std::span<const PluAssembly> steps, Array<double> log_det);
struct DenseAssembly {
  Array<const float> weight;  ///< [c, c]
  Array<float> inverse;
};
/// The same for dense W, by LU with partial pivoting in float64.
void invconv_assemble_dense(Stream& stream, std::span<const DenseAssembly> steps, Array<double> log_det);
struct PluBackward {
  PluParameters p;
  Array<const float> dweight;
  double log_det_gradient = 0;
  PluGradients d;
};
/// Of each step: adds dW's chain into the factors, and log_det_gradient to every d log_s.
void invconv_plu_backward(Stream& stream, std::span<const PluBackward> steps);
struct DenseBackward {
  Array<const float> inverse, dweight;
  double log_det_gradient = 0;
  Array<float> d;
};
/// Of each step: d += dW + log_det_gradient W^-T.
void invconv_dense_backward(Stream& stream, std::span<const DenseBackward> steps);
/// y = weight x per pixel; the inverse is the same call with W^-1. weight [c, c] row-major.
void invconv_apply(Stream& stream, ConstMap x, Array<const float> weight, Map y);
/// dx = W^T dy, dweight += dy x^T. dx must not be dy's memory.
void invconv_backward(Stream& stream, ConstMap x, ConstMap dy, Array<const float> weight, Map dx, Array<float> dweight);

// ---- the log-determinants that are the same for every window.
struct LogDetTerm {
  Array<const float> log_scale;  ///< actnorm's, [c]
  int64_t pixels = 0;
};
/// total[0] = sum over steps of pixels (sum of log_scale + invconv_log_det[step]).
void constant_log_det(Stream& stream, std::span<const LogDetTerm> terms, Array<const double> invconv_log_det,
                      Array<double> total);
struct LogDetGradient {
  double gradient = 0;  ///< d loss / d log_det times pixels
  Array<float> dlog_scale;
};
/// Of each step: dlog_scale += gradient, every channel.
void actnorm_log_det_backward(Stream& stream, std::span<const LogDetGradient> terms);

// ---- affine coupling.
enum class CouplingKind { sigmoid, tanh };
/// How a GPU computes the network: a library's convolutions, or one kernel with the hidden maps on the chip (hidden
/// widths up to 64). Automatic: fused where it fits and the arithmetic is tf32 or bf16. The CPU has one way.
enum class CouplingPath { automatic, layered, fused };
/// What a GPU's products of the network are rounded to; sums are float32. The CPU computes in float32.
enum class Precision { float32, tf32, bf16 };
struct CouplingShape {
  int64_t channels = 0, hidden = 0, height = 0, width = 0;  ///< channels c even
  CouplingKind kind = CouplingKind::sigmoid;
  CouplingPath path = CouplingPath::automatic;
  Precision precision = Precision::float32;
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
struct CouplingPack {
  CouplingShape shape;
  CouplingParameters p;
  Array<float> packed;
};
void coupling_pack(Stream& stream, std::span<const CouplingPack> steps);
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
/// Per sample: squares[i] += sum of z^2.
void gaussian_squares(Stream& stream, ConstMap z, Array<double> squares);
/// dz = scale (z - shift[i]).
void gaussian_backward(Stream& stream, ConstMap z, Array<const double> shift, double scale, Map dz);

}  // namespace evenflow::kernels
