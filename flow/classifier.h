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
#include "kernels/classes.h"

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

class Classifier final : public Model {
 public:
  /// Weights after He et al. 2015 from `seed`.
  Classifier(const ClassifierShape& shape, const io::ConditionData& condition, uint64_t seed,
             kernels::Device device = {});

  const ClassifierShape& shape() const { return shape_; }

  kernels::Device device() const override { return device_; }
  int64_t height() const override { return shape_.height; }
  int64_t width() const override { return shape_.width; }
  const io::ConditionData& condition() const override { return condition_; }
  int64_t zd_size() const override { return 0; }
  int64_t zc_size() const override { return shape_.embedding; }
  std::string describe() const override;

  const ArenaLayout& layout() const override { return layout_; }
  kernels::Array<float> parameters() const override { return parameters_.view(); }
  void initialise(kernels::Stream&, kernels::ConstMap) override {}
  void assemble(kernels::Stream&) override {}
  int64_t raw_gradient_size() const override { return layout_.size(); }
  void finish_gradient(kernels::Stream&, kernels::Array<float>, double) const override {}
  std::vector<io::Tensor> tensors() const override { return arena_tensors(layout_, parameters()); }
  void load(const std::vector<io::Tensor>& tensors) override { load_arena(layout_, tensors, parameters()); }
  std::unique_ptr<Pass> make_pass(int64_t n, PassMode mode) const override;
  int64_t windows_at_once() const override { return 16; }

 private:
  friend class ClassifierPass;
  ClassifierShape shape_;
  io::ConditionData condition_;
  kernels::Device device_;
  ArenaLayout layout_;
  Dense encoder_, head_;
  kernels::Buffer<float> parameters_;
  kernels::Buffer<double> values_;   ///< of the grid
  kernels::Buffer<int64_t> counts_;  ///< of the grid
};

}  // namespace evenflow::flow
