#include "train/statistics/intervals.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numeric>

#include "io/error.h"
#include "train/statistics/metrics.h"
#include "train/statistics/random.h"

namespace evenflow::train {
namespace {

// Random streams of a bootstrap: one for the clips of each label, one for the runs.
enum Stream : uint64_t { normal_clips, anomalous_clips, drawn_runs, streams };

void check_confidence(double confidence) {
  if (!(confidence > 0.0) || !(confidence < 1.0)) {
    throw io::UsageError(fmt::format("the confidence is {}; give a number between 0 and 1, as 0.95", confidence));
  }
}

/// One run's clips in the order of their scores; equal scores share a rank.
class RankedRun {
 public:
  explicit RankedRun(std::span<const double> scores) : order_(scores.size()), last_of_tie_(scores.size()) {
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::sort(order_.begin(), order_.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
    for (size_t i = 0; i < order_.size(); ++i) {
      last_of_tie_[i] = i + 1 == order_.size() || scores[order_[i]] != scores[order_[i + 1]];
    }
  }

  /// AUC where clip i was drawn count[i] times.
  double auc(std::span<const int> labels, std::span<const int64_t> count) const {
    int64_t below = 0, normals = 0, anomalies = 0;  // normal clips below the tie; of the tie
    int64_t all_anomalies = 0;
    double pairs = 0;  // (normal, anomalous) with the anomalous one above, a tie counting half
    for (size_t i = 0; i < order_.size(); ++i) {
      (labels[order_[i]] == 1 ? anomalies : normals) += count[order_[i]];
      if (!last_of_tie_[i]) {
        continue;
      }
      pairs += static_cast<double>(anomalies) * (static_cast<double>(below) + 0.5 * static_cast<double>(normals));
      below += normals;
      all_anomalies += anomalies;
      normals = anomalies = 0;
    }
    return pairs / (static_cast<double>(below) * static_cast<double>(all_anomalies));
  }

  /// The partial AUC of metrics.h, of the same clips.
  double partial_auc(std::span<const int> labels, std::span<const int64_t> count, double max_fpr) const {
    int64_t all_normals = 0, all_anomalies = 0;
    for (size_t i = 0; i < order_.size(); ++i) {
      (labels[i] == 1 ? all_anomalies : all_normals) += count[i];
    }
    double x0 = 0, y0 = 0, area = 0;  // of the ROC curve, from the highest score down
    int64_t normals = 0, anomalies = 0;
    for (size_t i = order_.size(); i > 0; --i) {
      (labels[order_[i - 1]] == 1 ? anomalies : normals) += count[order_[i - 1]];
      if (i > 1 && !last_of_tie_[i - 2]) {
        continue;
      }
      const double x1 = static_cast<double>(normals) / static_cast<double>(all_normals);
      const double y1 = static_cast<double>(anomalies) / static_cast<double>(all_anomalies);
      if (x1 > max_fpr) {
        area += (max_fpr - x0) * (y0 + 0.5 * (y1 - y0) * (max_fpr - x0) / (x1 - x0));
        break;
      }
      area += 0.5 * (x1 - x0) * (y0 + y1);
      x0 = x1;
      y0 = y1;
    }
    const double least = 0.5 * max_fpr * max_fpr;
    return 0.5 * (1.0 + (area - least) / (max_fpr - least));
  }

 private:
  std::vector<size_t> order_;
  std::vector<bool> last_of_tie_;
};

/// A system's runs, ranked once for all resamples.
class System {
 public:
  System(const RunScores& runs, std::span<const int> labels, double max_fpr) : labels_(labels), max_fpr_(max_fpr) {
    if (runs.empty()) {
      throw io::DataError("bootstrap: a system without a run; it needs at least one");
    }
    for (const std::vector<double>& scores : runs) {
      train::partial_auc(scores, labels, max_fpr);  // the errors of one that cannot be computed
      runs_.emplace_back(scores);
    }
  }
  size_t runs() const { return runs_.size(); }
  /// Mean over the drawn runs.
  double auc(std::span<const int64_t> count, std::span<const size_t> drawn) const {
    double sum = 0;
    for (const size_t run : drawn) {
      sum += max_fpr_ < 1.0 ? runs_[run].partial_auc(labels_, count, max_fpr_) : runs_[run].auc(labels_, count);
    }
    return sum / static_cast<double>(drawn.size());
  }

 private:
  std::span<const int> labels_;
  double max_fpr_;
  std::vector<RankedRun> runs_;
};

/// The draws of a resample.
class Resampler {
 public:
  Resampler(std::span<const int> labels, uint64_t seed) : seed_(seed), count_(labels.size()) {
    for (size_t i = 0; i < labels.size(); ++i) {
      (labels[i] == 1 ? anomalies_ : normals_).push_back(i);
    }
  }

