// What the latents mean: zc ~ N(0, 1), zd ~ N(k (v - v0), 1) of a number, N(k onehot(v), 1) of a name; likelihoods,
// scores and estimates (docs/method.md, 2 and 3).
#pragma once

#include <algorithm>
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

/// Elements of zd [channels, height, width] of one prior: all of a number's, or those of one category of a name.
struct LatentRun {
  int64_t first = 0, count = 0;
  size_t parameter = 0;
  int64_t category = -1;  ///< -1: a number's
};
/// How zd is dealt: its channels to the parameters in equal runs, and a name's run to its categories in equal runs of
/// elements, all in order. Without a parameter one run. io::UsageError where a deal is not even, with the window's
/// lengths nearest to the shape's for which the categories' is; or if there are more than most_latent_groups runs.
std::vector<LatentRun> deal_latents(const GlowShape& shape, const io::ConditionData& condition);
/// Those of the parameters to which deal_latents can deal zd together.
CarriedParameters carried_by_zd(const GlowShape& shape, const io::ConditionData& condition);

/// The prior over latents. An unconstrained model has no names; its zd is one group with mean 0.
class LatentPrior {
 public:
  /// io::UsageError as deal_latents'. `device`: the model's.
  LatentPrior(const GlowShape& shape, const io::ConditionData& condition, kernels::Device device = {});

  int64_t parameters() const { return static_cast<int64_t>(condition_.names.size()); }
  const io::ConditionData& condition() const { return condition_; }
  const std::vector<LatentRun>& runs() const { return runs_; }
  /// The prior of each run.
  const std::vector<kernels::LatentGroup>& groups() const { return priors_; }

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
  int64_t zc_size() const { return shape_.dimensions() - std::max<int64_t>(1, parameters()) * parameter_elements_; }
  // How many runs run g's parameter has, of which g is the first: one, or its categories.
  size_t parts(size_t g) const { return static_cast<size_t>(std::max<int64_t>(1, priors_[g].categories)); }
  // They as channels of a map of their own.
  kernels::Map runs_from(const kernels::Map& zd, size_t g) const {
    return {zd.data + runs_[g].first, zd.n,     static_cast<int64_t>(parts(g)), 1, runs_[g].count,
            zd.sample_stride,         zd.device};
  }
  struct Found;
  void add_number(size_t run, const Found& found, double v, std::span<double> estimate) const;
  void add_name(size_t run, const Found& found, double v, std::span<double> estimate, std::span<double> posterior,
                std::span<double> membership) const;
  io::ConditionData condition_;
  std::vector<LatentRun> runs_;
  int64_t groups_ = 1, parameter_elements_ = 0;
  GlowShape shape_;
  std::vector<kernels::LatentGroup> priors_;            // [groups]
  kernels::Buffer<kernels::LatentGroup> group_priors_;  // the same, on the device
};

/// io::DataError, naming parameter, range, k and the reason, unless zd can carry every parameter: k finite and not 0,
/// and over the training values k (v - v0) at most 256 and apart by 1/4096 or more. zd has unit spread: further out,
/// what a trained flow is off by outweighs all else in the likelihood; closer, half of float32's 24 bits tell nothing.
/// Of a name, v is 0 or 1: whether it is a category's.
void require_condition(const io::ConditionData& condition);

/// Names, k, v0 and moments from the training clips' values. `values` [clips][P], NaN = unknown. `categories` [P]: of a
/// name, what its values are places in; of a number empty, as all are by default. A name's categories are those that
/// clips have, v0 is 0 and k by default 6, as far apart as a number's least and greatest value.
/// io::DataError if a parameter has fewer than two distinct known values; require_condition's. io::UsageError: a v0 for
/// a name.
io::ConditionData fit_condition(const io::ConditionSettings& settings, const std::vector<std::string>& names,
                                const std::vector<std::vector<double>>& values, const io::Categories& categories = {});

}  // namespace evenflow::flow
