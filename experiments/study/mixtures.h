// Gaussian mixtures of normal sound, one for each condition the machine was heard in, over what another model says of a
// window: an autoencoder's errors by mel band, a classifier's embedding, a flow's pooled zc. The systems before flows
// that the paper cites.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/shard.h"
#include "train/detect/score.h"

namespace evenflow::experiments {

/// Descriptors of windows, all of one length, and the condition each was heard in.
struct Descriptors {
  size_t length = 0;
  std::vector<float> values;            ///< [n, length]
  std::vector<std::string> conditions;  ///< [n]
  size_t size() const { return conditions.size(); }
  std::span<const float> operator[](size_t i) const { return std::span(values).subspan(i * length, length); }
};

/// Mixtures of Gaussians of diagonal covariance by expectation-maximisation, on descriptors standardised to mean 0 and
/// variance 1 over all of them; variances stay above a hundredth of that.
class ConditionMixtures {
 public:
  /// A mixture of `components` for each condition, of fewer where it has fewer windows. io::DataError where one cannot
  /// be fitted (descriptors that are not finite).
  ConditionMixtures(const Descriptors& normal, int64_t components);
  ~ConditionMixtures();
  ConditionMixtures(ConditionMixtures&&) noexcept;
  ConditionMixtures& operator=(ConditionMixtures&&) noexcept;

  /// -log p of a window under the condition it fits best, nats: what it was heard in need not be known.
  double score(std::span<const float> descriptor) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A trained model's scores of a shard's clips and, behind them, score_gmm (mean over a clip's windows), which becomes
/// `score`:
/// mixtures of the windows of the run's own training clips, of 1, 2 or 4 components, whichever gives the normal clips
/// that the run held out the lowest mean.
train::ScoreTable mixture_scores(train::Detector& detector, const io::Shard& shard, uint64_t seed);

}  // namespace evenflow::experiments
