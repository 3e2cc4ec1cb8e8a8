// Sums over a sample's latents, of which every Gaussian likelihood of the method is made, and the way back.
#pragma once

#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// Of each sample z [c, h, w], or of each of its channels: sum += sum of z, centred_squares += sum of (z - own mean)^2,
/// two-pass, in float64 and within 2^-52 (4 + 2 sqrt(elements)) of the magnitudes added up. ShapeError.
struct GaussianMoments {
  ConstMap z;
  Array<double> sum, centred_squares;  ///< [n], or [c * n], channel by channel, or longer
  bool by_channel = false;
};
void gaussian_moments(Stream& stream, const GaussianMoments& task);
Cost cost(const GaussianMoments& task);

/// Of each sample: squares += sum of z^2. Float64, as GaussianMoments.
struct GaussianSquares {
  ConstMap z;
  Array<double> squares;  ///< [n] or longer
};
void gaussian_squares(Stream& stream, const GaussianSquares& task);
Cost cost(const GaussianSquares& task);

/// dz = scale (z - shift of its sample, or channel); dz may be z's memory. Within 2^-22 |scale| (|z| + |shift|).
struct GaussianBackward {
  ConstMap z;
  Array<const double> shift;  ///< [n], or [c * n], channel by channel, or longer
  double scale = 1;
  Map dz;
  bool by_channel = false;
};
void gaussian_backward(Stream& stream, const GaussianBackward& task);
Cost cost(const GaussianBackward& task);

}  // namespace evenflow::kernels
