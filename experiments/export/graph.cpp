#include "experiments/export/graph.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <map>
#include <set>

#include "experiments/export/onnx.pb.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/version.h"

namespace evenflow::experiments::onnx {
namespace {

// Tensors' bytes are written as they lie in memory.
static_assert(std::endian::native == std::endian::little);

int32_t type_of(Element element) {
  switch (element) {
    case Element::float32:
      return file::Tensor::FLOAT;
    case Element::int64:
      return file::Tensor::INT64;
    case Element::int32:
      return file::Tensor::INT32;
    case Element::boolean:
      return file::Tensor::BOOL;
    case Element::float64:
      break;
  }
  return file::Tensor::DOUBLE;
}

template <class T>
constexpr Element element_of = Element::float64;
template <>
constexpr Element element_of<float> = Element::float32;
template <>
constexpr Element element_of<int64_t> = Element::int64;
template <>
constexpr Element element_of<int32_t> = Element::int32;

/// IR version that an operator set came with (ONNX's docs/Versioning.md).
int64_t ir_version(int opset) {
  return opset < 19 ? 8 : 9;
}

void fill(file::ValueInfo& info, const Port& port) {
  info.set_name(port.name);
  info.set_doc_string(port.meaning);
  file::TensorType& type = *info.mutable_type()->mutable_tensor_type();
  type.set_elem_type(type_of(port.element));
  file::Shape& shape = *type.mutable_shape();  // there even where it has no dimension
  for (const Dimension& dimension : port.shape) {
    if (const auto* size = std::get_if<int64_t>(&dimension)) {
      shape.add_dim()->set_dim_value(*size);
    } else {
      shape.add_dim()->set_dim_param(std::get<std::string>(dimension));
    }
  }
}

void fill(file::Attribute& to, const std::string& name, const Attribute& from) {
  to.set_name(name);
  if (const auto* number = std::get_if<int64_t>(&from)) {
    to.set_type(file::Attribute::INT);
    to.set_i(*number);
  } else if (const auto* text = std::get_if<std::string>(&from)) {
    to.set_type(file::Attribute::STRING);
    to.set_s(*text);
  } else {
    to.set_type(file::Attribute::INTS);
    for (const int64_t value : std::get<std::vector<int64_t>>(from)) {
      to.add_ints(value);
    }
  }
}

}  // namespace

struct Graph::State {
  file::Model model;
  int opset = least_opset;
  std::map<std::string, int> made;  ///< how many names were made of each kind
  std::set<std::string> tensors;
  file::Graph& graph() { return *model.mutable_graph(); }
};

Graph::Graph(const std::string& name, const std::string& meaning, int opset) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.opset = opset;
  s.model.set_ir_version(ir_version(opset));
  s.model.set_producer_name("evenflow");
  s.model.set_producer_version(std::string(io::version()));
  s.model.set_doc_string(meaning);
  file::OperatorSet& set = *s.model.add_opset_import();
  set.set_domain("");
  set.set_version(opset);
  s.graph().set_name(name);
  s.graph().set_doc_string(meaning);
}

Graph::~Graph() = default;

std::string Graph::fresh(const std::string& what) {
  const std::string stem = scope_.empty() ? what : fmt::format("{}/{}", scope_, what);
  return fmt::format("{}_{}", stem, ++state_->made[stem]);
}

Value Graph::input(const Port& port) {
  fill(*state_->graph().add_input(), port);
  inputs_.push_back(port);
  return {port.name};
}

Value Graph::input(const Port& port, std::span<const double> otherwise) {
  input(port);
  return tensor(otherwise, {static_cast<int64_t>(otherwise.size())}, port.name);
}

void Graph::output(const Port& port, const Value& value) {
  file::Node& node = *state_->graph().add_node();
  node.set_op_type("Identity");
  node.set_name(fmt::format("{}/Identity", port.name));
  node.add_input(value.name);
  node.add_output(port.name);
  fill(*state_->graph().add_output(), port);
  outputs_.push_back(port);
}

void Graph::add_tensor(const std::string& name, const std::vector<int64_t>& shape, Element element,
                       std::span<const std::byte> bytes) {
  if (!state_->tensors.insert(name).second) {
    return;
  }
  file::Tensor& tensor = *state_->graph().add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(type_of(element));
  for (const int64_t size : shape) {
    tensor.add_dims(size);
  }
  std::string& raw = *tensor.mutable_raw_data();
  raw.reserve(bytes.size());
  for (const std::byte byte : bytes) {
    raw.push_back(static_cast<char>(byte));
  }
}

