// Figures of merit of scores, decisions and estimates.
//
// Scores are higher for more anomalous clips; labels are 1 (anomaly) or 0 (normal). Spans of one call have the same
// length. Every function throws io::DataError, naming the index, on a score or value that is not finite and on a label
// or decision that is neither 0 nor 1; on lengths that differ; and on empty input.
#pragma once

#include <cstdint>
#include <span>

namespace evenflow::train {

/// NaN of none.
double mean(std::span<const double> x);

/// Area under the ROC curve in [0, 1]: trapezoid over distinct scores, so ties count half. Exact up to one rounding.
/// io::DataError if all labels are the same. Source: scikit-learn's roc_auc_score.
double auc(std::span<const double> scores, std::span<const int> labels);

/// Area under the ROC curve up to a false-positive rate of max_fpr, interpolated linearly there and standardised after
/// McClish (1989): 0.5 without discrimination, 1 at best. max_fpr in (0, 1], or io::UsageError.
/// io::DataError if all labels are the same. Source: scikit-learn's roc_auc_score(max_fpr=...), within 1e-12.
double partial_auc(std::span<const double> scores, std::span<const int> labels, double max_fpr = 0.1);

/// What the decisions (1 anomalous, 0 normal) were worth. A ratio whose denominator is 0 is 0, as in scikit-learn.
struct DecisionQuality {
  int64_t true_positives = 0, false_positives = 0, true_negatives = 0, false_negatives = 0;
  double precision = 0, recall = 0, f1 = 0;
  double accuracy = 0;
};
DecisionQuality decision_quality(std::span<const int> decisions, std::span<const int> labels);

/// Pearson's correlation in [-1, 1], two-pass. NaN if either side is constant (the correlation is then undefined),
/// which one value always is.
double pearson_correlation(std::span<const double> x, std::span<const double> y);

/// Mean of |x - y|, in the unit of x.
double mean_absolute_error(std::span<const double> x, std::span<const double> y);

/// How far stated probabilities are from how often they come true: over `bins` equal parts of [0, 1], the mean of
/// |mean probability - share of 1 among `outcomes`| by the parts' counts. 0 to 1; few values make it too large.
/// io::DataError on a probability outside of [0, 1]. Source: Guo et al. 2017 (arXiv 1706.04599), expected calibration
/// error.
double expected_calibration_error(std::span<const double> probabilities, std::span<const int> outcomes, int bins = 10);

/// n / Σ(1/x), the DCASE challenge's way to pool AUCs; 0 if one value is 0. io::DataError on a negative value.
double harmonic_mean(std::span<const double> values);

/// The q-quantile, q in [0, 1] (else io::UsageError), interpolated linearly between order statistics: numpy.quantile's
/// default.
double quantile(std::span<const double> values, double q);

}  // namespace evenflow::train
