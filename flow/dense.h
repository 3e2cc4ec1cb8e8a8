// Fully connected layers in a row, ReLU after all but the last: what the baselines are made of.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "flow/arena.h"
#include "flow/model.h"
#include "io/model_file.h"
#include "kernels/buffer.h"
#include "kernels/linear.h"

namespace evenflow::flow {

/// The layers' shapes, and where their weights lie in a model's arena.
class Dense {
 public:
  Dense() = default;
  /// Layers of these widths, [in, hidden..., out], as NAME1, NAME2, ... at the end of the arena.
  Dense(const std::string& name, const std::vector<int64_t>& widths, kernels::Precision precision, ArenaLayout& layout);

  int64_t inputs() const { return layers_.front().in; }
  int64_t outputs() const { return layers_.back().out; }
  size_t size() const { return layers_.size(); }
  /// Weights after He et al. 2015 (after a last layer without ReLU half the variance), biases 0. Layer l draws from
  /// stream first_stream + l of the seed.
  void initialise(uint64_t seed, uint64_t first_stream, std::span<float> arena) const;

 private:
  friend class DensePass;
  struct Layer {
    std::string name;
    int64_t in = 0, out = 0;
    bool relu = false;
    int64_t weight = 0, bias = 0;  // offsets in the arena
  };
  std::vector<Layer> layers_;
  kernels::Precision precision_ = kernels::Precision::float32;
};

/// Activations of up to n windows. No call allocates.
class DensePass {
 public:
  /// `parameters`: the model's arena, which must outlive the pass, as must the layers.
  DensePass(const Dense& layers, kernels::Array<float> parameters, int64_t n, PassMode mode);

  /// Where the caller may build x, [n, inputs].
  kernels::Array<float> input() { return values_.front().view(); }
  /// What the last forward gave, [m, outputs].
  kernels::Array<float> output() const { return active(values_.back()); }
  /// x [m, inputs], m <= n.
  void forward(kernels::Stream& stream, kernels::Array<const float> x);
  /// From dy [m, outputs], which is overwritten: dx [m, inputs], or empty where nobody asks for it; adds the layers'
  /// gradient to raw, which is laid out as the arena. Needs PassMode::train.
  void backward(kernels::Stream& stream, kernels::Array<float> dy, kernels::Array<float> dx, kernels::Array<float> raw);
  /// The first layer whose last output is not finite, or empty.
  std::string first_non_finite(kernels::Stream& stream) const;

 private:
  kernels::Array<float> active(const kernels::Buffer<float>& buffer) const {
    return buffer.slice(0, buffer.size() / n_ * active_);
  }
  kernels::LinearShape shape(const Dense::Layer& layer) const {
    return {.n = active_, .in = layer.in, .out = layer.out, .relu = layer.relu, .precision = layers_.precision_};
  }
  kernels::Array<const float> weight(const Dense::Layer& layer) const {
    return parameters_.slice(layer.weight, layer.in * layer.out);
  }

  const Dense& layers_;
  kernels::Array<float> parameters_;
  int64_t n_, active_ = 0;
  std::vector<kernels::Buffer<float>> values_;     // [layers + 1]: layer l reads value l
  std::vector<kernels::Buffer<float>> gradients_;  // of the hidden values, by turns; training only
};

bool all_finite(kernels::Stream& stream, kernels::Array<const float> values);

/// [in, hidden, ..., hidden, out] of so many layers.
std::vector<int64_t> dense_widths(int64_t in, int64_t hidden, int64_t layers, int64_t out);
/// Of a GPU's products in training: float32 where the configuration asks for it, else tf32.
kernels::Precision dense_precision(const io::Config& config);

/// A model whose parameters are dense layers and nothing else: all of its arena goes to the file, nothing depends on
/// the first windows or has to be assembled, and a pass's gradient is the arena's.
class DenseModel : public Model {
 public:
  kernels::Device device() const override { return device_; }
  int64_t height() const override { return height_; }
  int64_t width() const override { return width_; }
  const io::ConditionData& condition() const override { return condition_; }
  const ArenaLayout& layout() const override { return layout_; }
  kernels::Array<float> parameters() const override { return parameters_.view(); }
  void initialise(kernels::Stream&, kernels::ConstMap) override {}
  void assemble(kernels::Stream&) override {}
  int64_t raw_gradient_size() const override { return layout_.size(); }
  void finish_gradient(kernels::Stream&, kernels::Array<float>, double) const override {}
  std::vector<io::Tensor> tensors() const override;
  void load(const std::vector<io::Tensor>& tensors) override;
  // Its weights are what moves: 16 windows share a read of them.
  int64_t windows_at_once() const override { return 16; }

 protected:
  DenseModel(int64_t height, int64_t width, const io::ConditionData& condition, kernels::Device device)
      : height_(height), width_(width), condition_(condition), device_(device) {}
  /// The parameters of these layers, which are all of the arena's, new from the seed.
  void make_parameters(uint64_t seed, const std::vector<const Dense*>& layers);

  int64_t height_, width_;
  io::ConditionData condition_;
  kernels::Device device_;
  ArenaLayout layout_;
  kernels::Buffer<float> parameters_;
};

}  // namespace evenflow::flow
