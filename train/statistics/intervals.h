// How sure a figure of merit is: over the seeds of a training, and over which clips a test happened to have.
//
// Scores are higher for more anomalous clips; labels are 1 (anomaly) or 0 (normal). Errors are those of metrics.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace evenflow::train {

struct Interval {
  double value = 0, low = 0, high = 0;
};

/// Mean of independent runs' figures with Student's t interval; low and high are NaN for one run. io::UsageError unless
/// confidence lies in (0, 1).
Interval mean_interval(std::span<const double> values, double confidence = 0.95);

/// The same for a figure that lies in [low, high], as an AUC in [0, 1]: the interval, cut at the bounds. What is cut
/// off cannot be the true mean, so that the share of intervals that hold it stays as it was. io::DataError: a value
/// outside.
Interval bounded_mean_interval(std::span<const double> values, double low, double high, double confidence = 0.95);

/// A share of which `count` of `all` clips were found, with the exact interval (Clopper and Pearson 1934, Biometrika
/// 26, 404-413). io::DataError unless 0 <= count <= all and all > 0; io::UsageError as above.
Interval share_interval(int64_t count, int64_t all, double confidence = 0.95);

/// One system's scores of the same clips, a row per run (seed).
using RunScores = std::vector<std::vector<double>>;

struct BootstrapSettings {
  int64_t resamples = 2000;
  double confidence = 0.95;
  uint64_t seed = 1;
  double max_fpr = 1.0;  ///< below 1: the partial AUC of metrics.h in place of the AUC
};

/// AUC, mean over the runs, with a percentile interval of the bootstrap: normal clips, anomalous clips and runs are
/// each drawn anew with replacement (Efron and Tibshirani 1993, chapter 8: the way the data came about). The same for
/// the same seed on every platform. io::UsageError: no resamples, a confidence outside of (0, 1), a max_fpr outside of
/// (0, 1].
Interval auc_interval(const RunScores& runs, std::span<const int> labels, const BootstrapSettings& settings = {});

/// AUC of `a` less AUC of `b`, paired: both meet the same clips in every resample and, where they have as many runs as
/// each other, the runs of the same seeds.
Interval auc_difference(const RunScores& a, const RunScores& b, std::span<const int> labels,
                        const BootstrapSettings& settings = {});

}  // namespace evenflow::train
