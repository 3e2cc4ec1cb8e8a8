// The likelihood of a window from its latents' sums, and where the prior's pull on zd aims.
#pragma once

#include <cstdint>

#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// The prior of one group of zd's channels, all elements alike: N(k (v - v0), 1); v ~ N(mean, std^2) where it is not
/// known. k = 0: N(0, 1), v plays no part.
struct LatentGroup {
  double k = 0, v0 = 0, mean = 0, std = 0;
};

/// Of n windows whose zd is dealt to G groups of `group_elements` each.
struct LatentLoss {
  int64_t zc_elements = 0, group_elements = 0;
  Array<const LatentGroup> groups;         ///< [G]
  Array<const double> zc_squares;          ///< [n] sum of squares of zc
  Array<const double> zd_sum, zd_centred;  ///< [G * n], group by group: sum, and sum of squares about the own mean
  Array<const double> coupling_log_det;    ///< [n]
  Array<const double> constant_log_det;    ///< [1] the rest of each window's log-determinant
  Array<const double> v;                   ///< [n * G], window by window; NaN = unknown; empty: none is known
  Array<double> nll;                       ///< [n] out: -log p(x), nats (docs/method.md, 3)
  Array<double> shift;                     ///< [G * n] out: d nll / d zd = zd - shift
};
void latent_loss(Stream& stream, const LatentLoss& task);

}  // namespace evenflow::kernels