template <class T>
Value Graph::tensor(std::span<const T> values, const std::vector<int64_t>& shape, const std::string& name) {
  const std::string own = name.empty() ? fresh("tensor") : name;
  add_tensor(own, shape, element_of<T>, std::as_bytes(values));
  return {own};
}
template Value Graph::tensor(std::span<const float>, const std::vector<int64_t>&, const std::string&);
template Value Graph::tensor(std::span<const double>, const std::vector<int64_t>&, const std::string&);
template Value Graph::tensor(std::span<const int64_t>, const std::vector<int64_t>&, const std::string&);
template Value Graph::tensor(std::span<const int32_t>, const std::vector<int64_t>&, const std::string&);

template <class T>
Value Graph::number(T value) {
  constexpr const char* types[] = {"float32", "float64", "int64", "int32"};
  const std::string name = fmt::format("number/{}/{}", types[static_cast<size_t>(element_of<T>)], value);
  return tensor(std::span<const T>(&value, 1), {}, name);
}
template Value Graph::number(float);
template Value Graph::number(double);
template Value Graph::number(int64_t);
template Value Graph::number(int32_t);

Value Graph::integers(const std::vector<int64_t>& values) {
  const std::string name = fmt::format("integers/{}", fmt::join(values, ","));
  return tensor(std::span(values), {static_cast<int64_t>(values.size())}, name);
}

std::vector<Value> Graph::node(const std::string& operation, const std::vector<Value>& inputs, size_t outputs,
                               const Attributes& attributes) {
  file::Node& node = *state_->graph().add_node();
  const std::string name = fresh(operation);
  node.set_op_type(operation);
  node.set_name(name);
  for (const Value& input : inputs) {
    node.add_input(input.name);
  }
  for (const auto& [key, value] : attributes) {
    fill(*node.add_attribute(), key, value);
  }
  std::vector<Value> out;
  for (size_t i = 0; i < outputs; ++i) {
    out.push_back({outputs == 1 ? name : fmt::format("{}.{}", name, i)});
    node.add_output(out.back().name);
  }
  return out;
}

Value Graph::node(const std::string& operation, const std::vector<Value>& inputs, const Attributes& attributes) {
  return node(operation, inputs, 1, attributes).front();
}

Value Graph::cast(const Value& a, Element to) {
  return node("Cast", {a}, {{"to", int64_t{type_of(to)}}});
}

Value Graph::reduce(const std::string& operation, const Value& a, const std::vector<int64_t>& axes, bool keep) {
  const Attribute keep_dimensions = int64_t{keep ? 1 : 0};
  // Axes became an input with opset 13 for sums, with 18 for the others.
  if (operation == "ReduceSum" || state_->opset >= 18) {
    return node(operation, {a, integers(axes)}, {{"keepdims", keep_dimensions}});
  }
  return node(operation, {a}, {{"axes", axes}, {"keepdims", keep_dimensions}});
}

Value Graph::any(const Value& a) {
  const Value most = node("ReduceMax", {cast(a, Element::int32)}, {{"keepdims", int64_t{0}}});
  return cast(most, Element::boolean);
}

Value Graph::finite(const Value& a) {
  return node("Equal", {subtract(a, a), number(0.0)});
}

std::pair<Value, Value> Graph::halves(const Value& a, int64_t axis, int64_t length) {
  const std::vector<Value> parts = node("Split", {a, integers({length / 2, length - length / 2})}, 2, {{"axis", axis}});
  return {parts[0], parts[1]};
}

void Graph::describe(const std::string& key, const std::string& value) {
  file::Entry& entry = *state_->model.add_metadata_props();
  entry.set_key(key);
  entry.set_value(value);
}

std::string Graph::bytes() const {
  return state_->model.SerializeAsString();
}

GraphFile read_graph(const std::filesystem::path& from) {
  file::Model model;
  if (!model.ParseFromString(io::read_text(from)) || model.graph().output_size() == 0) {
    throw io::DataError(fmt::format("'{}' is no ONNX file, or a damaged one; export it again", from.string()));
  }
  GraphFile out{.meaning = model.doc_string(), .opset = 0, .inputs = {}, .outputs = {}, .metadata = {}};
  for (const file::OperatorSet& set : model.opset_import()) {
    if (set.domain().empty()) {
      out.opset = set.version();
    }
  }
  for (const file::ValueInfo& input : model.graph().input()) {
    out.inputs.push_back(input.name());
  }
  for (const file::ValueInfo& output : model.graph().output()) {
    out.outputs.push_back(output.name());
  }
  for (const file::Entry& entry : model.metadata_props()) {
    out.metadata[entry.key()] = entry.value();
  }
  return out;
}

}  // namespace evenflow::experiments::onnx
