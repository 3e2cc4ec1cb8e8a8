#include "flow/dense.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "flow/random.h"
#include "io/error.h"
#include "kernels/copy.h"

namespace evenflow::flow {

using kernels::Array;
using kernels::Stream;

Dense::Dense(const std::string& name, const std::vector<int64_t>& widths, kernels::Precision precision,
             ArenaLayout& layout)
    : precision_(precision) {
  for (size_t l = 0; l + 1 < widths.size(); ++l) {
    Layer layer;
    layer.name = fmt::format("{}{}", name, l + 1);
    layer.in = widths[l];
    layer.out = widths[l + 1];
    layer.relu = l + 2 < widths.size();
    const auto add = [&](const char* what, std::vector<int64_t> sizes) {
      const int64_t entry = layout.add(fmt::format("{}.{}", layer.name, what), std::move(sizes));
      return layout.entries()[static_cast<size_t>(entry)].offset;
    };
    layer.weight = add("weight", {layer.out, layer.in});
    layer.bias = add("bias", {layer.out});
    layers_.push_back(layer);
  }
}

void Dense::initialise(uint64_t seed, uint64_t first_stream, std::span<float> arena) const {
  for (size_t l = 0; l < layers_.size(); ++l) {
    Random random = stream_of(seed, first_stream + l);
    const Layer& layer = layers_[l];
    const double deviation = std::sqrt((layer.relu ? 2.0 : 1.0) / static_cast<double>(layer.in));
    for (int64_t i = 0; i < layer.in * layer.out; ++i) {
      arena[static_cast<size_t>(layer.weight + i)] = static_cast<float>(deviation * random.normal());
    }
    std::fill_n(arena.begin() + layer.bias, layer.out, 0.0F);
  }
}

DensePass::DensePass(const Dense& layers, Array<float> parameters, int64_t n, PassMode mode)
    : layers_(layers), parameters_(parameters), n_(n) {
  values_.reserve(layers.size() + 1);
  values_.emplace_back(n * layers.inputs(), parameters.device);
  int64_t widest = 0;
  for (const Dense::Layer& layer : layers.layers_) {
    values_.emplace_back(n * layer.out, parameters.device);
    if (layer.relu) {
      widest = std::max(widest, layer.out);
    }
  }
  if (mode != PassMode::train || widest == 0) {
    return;
  }
  gradients_.reserve(2);
  for (int i = 0; i < 2; ++i) {
    gradients_.emplace_back(n * widest, parameters.device);
  }
}

void DensePass::forward(Stream& stream, Array<const float> x) {
  active_ = x.size / layers_.inputs();
  if (x.data != values_.front().data()) {
    kernels::copy(stream, x, active(values_.front()));
  }
  for (size_t l = 0; l < layers_.size(); ++l) {
    const Dense::Layer& layer = layers_.layers_[l];
    kernels::linear_forward(stream, {.shape = shape(layer),
                                     .x = active(values_[l]),
                                     .weight = weight(layer),
                                     .bias = parameters_.slice(layer.bias, layer.out),
                                     .y = active(values_[l + 1])});
  }
}

void DensePass::backward(Stream& stream, Array<float> dy, Array<float> dx, Array<float> raw) {
  for (size_t l = layers_.size(); l-- > 0;) {
    const Dense::Layer& layer = layers_.layers_[l];
    const Array<float> below = l == 0 ? dx : gradients_[l % 2].slice(0, active_ * layer.in);
    kernels::linear_backward(
        stream, {.shape = shape(layer),
                 .x = active(values_[l]),
                 .y = active(values_[l + 1]),
                 .dy = dy,
                 .weight = weight(layer),
                 .dx = below,
                 .gradients = {raw.slice(layer.weight, layer.in * layer.out), raw.slice(layer.bias, layer.out)}});
    dy = below;
  }
}

std::string DensePass::first_non_finite(Stream& stream) const {
  for (size_t l = 0; l < layers_.size(); ++l) {
    if (!all_finite(stream, active(values_[l + 1]))) {
      return layers_.layers_[l].name;
    }
  }
  return "";
}

bool all_finite(Stream& stream, Array<const float> values) {
  const std::vector<float> all = kernels::to_host(stream, values);
  return std::all_of(all.begin(), all.end(), [](float value) { return std::isfinite(value); });
}

std::vector<int64_t> dense_widths(int64_t in, int64_t hidden, int64_t layers, int64_t out) {
  std::vector<int64_t> all(static_cast<size_t>(layers) + 1, hidden);
  all.front() = in;
  all.back() = out;
  return all;
}

kernels::Precision dense_precision(const io::Config& config) {
  return config.train.precision == io::Precision::float32 ? kernels::Precision::float32 : kernels::Precision::tf32;
}

void DenseModel::make_parameters(uint64_t seed, const std::vector<const Dense*>& layers) {
  std::vector<float> values(static_cast<size_t>(layout_.size()));
  uint64_t stream_of_layer = 0;
  for (const Dense* dense : layers) {
    dense->initialise(seed, stream_of_layer, values);
    stream_of_layer += dense->size();
  }
  Stream stream(device_);
  parameters_ = kernels::Buffer<float>(layout_.size(), device_);
  kernels::upload<float>(stream, values, parameters_.view());
}

std::vector<io::Tensor> DenseModel::tensors() const {
  Stream stream(device_);
  const std::vector<float> values = kernels::to_host(stream, parameters_.view());
  std::vector<io::Tensor> out;
  for (const ArenaEntry& entry : layout_.entries()) {
    io::Tensor tensor;
    tensor.name = entry.name;
    tensor.shape = entry.shape;
    tensor.values.assign(values.begin() + entry.offset, values.begin() + entry.offset + entry.size);
    out.push_back(std::move(tensor));
  }
  return out;
}

void DenseModel::load(const std::vector<io::Tensor>& tensors) {
  std::vector<float> values(static_cast<size_t>(layout_.size()));
  for (const ArenaEntry& entry : layout_.entries()) {
    const auto found =
        std::find_if(tensors.begin(), tensors.end(), [&](const io::Tensor& t) { return t.name == entry.name; });
    if (found == tensors.end() || found->type != io::Tensor::Type::float32 || found->shape != entry.shape) {
      throw io::DataError(
          fmt::format("the model file has no parameter {} of shape [{}]; it is another model's file, or damaged",
                      entry.name, fmt::join(entry.shape, ", ")));
    }
    std::copy(found->values.begin(), found->values.end(), values.begin() + entry.offset);
  }
  Stream stream(device_);
  kernels::upload<float>(stream, values, parameters_.view());
}

}  // namespace evenflow::flow
