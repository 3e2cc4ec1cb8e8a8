// Where normal ends: the decision threshold, fitted to the scores of normal clips.
#pragma once

#include <span>
#include <string>

#include "io/config.h"
#include "io/model_file.h"

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

/// The q-quantile of a fit, q in (0, 1), relative error of the standard variate below 1e-12 for shapes 0.05 to 1e6.
double gamma_quantile(const GammaFit& fit, double q);

/// The threshold of settings.threshold ("gamma" or "quantile") at settings.threshold_quantile, from the scores of
/// normal clips: a clip is anomalous when its score is greater. `score_name` is recorded and named in errors.
/// io::UsageError: unknown method, quantile outside (0, 1). io::DataError: no scores, one that is not finite, and for
/// "gamma" too few or all the same.
io::ThresholdData fit_threshold(std::span<const double> normal_scores, const io::ScoreSettings& settings,
                                const std::string& score_name);

}  // namespace evenflow::train
