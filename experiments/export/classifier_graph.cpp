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

/// Of each name, the probability of its categories: the sum over the classes [n, classes] that have it.
void add_names(Graph& graph, const flow::Classifier& classifier, const Value& p, WindowValues& out) {
  const io::ConditionData& condition = classifier.condition();
  if (!condition.has_category()) {
    return;
  }
  std::vector<Value> columns;
  std::vector<int64_t> shape = {0};
  for (const std::vector<double>& values : condition.training_values) {
    shape.push_back(static_cast<int64_t>(values.size()));
  }
  const Value classes = graph.reshape(p, shape);
  for (size_t q = 0; q < condition.names.size(); ++q) {
    const auto at = static_cast<int64_t>(q);
    if (!condition.is_category(q)) {
      columns.push_back(graph.slice(*out.estimate, 1, at, at + 1));
      continue;
    }
    std::vector<int64_t> others;
    for (int64_t axis = 0; axis < static_cast<int64_t>(condition.names.size()); ++axis) {
      if (axis != at) {
        others.push_back(axis + 1);
      }
    }
    const Value posterior = others.empty() ? p : graph.reduce("ReduceSum", classes, others);
    out.names.push_back({q, posterior, posterior});
    columns.push_back(graph.unsqueeze(likeliest(graph, posterior), 1));
  }
  out.estimate = columns.size() > 1 ? graph.concatenate(columns, 1) : columns.front();
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
  const Value p = graph.divide(odds, sum);
  out.estimate = graph.node("MatMul", {p, table});
  add_names(graph, classifier, p, out);
  out.scores =
      in_order(classifier.scores(), {{"score_confidence", graph.node("Log", {graph.reduce("ReduceSum", odds, {1})})}});
  out.descriptor = out.zc;
  return out;
}

}  // namespace evenflow::experiments::onnx