  std::span<const int64_t> clips(int64_t resample) {
    std::fill(count_.begin(), count_.end(), 0);
    draw_clips(normals_, normal_clips, resample);
    draw_clips(anomalies_, anomalous_clips, resample);
    return count_;
  }

  std::vector<size_t> runs(int64_t resample, size_t count) const {
    std::vector<size_t> drawn(count);
    for (size_t i = 0; i < count; ++i) {
      drawn[i] = draw(count, drawn_runs, resample, i);
    }
    return drawn;
  }

 private:
  size_t draw(size_t of, Stream what, int64_t resample, size_t counter) const {
    const uint64_t stream = static_cast<uint64_t>(resample) * streams + what;
    return static_cast<size_t>(random_below(static_cast<int64_t>(of), seed_, stream, counter));
  }
  void draw_clips(const std::vector<size_t>& from, Stream what, int64_t resample) {
    for (size_t i = 0; i < from.size(); ++i) {
      ++count_[from[draw(from.size(), what, resample, i)]];
    }
  }

  uint64_t seed_;
  std::vector<int64_t> count_;
  std::vector<size_t> normals_, anomalies_;
};

std::vector<size_t> all(size_t count) {
  std::vector<size_t> indices(count);
  std::iota(indices.begin(), indices.end(), size_t{0});
  return indices;
}

/// `figure` of (clips' counts, resample) over the resamples; resample -1 is the data themselves.
template <class Figure>
Interval bootstrap(std::span<const int> labels, const BootstrapSettings& settings, const Figure& figure) {
  check_confidence(settings.confidence);
  if (settings.resamples < 1) {
    throw io::UsageError(fmt::format("the bootstrap is to resample {} times; give 1 or more", settings.resamples));
  }
  Resampler resampler(labels, settings.seed);
  std::vector<double> figures;
  for (int64_t i = 0; i < settings.resamples; ++i) {
    figures.push_back(figure(resampler.clips(i), resampler, i));
  }
  const double tail = 0.5 * (1.0 - settings.confidence);
  return {figure(std::vector<int64_t>(labels.size(), 1), resampler, -1), quantile(figures, tail),
          quantile(figures, 1.0 - tail)};
}

}  // namespace

Interval mean_interval(std::span<const double> values, double confidence) {
  check_confidence(confidence);
  if (values.empty()) {
    throw io::DataError("interval: no values; it needs at least one");
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw io::DataError(fmt::format("interval: value {} is {}", i, values[i]));
    }
  }
  const double n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() == 1) {
    constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
    return {mean, unknown, unknown};
  }
  double squares = 0;
  for (const double value : values) {
    squares += (value - mean) * (value - mean);
  }
  const boost::math::students_t t(n - 1.0);
  const double half = boost::math::quantile(t, 0.5 + 0.5 * confidence) * std::sqrt(squares / (n - 1.0) / n);
  return {mean, mean - half, mean + half};
}

Interval bounded_mean_interval(std::span<const double> values, double low, double high, double confidence) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] < low || values[i] > high) {
      throw io::DataError(
          fmt::format("interval: value {} is {}, which does not lie in {:g} to {:g}", i, values[i], low, high));
    }
  }
  Interval interval = mean_interval(values, confidence);
  if (values.size() == 1) {
    return interval;
  }
  interval.low = std::max(interval.low, low);
  interval.high = std::min(interval.high, high);
  return interval;
}

Interval share_interval(int64_t count, int64_t all, double confidence) {
  check_confidence(confidence);
  if (all < 1 || count < 0 || count > all) {
    throw io::DataError(fmt::format("interval: {} of {} clips are no share of them", count, all));
  }
  using Binomial = boost::math::binomial;
  const double k = static_cast<double>(count), n = static_cast<double>(all), tail = 0.5 * (1.0 - confidence);
  return {k / n, Binomial::find_lower_bound_on_p(n, k, tail), Binomial::find_upper_bound_on_p(n, k, tail)};
}

Interval auc_interval(const RunScores& runs, std::span<const int> labels, const BootstrapSettings& settings) {
  const System system(runs, labels, settings.max_fpr);
  return bootstrap(labels, settings, [&](std::span<const int64_t> count, const Resampler& resampler, int64_t resample) {
    return system.auc(count, resample < 0 ? all(runs.size()) : resampler.runs(resample, runs.size()));
  });
}

Interval auc_difference(const RunScores& a, const RunScores& b, std::span<const int> labels,
                        const BootstrapSettings& settings) {
  const System first(a, labels, settings.max_fpr), second(b, labels, settings.max_fpr);
  return bootstrap(labels, settings, [&](std::span<const int64_t> count, const Resampler& resampler, int64_t resample) {
    // As many runs on both sides: the same draws.
    const auto runs = [&](size_t of) { return resample < 0 ? all(of) : resampler.runs(resample, of); };
    return first.auc(count, runs(first.runs())) - second.auc(count, runs(second.runs()));
  });
}

}  // namespace evenflow::train
