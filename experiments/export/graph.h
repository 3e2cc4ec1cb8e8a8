// A graph of ONNX operators that grows node by node, and its file.
//
// Values are told apart by their names. A node is named after the scope that it was made in and its operator
// ("block1.step1/Conv_7"); a tensor of the model keeps its name. Which operators there are and what they do:
// https://onnx.ai/onnx/operators.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace evenflow::experiments::onnx {

/// A value in a graph.
struct Value {
  std::string name;
};

enum class Element { float32, float64, int64, int32, boolean };

/// A size, or the name of one that is known only when the graph is run.
using Dimension = std::variant<int64_t, std::string>;

using Attribute = std::variant<int64_t, std::string, std::vector<int64_t>>;
using Attributes = std::vector<std::pair<std::string, Attribute>>;

/// What a graph takes or gives.
struct Port {
  std::string name;
  Element element = Element::float32;
  std::vector<Dimension> shape;
  std::string meaning;  ///< for people; it becomes the value's doc_string
};

/// Operator sets that graphs can be made for.
inline constexpr int least_opset = 17, most_opset = 20;

class Graph {
 public:
  /// `opset` from least_opset to most_opset.
  Graph(const std::string& name, const std::string& meaning, int opset);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  Value input(const Port& port);
  /// An input that may be left out: it then is `otherwise`, float64 of the port's shape.
  Value input(const Port& port, std::span<const double> otherwise);
  void output(const Port& port, const Value& value);
  const std::vector<Port>& inputs() const { return inputs_; }
  const std::vector<Port>& outputs() const { return outputs_; }

  /// A tensor. T: float, double, int64_t or int32_t. Without a name it gets one; what has a name is made once.
  template <class T>
  Value tensor(std::span<const T> values, const std::vector<int64_t>& shape, const std::string& name = {});
  /// A number, of shape [].
  template <class T>
  Value number(T value);
  Value integers(const std::vector<int64_t>& values);

  Value node(const std::string& operation, const std::vector<Value>& inputs, const Attributes& attributes = {});
  /// A node with several outputs.
  std::vector<Value> node(const std::string& operation, const std::vector<Value>& inputs, size_t outputs,
                          const Attributes& attributes);

  // Nodes that take a line otherwise. An axis below 0 counts from the last.
  Value add(const Value& a, const Value& b) { return node("Add", {a, b}); }
  Value subtract(const Value& a, const Value& b) { return node("Sub", {a, b}); }
  Value multiply(const Value& a, const Value& b) { return node("Mul", {a, b}); }
  Value divide(const Value& a, const Value& b) { return node("Div", {a, b}); }
  Value square(const Value& a) { return node("Mul", {a, a}); }
  Value either(const Value& condition, const Value& yes, const Value& no) {
    return node("Where", {condition, yes, no});
  }
  Value cast(const Value& a, Element to);
  /// operation: "ReduceSum", "ReduceMean", "ReduceMax" or "ReduceMin".
  Value reduce(const std::string& operation, const Value& a, const std::vector<int64_t>& axes, bool keep = false);
  /// Of booleans, whatever their shape: is one true?
  Value any(const Value& a);
  /// Of float64: is it neither infinite nor NaN?
  Value finite(const Value& a);
  /// 0 in `shape`: as it was; -1: what is left.
  Value reshape(const Value& a, const std::vector<int64_t>& shape) { return node("Reshape", {a, integers(shape)}); }
  Value transpose(const Value& a, const std::vector<int64_t>& order) {
    return node("Transpose", {a}, {{"perm", order}});
  }
  Value concatenate(const std::vector<Value>& parts, int64_t axis) { return node("Concat", parts, {{"axis", axis}}); }
  Value unsqueeze(const Value& a, int64_t axis) { return node("Unsqueeze", {a, integers({axis})}); }
  Value gather(const Value& a, const Value& index) { return node("Gather", {a, index}, {{"axis", int64_t{0}}}); }
  /// Elements [first, end) along an axis.
  Value slice(const Value& a, int64_t axis, int64_t first, int64_t end) {
    return node("Slice", {a, integers({first}), integers({end}), integers({axis})});
  }
  std::pair<Value, Value> halves(const Value& a, int64_t axis, int64_t length);

  void describe(const std::string& key, const std::string& value);  ///< an entry of the file's metadata_props
  /// The file's bytes, a ModelProto.
  std::string bytes() const;

 private:
  friend class Scope;
  struct State;
  std::string fresh(const std::string& what);
  void add_tensor(const std::string& name, const std::vector<int64_t>& shape, Element element,
                  std::span<const std::byte> bytes);
  std::unique_ptr<State> state_;
  std::string scope_;
  std::vector<Port> inputs_, outputs_;
};

/// While it lives, what is made in a graph is named after it.
class Scope {
 public:
  Scope(Graph& graph, const std::string& name) : graph_(graph), before_(graph.scope_) { graph.scope_ = name; }
  ~Scope() { graph_.scope_ = before_; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Graph& graph_;
  std::string before_;
};

/// What a file of a graph says of itself.
struct GraphFile {
  std::string meaning;
  int64_t opset = 0;
  std::vector<std::string> inputs, outputs;
  std::map<std::string, std::string> metadata;
};
/// io::DataError: it is no ONNX file, or a damaged one.
GraphFile read_graph(const std::filesystem::path& file);

}  // namespace evenflow::experiments::onnx
