// A classifier of parameter values: from a window, which set of the training clips' values (velocity 300, load 20) was
// it? No density by itself; its embedding is what a density of normal sound is fitted to (docs/method.md, "The
// classifier").
//
// Fully connected layers with ReLU between them, the last to an embedding, and from there a layer to a class for every
// combination of the parameters' training values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "flow/dense.h"
#include "flow/model.h"
#include "kernels/cross_entropy.h"

namespace evenflow::flow {

struct ClassifierShape {
  int64_t layers = 5;  ///< the embedding's among them
  int64_t hidden = 128, embedding = 32, classes = 2;
  int64_t height = 128, width = 64;  ///< mel bands, frames
  kernels::Precision precision = kernels::Precision::float32;
  int64_t dimensions() const { return height * width; }
};

/// io::UsageError: no parameters to tell apart, fewer than two sets of values, or more than 65 536.
ClassifierShape classifier_shape(const io::Config& config, const io::ConditionData& condition);

/// The score of a classifier.
const std::vector<Score>& classifier_scores();

class Classifier final : public DenseModel {
 public:
  /// Weights after He et al. 2015 from `seed`.
  Classifier(const ClassifierShape& shape, const io::ConditionData& condition, uint64_t seed,
             kernels::Device device = {});

  const ClassifierShape& shape() const { return shape_; }

  int64_t zd_size() const override { return 0; }
  int64_t zc_size() const override { return shape_.embedding; }
  const std::vector<Score>& scores() const override { return classifier_scores(); }
  int64_t descriptor_size() const override { return shape_.embedding; }
  std::string describe() const override;
  std::unique_ptr<Pass> make_pass(int64_t n, PassMode mode) const override;

 private:
  friend class ClassifierPass;
  ClassifierShape shape_;
  Dense encoder_, head_;
  kernels::Buffer<double> values_;   ///< of the grid
  kernels::Buffer<int64_t> counts_;  ///< of the grid
};

}  // namespace evenflow::flow
