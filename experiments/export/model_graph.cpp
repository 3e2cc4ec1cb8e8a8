#include "experiments/export/model_graph.h"

#include <fmt/format.h>

#include <limits>

#include "io/error.h"

namespace evenflow::experiments::onnx {

Tensors::Tensors(const io::ModelData& model) {
  for (const io::Tensor& tensor : model.parameters) {
    tensors_[tensor.name] = &tensor;
  }
}

Value Tensors::in(Graph& graph, const std::string& name, const std::vector<int64_t>& shape) const {
  const io::Tensor& tensor = of(name);
  return graph.tensor(std::span<const float>(tensor.values), shape.empty() ? tensor.shape : shape, name);
}

Value add_dense(Graph& graph, const Tensors& tensors, const std::string& name, int layers, Value x) {
  for (int layer = 1; layer <= layers; ++layer) {
    const std::string own = fmt::format("{}{}", name, layer);
    const Scope scope(graph, own);
    x = graph.node("Gemm", {x, tensors.in(graph, own + ".weight"), tensors.in(graph, own + ".bias")},
                   {{"transB", int64_t{1}}});
    if (layer < layers) {
      x = graph.node("Relu", {x});
    }
  }
  return x;
}

Value likeliest(Graph& graph, const Value& values) {
  const Value place = graph.node("ArgMax", {values}, {{"axis", int64_t{-1}}, {"keepdims", int64_t{0}}});
  const Value known = graph.finite(graph.reduce("ReduceSum", values, {-1}));
  return graph.either(known, graph.cast(place, Element::float64),
                      graph.number(std::numeric_limits<double>::quiet_NaN()));
}

std::vector<std::pair<std::string, Value>> in_order(const std::vector<flow::Score>& scores,
                                                    const std::map<std::string, Value>& values) {
  std::vector<std::pair<std::string, Value>> out;
  for (const flow::Score& score : scores) {
    const auto found = values.find(score.name);
    if (found == values.end()) {
      throw io::UsageError(fmt::format("the model cannot be exported: no ONNX graph computes its {}", score.name));
    }
    out.emplace_back(score.name, found->second);
  }
  return out;
}

WindowValues add_model(Graph& graph, const train::Detector& detector, const Value& windows,
                       const std::optional<Value>& parameters) {
  switch (detector.model().config.model.kind) {
    case io::ModelKind::vae:
      return add_vae(graph, detector, windows, parameters);
    case io::ModelKind::classifier:
      return add_classifier(graph, detector, windows);
    case io::ModelKind::glow:
      break;
  }
  return add_glow(graph, detector, windows, parameters);
}

}  // namespace evenflow::experiments::onnx
