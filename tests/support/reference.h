// Every operation of the kernels in float64, by the plainest loops: what the tests compare with.
//
// Written from the method's definitions, not from the kernels: backward passes are derived here on their own and
// proven by central differences (tests/kernels/reference_test.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace evenflow::reference {

using Vector = std::vector<double>;

/// Feature maps [n, c, h, w], dense.
struct Maps {
  Maps() = default;
  Maps(int64_t samples, int64_t channels, int64_t height, int64_t width)
      : n(samples),
        c(channels),
        h(height),
        w(width),
        values(static_cast<size_t>(samples * channels * height * width)) {}
  int64_t n = 0, c = 0, h = 0, w = 0;
  Vector values;
  int64_t pixels() const { return h * w; }
  double* plane(int64_t i, int64_t channel) { return values.data() + (i * c + channel) * h * w; }
  const double* plane(int64_t i, int64_t channel) const { return values.data() + (i * c + channel) * h * w; }
  double& operator()(int64_t i, int64_t channel, int64_t y, int64_t x) { return plane(i, channel)[y * w + x]; }
  double operator()(int64_t i, int64_t channel, int64_t y, int64_t x) const { return plane(i, channel)[y * w + x]; }
};

double dot(const Vector& a, const Vector& b);
Vector absolute(const Vector& a);
Maps absolute(const Maps& a);

Maps squeeze(const Maps& x);
Maps unsqueeze(const Maps& y);

Maps actnorm_forward(const Maps& x, const Vector& bias, const Vector& log_scale);
Maps actnorm_inverse(const Maps& y, const Vector& bias, const Vector& log_scale);
struct ActnormBackward {
  Maps dx;
  Vector dbias, dlog_scale;
};
ActnormBackward actnorm_backward(const Maps& x, const Maps& dy, const Vector& bias, const Vector& log_scale);
struct ActnormInitial {
  Vector bias, log_scale;
};
ActnormInitial actnorm_initialise(const Maps& x);

/// Square matrices, row-major.
Vector multiply(const Vector& a, const Vector& b, int64_t c);
Vector transpose(const Vector& a, int64_t c);
/// Gauss-Jordan elimination with full pivoting.
struct Inverse {
  Vector inverse;
  double log_det = 0;
};
Inverse invert(const Vector& a, int64_t c);

struct Plu {
  std::vector<int32_t> permutation;
  std::vector<int8_t> sign;
  Vector lower, upper, log_s;  ///< lower and upper: only the strict triangles count
  int64_t channels() const { return static_cast<int64_t>(log_s.size()); }
};
Vector plu_weight(const Plu& p);
struct PluBackward {
  Vector dlower, dupper, dlog_s;
};
/// From d W and d loss / d log|det W|.
PluBackward plu_backward(const Plu& p, const Vector& dweight, double log_det_gradient);
Vector dense_backward(const Vector& weight, int64_t c, const Vector& dweight, double log_det_gradient);

Maps invconv_apply(const Maps& x, const Vector& weight);
struct InvconvBackward {
  Maps dx;
  Vector dweight;
};
InvconvBackward invconv_backward(const Maps& x, const Maps& dy, const Vector& weight);

enum class Coupling { sigmoid, tanh, additive };
struct CouplingWeights {
  Vector conv1_weight, conv1_bias, conv2_weight, conv2_bias, conv3_weight, conv3_bias, log_gain;
  int64_t outputs() const { return static_cast<int64_t>(conv3_bias.size()); }
  int64_t hidden() const { return static_cast<int64_t>(conv1_bias.size()); }
};
/// The seven tensors in the order of the struct.
std::vector<Vector*> tensors_of(CouplingWeights& weights);
CouplingWeights absolute(const CouplingWeights& weights);

struct CouplingForward {
  Maps h1, h2;          ///< after their ReLU
  Maps raw, shift;      ///< s (0 of an additive one) and t, with the gain
  Maps gain, log_gain;  ///< g and log g per pixel
  Maps y;
  Vector log_det;  ///< [n]
};
CouplingForward coupling_forward(Coupling kind, const CouplingWeights& p, const Maps& x);
Maps coupling_inverse(Coupling kind, const CouplingWeights& p, const Maps& y);
struct CouplingBackward {
  Maps dx;
  CouplingWeights d;
};
CouplingBackward coupling_backward(Coupling kind, const CouplingWeights& p, const Maps& x, const Maps& dy,
                                   double log_det_gradient);
/// The part of it that is linear in dh3, the gradient of conv3's output before the gain: convolution gradients and
/// d x_a. The gates are h1 > 0 and h2 > 0.
struct NetworkBackward {
  Maps dxa;
  CouplingWeights d;  ///< log_gain stays empty
};
NetworkBackward network_backward(const CouplingWeights& p, const Maps& xa, const Maps& h1, const Maps& h2,
                                 const Maps& dh3);
/// Output of a 3x3 (zero padding) or 1x1 convolution.
Maps convolve(const Maps& x, const Vector& weight, const Vector& bias, int64_t taps);
/// The channels [first, first + count).
Maps channels(const Maps& x, int64_t first, int64_t count);

struct Moments {
  Vector sum, centred_squares;
};
Moments gaussian_moments(const Maps& z);

struct AdamSettings {
  double learning_rate = 1e-4, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, gradient_scale = 1.0;
};
/// One update in place; `step` counts from 1.
void adam_update(const AdamSettings& settings, int64_t step, const Vector& gradient, Vector& parameter, Vector& m,
                 Vector& v);

Vector sum_rows(const Vector& in, int64_t rows);
double squared_norm(const Vector& x);

/// frames [total, bands] -> [n, 1, bands, width].
Maps gather_windows(const Vector& frames, const std::vector<int64_t>& start, const Vector& mean,
                    const Vector& inverse_std, int64_t width);

}  // namespace evenflow::reference
