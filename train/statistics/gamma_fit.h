// A gamma distribution fitted to a sample, and its quantiles.
#pragma once

#include <span>

namespace evenflow::train {

/// A gamma distribution of x: (x - location) / scale ~ Gamma(shape, 1).
struct GammaFit {
  double shape = 0, location = 0, scale = 0;
};

/// Maximum-likelihood fit with a free location, as scipy.stats.gamma.fit(values), which the DCASE baseline uses: the
/// same start (moments) and the same simplex search, so the 0.9-quantile agrees within 1e-4 of it. Where that search
/// stops more than a nat short of the best fit of shape 1 or more (left-skewed scores), that one is taken, found along
/// the profile likelihood.
/// io::DataError: fewer than 4 values, one that is not finite, all equal, or no fit found.
GammaFit fit_gamma(std::span<const double> values);

/// The best fit of shape 1 or more, along the profile likelihood. On a flat ridge the search above stops anywhere, and
/// elsewhere after the least change of the values; this maximum moves as little as they do. Errors as fit_gamma's.
GammaFit likeliest_gamma(std::span<const double> values);

/// The q-quantile of a fit, q in (0, 1), relative error of the standard variate below 1e-12 for shapes 0.05 to 1e6.
double gamma_quantile(const GammaFit& fit, double q);

}  // namespace evenflow::train
