// What people use before any network: detectors on statistics of a clip's log-mel. A study shows them beside its
// models.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
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
std::vector<float> clip_statistics(const std::vector<float>& frames, int64_t bands, ClipStatistics kind);

/// What the first principal components (20, or as many as there are) of normal clips' statistics, standardised element
/// by element, leave over of a clip's.
class PrincipalComponents {
 public:
  /// normal: [n, length], n >= 2, all finite.
  PrincipalComponents(std::span<const float> normal, int64_t length);
  ~PrincipalComponents();
  PrincipalComponents(PrincipalComponents&&) noexcept;
  PrincipalComponents& operator=(PrincipalComponents&&) noexcept;
  /// Its squared length over `length`.
  double residual(std::span<const float> statistics) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// score_mahalanobis and score_nearest (train/statistics/normal_points.h) and score_pca of all clips of a shard, fitted
/// to the clips that `settings` trains on, without those it holds out; no estimates and decisions. score_nearest is
/// `score`. io::DataError as clips_to_train_on's.
train::ScoreTable statistics_scores(const io::Shard& shard, const io::TrainSettings& settings, ClipStatistics kind);

}  // namespace evenflow::experiments
