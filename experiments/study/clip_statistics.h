// What people use before any network: detectors on statistics of a clip's log-mel. A study shows them beside its
// models.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/config.h"
#include "io/shard.h"
#include "train/detect/score_table.h"

namespace evenflow::experiments {

/// Of each mel band over a clip's frames.
enum class ClipStatistics {
  mean,
  mean_deviation,  ///< mean and standard deviation
  percentiles      ///< 10th, 50th and 90th
};

/// [bands], [2 bands] or [3 bands], of frames [n, bands] in dB; percentiles as numpy's, linear between frames.
std::vector<double> clip_statistics(const std::vector<float>& frames, int64_t bands, ClipStatistics kind);

/// Detectors fitted to the statistics of normal clips, standardised element by element.
class StatisticsDetector {
 public:
  /// normal: a row of statistics per clip, two rows or more, all finite.
  explicit StatisticsDetector(const std::vector<std::vector<double>>& normal);
  ~StatisticsDetector();
  StatisticsDetector(StatisticsDetector&&) noexcept;
  StatisticsDetector& operator=(StatisticsDetector&&) noexcept;

  /// Mahalanobis distance, squared, from the mean, by the covariance shrunk towards a multiple of the identity (Ledoit
  /// and Wolf 2004, Journal of Multivariate Analysis 88, 365-411).
  double mahalanobis(const std::vector<double>& statistics) const;
  /// Squared length of what the first principal components (20, or as many as there are) leave over.
  double pca_residual(const std::vector<double>& statistics) const;
  /// Distance from the nearest normal clip; `own`: the row of a normal clip that is not compared with itself, or -1.
  double nearest(const std::vector<double>& statistics, int64_t own = -1) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// score_mahalanobis, score_pca and score_nearest of all clips of a shard, fitted to the clips that `settings` trains
/// on, without those it holds out; no estimates and decisions. score_nearest is `score`. io::DataError as
/// clips_to_train_on's.
train::ScoreTable statistics_scores(const io::Shard& shard, const io::TrainSettings& settings, ClipStatistics kind);

}  // namespace evenflow::experiments
