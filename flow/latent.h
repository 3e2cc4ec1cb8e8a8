// What the latents mean: zc ~ N(0, 1), zd ~ N(k (v - v0), 1); likelihoods, scores and estimates (docs/method.md, 3).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "flow/glow.h"
#include "flow/model.h"
#include "io/model_file.h"
#include "kernels/latent.h"

namespace evenflow::flow {

/// The scores of a flow, and what they are computed from: log_det, log_p_zc.
const std::vector<Score>& latent_scores();
const std::vector<std::string>& latent_terms();

/// The prior over latents. An unconstrained model has no names; its zd is one group with mean 0.
class LatentPrior {
 public:
  /// io::UsageError if zd's channels do not deal evenly to the parameters. `device`: the model's.
  LatentPrior(const GlowShape& shape, const io::ConditionData& condition, kernels::Device device = {});

  int64_t parameters() const { return static_cast<int64_t>(condition_.names.size()); }
  const io::ConditionData& condition() const { return condition_; }

  /// Scores of the last forward's m windows, to the rows from `first` on; waits for the stream. `v` [m * parameters()],
  /// NaN = unknown; may be empty (all unknown).
  void score(kernels::Stream& stream, GlowPass& pass, kernels::Array<const double> constant_log_det,
             std::span<const double> v, WindowScores& out, int64_t first) const;

  /// Training term: each window's negative log-likelihood (v given; integrated out where NaN) goes to `nll` [m], and
  /// the pass's latent gradients are set to `scale` times its gradient. v [m * parameters()] or empty, nll: on the
  /// device.
  void loss(kernels::Stream& stream, GlowPass& pass, kernels::Array<const double> constant_log_det,
            kernels::Array<const double> v, double scale, kernels::Array<double> nll) const;

 private:
  // Views into the pass's scratch: per window, the sum of squares of zc; per group, sums and centred squares of zd.
  struct Moments;
  Moments moments(kernels::Stream& stream, GlowPass& pass) const;
  kernels::Map group(GlowPass& pass, int64_t index) const;
  io::ConditionData condition_;
  int64_t groups_ = 1, group_channels_ = 0, group_elements_ = 0;
  GlowShape shape_;
  kernels::Buffer<kernels::LatentGroup> group_priors_;  // [groups]
};

/// io::DataError, naming parameter, range, k and the reason, unless zd can carry every parameter: k finite and not 0,
/// and over the training values k (v - v0) at most 256 and apart by 1/4096 or more. zd has unit spread: further out,
/// what a trained flow is off by outweighs all else in the likelihood; closer, half of float32's 24 bits tell nothing.
void require_condition(const io::ConditionData& condition);

/// Names, k, v0 and moments from the training clips' values. `values` [clips][P], NaN = unknown.
/// io::DataError if a parameter has fewer than two distinct known values; require_condition's.
io::ConditionData fit_condition(const io::ConditionSettings& settings, const std::vector<std::string>& names,
                                const std::vector<std::vector<double>>& values);

}  // namespace evenflow::flow
