// A variational autoencoder of fully connected layers (Kingma & Welling 2014), the paper's baseline: the same windows,
// files and training loop as Glow's, another model (docs/method.md, "The autoencoder").
//
// Encoder and decoder have half of the layers each, ReLU between them; the code holds mean and log-variance of each
// latent. The first latents, as many as there are parameters, are tied to k (v - v0): they are zd, the others zc.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "flow/dense.h"
#include "flow/model.h"
#include "kernels/variational_code.h"

namespace evenflow::flow {

struct VaeShape {
  int64_t layers = 10;  ///< even, 2 or more
  int64_t hidden = 128, latents = 8;
  double beta = 1.0, gamma = 0.01;
  int64_t height = 128, width = 64;  ///< mel bands, frames
  kernels::Precision precision = kernels::Precision::float32;
  int64_t dimensions() const { return height * width; }
  /// Of a squared distance from the tie, in nats: gamma is per dimension, as losses are reported.
  double tie_weight() const { return gamma * static_cast<double>(dimensions()); }
};

/// Of the parameters, the first numbers, as many as there are latents.
CarriedParameters carried_by_vae(const io::Config& config, const io::ConditionData& condition);
/// io::UsageError: more parameters than latents, or a name.
VaeShape vae_shape(const io::Config& config, const io::ConditionData& condition);

/// The scores of an autoencoder.
const std::vector<Score>& vae_scores();

class Vae final : public DenseModel {
 public:
  /// Weights after He et al. 2015 from `seed`, which names the noise of training as well.
  Vae(const VaeShape& shape, const io::ConditionData& condition, uint64_t seed, kernels::Device device = {});

  const VaeShape& shape() const { return shape_; }

  int64_t zd_size() const override { return parameter_count(); }
  int64_t zc_size() const override { return shape_.latents - zd_size(); }
  const std::vector<Score>& scores() const override { return vae_scores(); }
  int64_t descriptor_size() const override { return height_; }  ///< log of the mean squared error per mel band
  std::string describe() const override;
  std::unique_ptr<Pass> make_pass(int64_t n, PassMode mode) const override;

 private:
  friend class VaePass;
  VaeShape shape_;
  uint64_t seed_;
  Dense encoder_, decoder_;
  kernels::Buffer<kernels::LatentGroup> ties_;  ///< [P]
};

}  // namespace evenflow::flow
