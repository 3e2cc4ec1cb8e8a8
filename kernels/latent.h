// The likelihood of a window from its latents' sums, and where the prior's pull on zd aims.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/anywhere.h"
#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// The prior of one group of zd's channels, all elements alike: N(k (v - v0), 1); v ~ N(mean, std^2) where it is not
/// known. k = 0: N(0, 1), v plays no part.
struct LatentGroup {
  double k = 0, v0 = 0, mean = 0, std = 0;
};

/// A group's part in a window's -log p(x), and the number from which the gradient of its elements is measured:
/// d nll / dz = z - shift. `mean`: the n elements' own, `centred`: their squares about it; v NaN: unknown, and
/// integrated out. docs/method.md, section 3.
struct GroupLikelihood {
  double nll, shift;
};
EVENFLOW_ANYWHERE inline GroupLikelihood group_likelihood(const LatentGroup& prior, double n, double mean,
                                                          double centred, double v) {
  // In both cases the gradient is z minus one number per window: the prior's mean, or, with v integrated out, what is
  // left of the elements' own mean.
  if (prior.k != 0.0 && v != v) {
    const double spread = 1.0 + n * prior.k * prior.k * prior.std * prior.std;
    const double off = mean - prior.k * (prior.mean - prior.v0);
    return {n * half_log_2pi + 0.5 * log(spread) + 0.5 * (centred + n * off * off / spread), mean - off / spread};
  }
  const double shift = prior.k != 0.0 ? prior.k * (v - prior.v0) : 0.0;
  const double off = mean - shift;
  return {n * half_log_2pi + 0.5 * (centred + n * off * off), shift};
}

/// Of n windows whose zd is dealt to G groups of `group_elements` each. Float64: nll within 1e-10 (100 + |nll|), the
/// gradient z - shift within 1e-6 (1 + itself) of differences of the densities. ShapeError.
struct LatentLoss {
  int64_t zc_elements = 0, group_elements = 0;
  Array<const LatentGroup> groups;         ///< [G], one or more
  Array<const double> zc_squares;          ///< [n] sum of squares of zc
  Array<const double> zd_sum, zd_centred;  ///< [G * n], group by group: sum, and sum of squares about the own mean
  Array<const double> coupling_log_det;    ///< [n]
  Array<const double> constant_log_det;    ///< [1] the rest of each window's log-determinant
  Array<const double> v;                   ///< [n * G], window by window; NaN = unknown; empty: none is known
  Array<double> nll;                       ///< [n] out: -log p(x), nats
  Array<double> shift;                     ///< [G * n] out: d nll / d zd = zd - shift
};
void latent_loss(Stream& stream, const LatentLoss& task);
Cost cost(const LatentLoss& task);

}  // namespace evenflow::kernels
