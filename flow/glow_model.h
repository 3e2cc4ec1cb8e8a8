// Glow with its prior as a Model.
#pragma once

#include <memory>

#include "flow/glow.h"
#include "flow/latent.h"
#include "flow/model.h"

namespace evenflow::flow {

class GlowModel final : public Model {
 public:
  /// Random weights from `seed`, as Glow's. io::UsageError as LatentPrior's.
  GlowModel(const GlowShape& shape, const io::ConditionData& condition, uint64_t seed, kernels::Device device = {})
      : glow_(shape, seed, device), prior_(shape, condition, device) {}

  Glow& glow() { return glow_; }
  const Glow& glow() const { return glow_; }
  const LatentPrior& prior() const { return prior_; }

  kernels::Device device() const override { return glow_.device(); }
  int64_t height() const override { return glow_.shape().height; }
  int64_t width() const override { return glow_.shape().width; }
  const io::ConditionData& condition() const override { return prior_.condition(); }
  // zc's last part and zd are the halves of the last block's channels.
  int64_t zd_size() const override { return dimensions() >> glow_.shape().blocks; }
  int64_t zc_size() const override { return dimensions() - zd_size(); }
  const std::vector<Score>& scores() const override { return latent_scores(); }
  const std::vector<std::string>& terms() const override { return latent_terms(); }
  std::string overflowed(const WindowScores& scores, int64_t window) const override;
  /// zc pooled over time: of each block, mean and root mean square of the rows of its part (kernels/row_moments.h).
  int64_t descriptor_size() const override;
  std::string describe() const override;

  const ArenaLayout& layout() const override { return glow_.layout(); }
  kernels::Array<float> parameters() const override { return glow_.parameters(); }
  void initialise(kernels::Stream& stream, kernels::ConstMap x) override { glow_.initialise_actnorm(stream, x); }
  void assemble(kernels::Stream& stream) override { glow_.assemble(stream); }
  int64_t raw_gradient_size() const override { return glow_.raw_gradient_size(); }
  void finish_gradient(kernels::Stream& stream, kernels::Array<float> raw, double weight) const override {
    glow_.finish_gradient(stream, raw, -weight);
  }
  std::vector<io::Tensor> tensors() const override { return glow_.tensors(); }
  void load(const std::vector<io::Tensor>& tensors) override { glow_.load(tensors); }
  std::unique_ptr<Pass> make_pass(int64_t n, PassMode mode) const override;
  // One: its hidden maps fill a core's cache.
  int64_t windows_at_once() const override { return 1; }

 private:
  Glow glow_;
  LatentPrior prior_;
};

}  // namespace evenflow::flow
