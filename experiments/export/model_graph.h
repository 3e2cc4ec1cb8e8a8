// What a model makes of windows, as a graph: one function for each kind of model (glow_graph.cpp, vae_graph.cpp,
// classifier_graph.cpp). The sums over a window, and all that follows from them, are float64, as in the program.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiments/export/graph.h"
#include "train/detect/score.h"

namespace evenflow::experiments::onnx {

/// Of one parameter that is a name with C categories, as flow::WindowScores has them.
struct NameValues {
  size_t parameter;
  Value posterior, membership;  ///< [n, C] float64
};

/// Of n windows.
struct WindowValues {
  std::vector<std::pair<std::string, Value>> terms, scores;  ///< [n] float64, by flow::Model::terms() and scores()
  Value zc;                                                  ///< [n, zc_size] float32, as in a file of latents
  std::optional<Value> zd;                                   ///< [n, zd_size] float32; none of a model without
  std::optional<Value> estimate;  ///< [n, P] float64, of a name its place; none of a model tied to no parameter
  std::vector<NameValues> names;  ///< of each parameter that is one, in order
  Value descriptor;               ///< [n, descriptor_size] float32
};

/// windows [n, bands, frames] float32, normalised. parameters [P] float64, NaN = unknown: the clip's, where the model
/// is tied to any. io::UsageError names a score that no graph computes.
WindowValues add_model(Graph& graph, const train::Detector& detector, const Value& windows,
                       const std::optional<Value>& parameters);

/// The model's tensors by their names.
class Tensors {
 public:
  explicit Tensors(const io::ModelData& model);
  const io::Tensor& of(const std::string& name) const { return *tensors_.at(name); }
  /// A tensor as it is in the model, in another shape if one is given.
  Value in(Graph& graph, const std::string& name, const std::vector<int64_t>& shape = {}) const;

 private:
  std::map<std::string, const io::Tensor*> tensors_;
};

/// Fully connected layers NAME1 ... NAMEn: x [n, in] -> [n, out], float32, ReLU after all but the last.
Value add_dense(Graph& graph, const Tensors& tensors, const std::string& name, int layers, Value x);

/// The place of the largest of each row of values [..., C], as float64 without that axis; NaN where one is not finite.
Value likeliest(Graph& graph, const Value& values);

/// The values of the model's scores in its order, taken from all that a graph computes.
std::vector<std::pair<std::string, Value>> in_order(const std::vector<flow::Score>& scores,
                                                    const std::map<std::string, Value>& values);

// Each kind's. windows [n, bands, frames].
WindowValues add_glow(Graph& graph, const train::Detector& detector, const Value& windows,
                      const std::optional<Value>& parameters);
WindowValues add_vae(Graph& graph, const train::Detector& detector, const Value& windows,
                     const std::optional<Value>& parameters);
WindowValues add_classifier(Graph& graph, const train::Detector& detector, const Value& windows);

}  // namespace evenflow::experiments::onnx
