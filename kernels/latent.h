// The likelihood of a window from its latents' sums, and where the prior's pull on zd aims.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/anywhere.h"
#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// The prior of one group of zd's elements, all alike. Of a parameter that is a number, one group: N(k (v - v0), 1);
/// v ~ N(mean, std^2) where it is not known. k = 0: N(0, 1), v plays no part. Of one that is a name, a group for each
/// of its categories, one behind the other and alike but for `log_frequency`: N(k, 1) in that of the category v = 0, 1,
/// ... and N(0, 1) in the others; where v is not known, the mixture over the categories by their frequencies.
struct LatentGroup {
  double k = 0, v0 = 0, mean = 0, std = 0;
  double log_frequency = 0;  ///< of a category: the log of its share of the training clips
  int64_t categories = 0;    ///< of a name: how many; 0: a number
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

/// Which category a value says: v itself where it is a whole number from 0 to categories - 1; otherwise -1, unknown.
EVENFLOW_ANYWHERE inline int64_t category_of(double v, int64_t categories) {
  if (!(v >= 0.0 && v < static_cast<double>(categories))) {
    return -1;
  }
  const auto category = static_cast<int64_t>(v);
  return static_cast<double>(category) == v ? category : -1;
}

/// What a name's groups say of a window: log of frequency times density, but for a term that all categories share, of
/// the likeliest category, and the sum over all of them relative to it, 1 to C. Whatever the sums, no exponential
/// overflows. `sum`: of each group's elements, `stride` apart.
struct CategoryEvidence {
  int64_t likeliest;
  double top, total;
};
EVENFLOW_ANYWHERE inline double category_evidence(const LatentGroup& group, double sum) {
  return group.log_frequency + group.k * sum;
}
EVENFLOW_ANYWHERE inline CategoryEvidence category_evidence(const LatentGroup* groups, const double* sum,
                                                            int64_t stride) {
  CategoryEvidence out{0, category_evidence(groups[0], sum[0]), 0.0};
  for (int64_t c = 1; c < groups[0].categories; ++c) {
    const double own = category_evidence(groups[c], sum[c * stride]);
    if (own > out.top) {
      out.likeliest = c;
      out.top = own;
    }
  }
  for (int64_t c = 0; c < groups[0].categories; ++c) {
    out.total += exp(category_evidence(groups[c], sum[c * stride]) - out.top);
  }
  return out;
}

/// A name's part in a window's -log p(x), as group_likelihood's; its groups have n elements each, and each one's shift
/// goes to `shift`. `sum`, `centred`, `shift`: of the groups, `stride` apart.
EVENFLOW_ANYWHERE inline double category_likelihood(const LatentGroup* groups, double n, const double* sum,
                                                    const double* centred, int64_t stride, double v, double* shift) {
  const int64_t categories = groups[0].categories, known = category_of(v, categories);
  const CategoryEvidence evidence = category_evidence(groups, sum, stride);
  // Measured from the likeliest category, the squares leave nothing to cancel.
  const int64_t from = known >= 0 ? known : evidence.likeliest;
  double nll = known >= 0 ? 0.0 : -groups[from].log_frequency - log(evidence.total);
  for (int64_t c = 0; c < categories; ++c) {
    const double k = groups[c].k;
    const double off = sum[c * stride] / n - (c == from ? k : 0.0);
    nll += n * half_log_2pi + 0.5 * (centred[c * stride] + n * off * off);
    const double weight = known >= 0
                              ? (c == known ? 1.0 : 0.0)
                              : exp(category_evidence(groups[c], sum[c * stride]) - evidence.top) / evidence.total;
    shift[c * stride] = k * weight;
  }
  return nll;
}

/// A window's -log p(x): `nll`, the part that zd has none in, and each parameter's, in order. A number's group has `n`
/// elements, a name's n / categories each. v: of the window's parameters; none: unknown.
EVENFLOW_ANYWHERE inline double add_zd_likelihood(double nll, const LatentGroup* groups, int64_t count, double n,
                                                  const double* sum, const double* centred, int64_t stride,
                                                  const double* v, double* shift) {
  for (int64_t g = 0, p = 0; g < count; ++p) {
    const LatentGroup& group = groups[g];
    const double value = v != nullptr ? v[p] : __builtin_nan("");
    const int64_t at = g * stride;
    if (group.categories > 0) {
      nll += category_likelihood(groups + g, n / static_cast<double>(group.categories), sum + at, centred + at, stride,
                                 value, shift + at);
      g += group.categories;
      continue;
    }
    const GroupLikelihood own = group_likelihood(group, n, sum[at] / n, centred[at], value);
    nll += own.nll;
    shift[at] = own.shift;
    ++g;
  }
  return nll;
}

/// Of n windows whose zd is dealt to P parameters of `group_elements` each, in G groups. Float64: nll within
/// 1e-10 (100 + |nll|), the gradient z - shift within 1e-6 (1 + itself) of differences of the densities. ShapeError.
struct LatentLoss {
  int64_t zc_elements = 0, group_elements = 0;
  Array<const LatentGroup> groups;         ///< [G], one or more, parameter by parameter
  Array<const double> zc_squares;          ///< [n] sum of squares of zc
  Array<const double> zd_sum, zd_centred;  ///< [G * n], group by group: sum, and sum of squares about the own mean
  Array<const double> coupling_log_det;    ///< [n]
  Array<const double> constant_log_det;    ///< [1] the rest of each window's log-determinant
  Array<const double> v;                   ///< [n * P], window by window; NaN = unknown; empty: none is known
  Array<double> nll;                       ///< [n] out: -log p(x), nats
  Array<double> shift;                     ///< [G * n] out: d nll / d zd = zd - shift
};
void latent_loss(Stream& stream, const LatentLoss& task);
Cost cost(const LatentLoss& task);

}  // namespace evenflow::kernels
