// The classifier as a graph (docs/method.md, "The classifier").
#include "experiments/export/model_graph.h"
#include "flow/classifier.h"

namespace evenflow::experiments::onnx {
namespace {

/// Of every class the value of each parameter, [classes, P]; the last parameter's changes fastest.
std::vector<double> class_values(const std::vector<std::vector<double>>& values, int64_t classes) {
  std::vector<double> out(static_cast<size_t>(classes) * values.size());
  for (size_t c = 0; c < static_cast<size_t>(classes); ++c) {
    size_t cell = c;
    for (size_t p = values.size(); p-- > 0;) {
      out[c * values.size() + p] = values[p][cell % values[p].size()];
      cell /= values[p].size();
    }
  }
  return out;
}

}  // namespace

WindowValues add_classifier(Graph& graph, const train::Detector& detector, const Value& windows) {
  const auto& classifier = dynamic_cast<const flow::Classifier&>(detector.network());
  const flow::ClassifierShape& shape = classifier.shape();
  const Tensors tensors(detector.model());
  WindowValues out;
  out.zc = add_dense(graph, tensors, "encoder", static_cast<int>(shape.layers), graph.node("Flatten", {windows}));
  const Value logits = graph.cast(add_dense(graph, tensors, "classes", 1, out.zc), Element::float64);
  const Scope scope(graph, "classes");
  const Value top = graph.reduce("ReduceMax", logits, {1}, true);
  const Value odds = graph.node("Exp", {graph.subtract(logits, top)});
  const Value sum = graph.reduce("ReduceSum", odds, {1}, true);
  const std::vector<double> values = class_values(classifier.condition().training_values, shape.classes);
  const Value table = graph.tensor(std::span<const double>(values), {shape.classes, classifier.parameter_count()});
  out.estimate = graph.node("MatMul", {graph.divide(odds, sum), table});
  out.scores =
      in_order(classifier.scores(), {{"score_confidence", graph.node("Log", {graph.reduce("ReduceSum", odds, {1})})}});
  out.descriptor = out.zc;
  return out;
}

}  // namespace evenflow::experiments::onnx
