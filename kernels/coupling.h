// The coupling: the first half of the channels, x_a, says through a network of three convolutions how the second half,
// x_b, is shifted and scaled (affine: Dinh, Sohl-Dickstein & Bengio 2017; Kingma & Dhariwal 2018), or shifted alone
// (additive: Dinh, Krueger & Bengio 2015). docs/method.md, section 2.
//
// The network: 3x3, ReLU, 1x1, ReLU, 3x3, every channel of the last one times exp(3 log_gain). y_a = x_a.
// Affine: its output is s, then t, and y_b = (x_b + t) g(s), g = sigmoid(s + 2) or exp(2 tanh(s / 2)).
// Additive: its output is t alone, half as many channels, and y_b = x_b + t. The log-determinant is 0 for every x:
// forward does not touch log_det, and backward does not use its gradient.
//
// Accuracy. In float32 (the CPU, and a GPU's layered path) the tests hold every element to the rounding of its sums,
// 2^-23 (4 + 2 sqrt(9 hidden)) of the magnitudes for s and t, and carry that through g, its logarithm and the chain
// rule (tests/kernels/coupling_test.cpp, bounds_of). In tf32 and bf16, with u = 2^-11 and 2^-8: y within 4 u of its
// largest element, every gradient within 16 u of its largest, log_det within 2 u c h w; the inverse undoes forward
// within 2^-18 of the largest element all the same. Additive, in any arithmetic: dx_b = dy_b exactly, and the inverse
// undoes forward within 2^-23 (|x_b| + |t|). A NaN in any weight shows in log_det or y, of an additive one in y.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cost.h"
#include "kernels/precision.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

enum class CouplingKind { sigmoid, tanh, additive };
/// How a GPU computes the network: a library's convolutions, or one kernel with the hidden maps on the chip (hidden
/// widths 16 to 64). Automatic: fused where it fits and the arithmetic is tf32 or bf16. The CPU has one way.
enum class CouplingPath { automatic, layered, fused };

struct CouplingShape {
  int64_t channels = 0, hidden = 0, height = 0, width = 0;  ///< channels c even
  CouplingKind kind = CouplingKind::sigmoid;
  CouplingPath path = CouplingPath::automatic;
  Precision precision = Precision::float32;
  /// Channels o of the network's output: s and t, or t alone.
  int64_t outputs() const { return kind == CouplingKind::additive ? channels / 2 : channels; }
};
struct CouplingParameters {
  Array<const float> conv1_weight, conv1_bias;  ///< [F, c/2, 3, 3], [F]
  Array<const float> conv2_weight, conv2_bias;  ///< [F, F], [F]
  Array<const float> conv3_weight, conv3_bias;  ///< [o, F, 3, 3], [o]
  Array<const float> log_gain;                  ///< [o]
};
/// Of the same shapes, added to.
struct CouplingGradients {
  Array<float> conv1_weight, conv1_bias, conv2_weight, conv2_bias, conv3_weight, conv3_bias, log_gain;
};

/// Floats of a shape's weights in the backend's own layout, made once per optimiser step and used by every window.
/// ShapeError, here and below: sizes that cannot be, or a path that cannot.
int64_t coupling_packed_floats(Device device, const CouplingShape& shape);
/// What forward keeps for backward, per sample.
int64_t coupling_saved_floats(Device device, const CouplingShape& shape);
/// Scratch of one call over n samples, from a cache line on, as a Buffer begins.
int64_t coupling_workspace_floats(Device device, const CouplingShape& shape, int64_t n);
/// What backward over n samples leaves for coupling_add_shares; 0 where it adds everything itself.
int64_t coupling_share_floats(Device device, const CouplingShape& shape, int64_t n);

/// Whether it can be computed on a stream that serves lanes (lanes.h): on a GPU's fused path.
bool coupling_serves_lanes(Device device, const CouplingShape& shape);

/// Of each step, the parameters in the backend's layout.
struct PackedCoupling {
  CouplingShape shape;
  CouplingParameters parameters;
  Array<float> packed;  ///< coupling_packed_floats
};
struct CouplingPack {
  std::span<const PackedCoupling> steps;
};
void coupling_pack(Stream& stream, const CouplingPack& task);
Cost cost(const CouplingPack& task);

/// y and, affine, log_det[i] += sum of log g of sample i, nats, summed in float64. y may be x's memory.
struct CouplingForward {
  CouplingShape shape;
  ConstMap x;  ///< [n, c, h, w]
  Array<const float> packed;
  Map y;
  Array<double> log_det;   ///< [n] or longer
  Array<float> saved;      ///< [n * coupling_saved_floats] or longer; empty: nothing is kept (scoring)
  Array<float> workspace;  ///< coupling_workspace_floats or longer
};
void coupling_forward(Stream& stream, const CouplingForward& task);
Cost cost(const CouplingForward& task);

/// x from y; x may be y's memory.
struct CouplingInverse {
  CouplingShape shape;
  ConstMap y;
  Array<const float> packed;
  Map x;
  Array<float> workspace;
};
void coupling_inverse(Stream& stream, const CouplingInverse& task);
Cost cost(const CouplingInverse& task);

/// dx and the parameters' gradients from forward's x, dy and what forward kept. dx may be dy's memory. With `shares`
/// the gradients are left there in parts, and come with CouplingAddShares: of many couplings in one launch.
struct CouplingBackward {
  CouplingShape shape;
  ConstMap x, dy;
  Array<const float> packed, saved;
  double log_det_gradient = 0;  ///< d loss / d log_det, the same for every sample
  Map dx;
  CouplingGradients gradients;
  Array<float> workspace;
  Array<float> shares{};  ///< coupling_share_floats or longer; empty: gradients are added to at once
};
void coupling_backward(Stream& stream, const CouplingBackward& task);
Cost cost(const CouplingBackward& task);

/// Of each coupling, what backward over n samples left, to be added to its gradients.
struct CouplingShares {
  CouplingShape shape;
  int64_t n = 0;
  Array<const float> shares;
  CouplingGradients gradients;
};
struct CouplingAddShares {
  std::span<const CouplingShares> steps;
};
void coupling_add_shares(Stream& stream, const CouplingAddShares& task);
Cost cost(const CouplingAddShares& task);

/// What is asked of a backend: floats of the weights' layout, of a sample's kept maps, of the workspace and of the
/// shares for n samples.
struct CouplingBuffers {
  CouplingShape shape;
  int64_t n = 0;
  Device device{};
};

}  // namespace evenflow::kernels
