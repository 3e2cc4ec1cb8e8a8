#include "train/statistics/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "io/error.h"

namespace evenflow::train {
namespace {

/// Points of the ROC curve as counts: after each distinct score from the top, how many normals and anomalies lie at
/// or above it. Starts at (0, 0).
struct RocCurve {
  std::vector<int64_t> false_positives, true_positives;
};

void check_finite(std::span<const double> values, const char* where, const char* what) {
  if (values.empty()) {
    throw io::DataError(fmt::format("{}: no {}s; it needs at least one", where, what));
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw io::DataError(fmt::format("{}: {} {} is {}; leave out or repair what gave it", where, what, i, values[i]));
    }
  }
}

void check_binary(std::span<const int> values, const char* where, const char* what) {
  if (values.empty()) {
    throw io::DataError(fmt::format("{}: no {}s; it needs at least one", where, what));
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] != 0 && values[i] != 1) {
      throw io::DataError(fmt::format("{}: {} {} is {}; use 0 (normal) or 1 (anomalous) and leave out unknown ones",
                                      where, what, i, values[i]));
    }
  }
}

void check_sizes(size_t a, size_t b, const char* where) {
  if (a != b) {
    throw io::DataError(fmt::format("{}: {} values against {}; pass one per clip on both sides", where, a, b));
  }
}

RocCurve roc_curve(std::span<const double> scores, std::span<const int> labels, const char* where) {
  check_sizes(scores.size(), labels.size(), where);
  check_finite(scores, where, "score");
  check_binary(labels, where, "label");
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  RocCurve curve{{0}, {0}};
  int64_t normals = 0, anomalies = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    (labels[order[i]] == 1 ? anomalies : normals) += 1;
    if (i + 1 == order.size() || scores[order[i + 1]] != scores[order[i]]) {
      curve.false_positives.push_back(normals);
      curve.true_positives.push_back(anomalies);
    }
  }
  if (normals == 0 || anomalies == 0) {
    throw io::DataError(fmt::format("{}: all {} clips are {}; it needs normal and anomalous ones", where, scores.size(),
                                    normals == 0 ? "anomalous" : "normal"));
  }
  return curve;
}

double ratio(int64_t numerator, int64_t denominator) {
  return denominator == 0 ? 0.0 : static_cast<double>(numerator) / static_cast<double>(denominator);
}

}  // namespace

double mean(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

double auc(std::span<const double> scores, std::span<const int> labels) {
  const RocCurve curve = roc_curve(scores, labels, "AUC");
  int64_t doubled_area = 0;
  for (size_t i = 1; i < curve.false_positives.size(); ++i) {
    doubled_area += (curve.false_positives[i] - curve.false_positives[i - 1]) *
                    (curve.true_positives[i] + curve.true_positives[i - 1]);
  }
  return static_cast<double>(doubled_area) / 2.0 / static_cast<double>(curve.false_positives.back()) /
         static_cast<double>(curve.true_positives.back());
}

double partial_auc(std::span<const double> scores, std::span<const int> labels, double max_fpr) {
  if (!(max_fpr > 0.0 && max_fpr <= 1.0)) {
    throw io::UsageError(fmt::format("partial AUC: max_fpr is {}; it must lie in (0, 1]", max_fpr));
  }
  if (max_fpr == 1.0) {
    return auc(scores, labels);
  }
  const RocCurve curve = roc_curve(scores, labels, "partial AUC");
  const double normals = static_cast<double>(curve.false_positives.back());
  const double anomalies = static_cast<double>(curve.true_positives.back());
  double area = 0.0;
  for (size_t i = 1; i < curve.false_positives.size(); ++i) {
    const double x0 = static_cast<double>(curve.false_positives[i - 1]) / normals;
    const double x1 = static_cast<double>(curve.false_positives[i]) / normals;
    const double y0 = static_cast<double>(curve.true_positives[i - 1]) / anomalies;
    const double y1 = static_cast<double>(curve.true_positives[i]) / anomalies;
    if (x1 > max_fpr) {
      const double y_end = y0 + (y1 - y0) * (max_fpr - x0) / (x1 - x0);
      area += (max_fpr - x0) * (y0 + y_end) / 2.0;
      break;
    }
    area += (x1 - x0) * (y0 + y1) / 2.0;
  }
  const double least = 0.5 * max_fpr * max_fpr;
  return 0.5 * (1.0 + (area - least) / (max_fpr - least));
}

DecisionQuality decision_quality(std::span<const int> decisions, std::span<const int> labels) {
  check_sizes(decisions.size(), labels.size(), "decision quality");
  check_binary(decisions, "decision quality", "decision");
  check_binary(labels, "decision quality", "label");
  DecisionQuality q;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] == 1) {
      (decisions[i] == 1 ? q.true_positives : q.false_negatives) += 1;
    } else {
      (decisions[i] == 1 ? q.false_positives : q.true_negatives) += 1;
    }
  }
  q.precision = ratio(q.true_positives, q.true_positives + q.false_positives);
  q.recall = ratio(q.true_positives, q.true_positives + q.false_negatives);
  q.f1 = ratio(2 * q.true_positives, 2 * q.true_positives + q.false_positives + q.false_negatives);
  q.accuracy = ratio(q.true_positives + q.true_negatives, static_cast<int64_t>(labels.size()));
  return q;
}

double pearson_correlation(std::span<const double> x, std::span<const double> y) {
  check_sizes(x.size(), y.size(), "correlation");
  check_finite(x, "correlation", "value");
  check_finite(y, "correlation", "value");
  // Asked of the values, not of the sums: a rounded mean would leave a constant side a tiny, meaningless spread.
  const auto constant = [](std::span<const double> s) {
    return std::all_of(s.begin(), s.end(), [&](double value) { return value == s[0]; });
  };
  if (constant(x) || constant(y)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const double mean_x = mean(x), mean_y = mean(y);
  double xx = 0.0, yy = 0.0, xy = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0);
}

double mean_absolute_error(std::span<const double> x, std::span<const double> y) {
  check_sizes(x.size(), y.size(), "mean absolute error");
  check_finite(x, "mean absolute error", "value");
  check_finite(y, "mean absolute error", "value");
  double sum = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    sum += std::abs(x[i] - y[i]);
  }
  return sum / static_cast<double>(x.size());
}

double expected_calibration_error(std::span<const double> probabilities, std::span<const int> outcomes, int bins) {
  const char* what = "expected calibration error";
  check_sizes(probabilities.size(), outcomes.size(), what);
  check_finite(probabilities, what, "probability");
  check_binary(outcomes, what, "outcome");
  std::vector<double> gap(static_cast<size_t>(bins));  // of each part, the sum of probability - outcome
  for (size_t i = 0; i < probabilities.size(); ++i) {
    if (!(probabilities[i] >= 0.0 && probabilities[i] <= 1.0)) {
      throw io::DataError(fmt::format("{}: probability {} is {:g}, and 0 to 1 are", what, i, probabilities[i]));
    }
    const int bin = std::min(static_cast<int>(probabilities[i] * bins), bins - 1);
    gap[static_cast<size_t>(bin)] += probabilities[i] - outcomes[i];
  }
  double sum = 0.0;
  for (const double one : gap) {
    sum += std::abs(one);
  }
  return sum / static_cast<double>(probabilities.size());
}

double harmonic_mean(std::span<const double> values) {
  check_finite(values, "harmonic mean", "value");
  double sum = 0.0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] < 0.0) {
      throw io::DataError(
          fmt::format("harmonic mean: value {} is {}; it is defined for values of 0 and above only", i, values[i]));
    }
    sum += 1.0 / values[i];
  }
  return static_cast<double>(values.size()) / sum;
}

double quantile(std::span<const double> values, double q) {
  if (!(q >= 0.0 && q <= 1.0)) {
    throw io::UsageError(fmt::format("quantile: q is {}; it must lie in [0, 1]", q));
  }
  check_finite(values, "quantile", "value");
  std::vector<double> sorted(values.begin(), values.end());
  const double position = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(position);
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(below), sorted.end());
  const double low = sorted[below];
  const double weight = position - static_cast<double>(below);
  if (weight == 0.0) {
    return low;
  }
  const double high = *std::min_element(sorted.begin() + static_cast<ptrdiff_t>(below) + 1, sorted.end());
  // Measured from the nearer end, as NumPy does, so that both ends are met exactly.
  return weight < 0.5 ? low + (high - low) * weight : high - (high - low) * (1.0 - weight);
}

}  // namespace evenflow::train
