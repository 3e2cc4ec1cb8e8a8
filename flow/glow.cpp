#include "flow/glow.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "flow/random.h"
#include "io/error.h"
#include "kernels/check.h"
#include "kernels/copy.h"
#include "kernels/invconv.h"
#include "kernels/squeeze.h"

namespace evenflow::flow {
namespace {

using kernels::Array;

/// A random rotation, row-major: modified Gram-Schmidt on a Gaussian matrix.
std::vector<double> random_rotation(Random& random, int64_t c) {
  std::vector<double> q(static_cast<size_t>(c * c));
  const auto row = [&](int64_t i) { return q.begin() + i * c; };
  for (double& value : q) {
    value = random.normal();
  }
  for (int64_t i = 0; i < c; ++i) {
    // Twice, for orthogonality to float64's last digits.
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t j = 0; j < i; ++j) {
        const double along = std::inner_product(row(i), row(i) + c, row(j), 0.0);
        for (int64_t k = 0; k < c; ++k) {
          row(i)[k] -= along * row(j)[k];
        }
      }
      const double norm = std::sqrt(std::inner_product(row(i), row(i) + c, row(i), 0.0));
      for (int64_t k = 0; k < c; ++k) {
        row(i)[k] /= norm;
      }
    }
  }
  return q;
}

/// In-place LU with partial pivoting; returns where each row of the result came from.
std::vector<int64_t> factorise(std::vector<double>& a, int64_t c) {
  std::vector<int64_t> source(static_cast<size_t>(c));
  std::iota(source.begin(), source.end(), 0);
  const auto at = [&](int64_t i, int64_t j) -> double& { return a[static_cast<size_t>(i * c + j)]; };
  for (int64_t k = 0; k < c; ++k) {
    int64_t best = k;
    for (int64_t i = k + 1; i < c; ++i) {
      if (std::abs(at(i, k)) > std::abs(at(best, k))) {
        best = i;
      }
    }
    if (best != k) {
      for (int64_t j = 0; j < c; ++j) {
        std::swap(at(k, j), at(best, j));
      }
      std::swap(source[static_cast<size_t>(k)], source[static_cast<size_t>(best)]);
    }
    for (int64_t i = k + 1; i < c; ++i) {
      at(i, k) /= at(k, k);
      for (int64_t j = k + 1; j < c; ++j) {
        at(i, j) -= at(i, k) * at(k, j);
      }
    }
  }
  return source;
}

/// A permutation that is none, or a sign that is neither +1 nor -1, would silently give another model.
void check_integers(const io::Tensor& tensor) {
  if (tensor.type == io::Tensor::Type::float32) {
    return;
  }
  std::set<int32_t> seen(tensor.integers.begin(), tensor.integers.end());
  const auto count = static_cast<int32_t>(tensor.integers.size());
  const bool ok = tensor.type == io::Tensor::Type::int32
                      ? static_cast<int32_t>(seen.size()) == count && *seen.begin() == 0 && *seen.rbegin() == count - 1
                      : std::all_of(seen.begin(), seen.end(), [](int32_t s) { return s == 1 || s == -1; });
  if (!ok) {
    throw io::DataError("parameter " + tensor.name + " of the model file is damaged: " +
                        (tensor.type == io::Tensor::Type::int32 ? "not a permutation" : "not all +1 or -1"));
  }
}

kernels::Precision precision_of(io::Precision precision) {
  switch (precision) {
    case io::Precision::tf32:
      return kernels::Precision::tf32;
    case io::Precision::bf16:
      return kernels::Precision::bf16;
    case io::Precision::float32:
      break;
  }
  return kernels::Precision::float32;
}

kernels::CouplingKind kind_of(io::CouplingKind kind) {
  switch (kind) {
    case io::CouplingKind::tanh:
      return kernels::CouplingKind::tanh;
    case io::CouplingKind::additive:
      return kernels::CouplingKind::additive;
    case io::CouplingKind::sigmoid:
      break;
  }
  return kernels::CouplingKind::sigmoid;
}

kernels::CouplingPath path_of(io::CouplingKernels kernels) {
  switch (kernels) {
    case io::CouplingKernels::layered:
      return kernels::CouplingPath::layered;
    case io::CouplingKernels::fused:
      return kernels::CouplingPath::fused;
    case io::CouplingKernels::automatic:
      break;
  }
  return kernels::CouplingPath::automatic;
}

}  // namespace

GlowShape glow_shape(const io::Config& config) {
  GlowShape shape;
  shape.blocks = config.model.blocks;
  shape.steps = config.model.steps;
  shape.hidden = config.model.hidden;
  shape.dense_invconv = config.model.invconv == io::InvconvKind::dense;
  shape.coupling = kind_of(config.model.coupling);
  shape.zd_first = config.condition.zd_half == io::ZdHalf::first;
  shape.precision = precision_of(config.train.precision);
  shape.path = path_of(config.train.kernels);
  shape.height = config.frontend.mel_bands;
  shape.width = config.window.window_frames;
  const int64_t divisor = int64_t{1} << shape.blocks;
  if (shape.height % divisor != 0 || shape.width % divisor != 0) {
    throw io::UsageError(
        fmt::format("a window of {} mel bands x {} frames does not halve {} times; make frontend.mel_bands and "
                    "window.window_frames multiples of {}, or lower model.blocks",
                    shape.height, shape.width, shape.blocks, divisor));
  }
  return shape;
}

kernels::CouplingShape GlowShape::coupling_of(int block) const {
  return {.channels = channels(block),
          .hidden = hidden,
          .height = block_height(block),
          .width = block_width(block),
          .kind = coupling,
          .path = path,
          .precision = precision};
}

bool serves_lanes(const GlowShape& shape, kernels::Device device) {
  for (int block = 0; block < shape.blocks; ++block) {
    if (!kernels::coupling_serves_lanes(device, shape.coupling_of(block))) {
      return false;
    }
  }
  return true;
}

Glow::Glow(const GlowShape& shape, uint64_t seed, kernels::Device device)
    : shape_(shape), device_(device), constant_log_det_(1, device) {
  const int64_t hidden = shape.hidden;
  for (int block = 0; block < shape.blocks; ++block) {
    const int64_t c = shape.channels(block);
    for (int s = 0; s < shape.steps; ++s) {
      Step step;
      step.name = fmt::format("block{}.step{}", block + 1, s + 1);
      step.block = block;
      step.shape = shape.coupling_of(block);
      step.first_entry = layout_.entries().size();
      const auto add = [&](const char* name, std::vector<int64_t> dims) {
        layout_.add(step.name + "." + name, std::move(dims));
      };
      add("actnorm.bias", {c});
      add("actnorm.log_scale", {c});
      if (shape.dense_invconv) {
        add("invconv.weight", {c, c});
      } else {
        add("invconv.lower", {c, c});
        add("invconv.upper", {c, c});
        add("invconv.log_s", {c});
        step.permutation = kernels::Buffer<int32_t>(c, device);
        step.sign = kernels::Buffer<int8_t>(c, device);
      }
      add("coupling.conv1.weight", {hidden, c / 2, 3, 3});
      add("coupling.conv1.bias", {hidden});
      add("coupling.conv2.weight", {hidden, hidden, 1, 1});
      add("coupling.conv2.bias", {hidden});
      const int64_t outputs = step.shape.outputs();
      add("coupling.conv3.weight", {outputs, hidden, 3, 3});
      add("coupling.conv3.bias", {outputs});
      add("coupling.log_gain", {outputs});
      if (!shape.dense_invconv) {
        step.assembled = kernels::Buffer<float>(c * c, device);
      }
      step.inverse = kernels::Buffer<float>(c * c, device);
      step.packed = kernels::Buffer<float>(kernels::coupling_packed_floats(device, step.shape), device);
      step.dweight_offset = invconv_floats_;
      invconv_floats_ += c * c;
      steps_.push_back(std::move(step));
    }
  }
  for (Step& step : steps_) {
    step.dweight_offset += layout_.size();
  }
  parameters_ = kernels::Buffer<float>(layout_.size(), device);
  invconv_log_det_ = kernels::Buffer<double>(static_cast<int64_t>(steps_.size()), device);
  initialise_parameters(seed);
  list_tasks();
}

void Glow::list_tasks() {
  for (const Step& step : steps_) {
    if (shape_.dense_invconv) {
      dense_assemblies_.push_back({weight(step), step.inverse.view()});
    } else {
      plu_assemblies_.push_back({plu(step), step.assembled.view(), step.inverse.view()});
    }
    log_det_terms_.push_back({parameters_of(step).actnorm_log_scale, pixels(step)});
    packs_.push_back({step.shape, coupling_views<kernels::CouplingParameters>(parameters(), step), step.packed.view()});
  }
  log_det_gradients_.reserve(steps_.size());
  plu_backwards_.reserve(steps_.size());
  dense_backwards_.reserve(steps_.size());
}

kernels::Array<const float> Glow::weight(const Step& step) const {
  return shape_.dense_invconv ? parameters_of(step).invconv_weight : step.assembled.view();
}

// In the order in which the constructor adds them.
Glow::StepParameters Glow::parameters_of(const Step& step, Array<float> arena) const {
  size_t entry = step.first_entry;
  const auto next = [&] {
    const ArenaEntry& e = layout_.entries()[entry++];
    return arena.slice(e.offset, e.size);
  };
  StepParameters p;
  p.actnorm_bias = next();
  p.actnorm_log_scale = next();
  if (shape_.dense_invconv) {
    p.invconv_weight = next();
  } else {
    p.invconv_lower = next();
    p.invconv_upper = next();
    p.invconv_log_s = next();
  }
  p.conv1_weight = next();
  p.conv1_bias = next();
  p.conv2_weight = next();
  p.conv2_bias = next();
  p.conv3_weight = next();
  p.conv3_bias = next();
  p.log_gain = next();
  return p;
}

kernels::ActnormParameters Glow::actnorm(const Step& step) const {
  const StepParameters p = parameters_of(step);
  return {p.actnorm_bias, p.actnorm_log_scale};
}

kernels::PluParameters Glow::plu(const Step& step) const {
  const StepParameters p = parameters_of(step);
  return {.permutation = step.permutation.view(),
          .lower = p.invconv_lower,
          .upper = p.invconv_upper,
          .log_s = p.invconv_log_s,
          .sign = step.sign.view()};
}

template <class Views>
Views Glow::coupling_views(Array<float> arena, const Step& step) const {
  const StepParameters p = parameters_of(step, arena);
  return {p.conv1_weight, p.conv1_bias, p.conv2_weight, p.conv2_bias, p.conv3_weight, p.conv3_bias, p.log_gain};
}
template kernels::CouplingGradients Glow::coupling_views(Array<float>, const Step&) const;

void Glow::initialise_parameters(uint64_t seed) {
  constexpr double weight_std = 0.05;
  Random random = stream_of(seed, 0);
  kernels::Stream stream(device_);
  std::vector<float> values(static_cast<size_t>(layout_.size()));
  const Array<float> host{values.data(), layout_.size(), {}};
  for (Step& step : steps_) {
    const int64_t c = step.shape.channels;
    const StepParameters p = parameters_of(step, host);
    std::vector<double> a = random_rotation(random, c);
    if (shape_.dense_invconv) {
      for (int64_t i = 0; i < c * c; ++i) {
        p.invconv_weight[i] = static_cast<float>(a[static_cast<size_t>(i)]);
      }
    } else {
      const std::vector<int64_t> source = factorise(a, c);
      std::vector<int32_t> permutation(static_cast<size_t>(c));
      std::vector<int8_t> sign(static_cast<size_t>(c));
      for (int64_t i = 0; i < c; ++i) {
        permutation[static_cast<size_t>(source[static_cast<size_t>(i)])] = static_cast<int32_t>(i);
        for (int64_t j = 0; j < c; ++j) {
          const double value = a[static_cast<size_t>(i * c + j)];
          if (j < i) {
            p.invconv_lower[i * c + j] = static_cast<float>(value);
          }
          if (j > i) {
            p.invconv_upper[i * c + j] = static_cast<float>(value);
          }
          if (j == i) {
            sign[static_cast<size_t>(i)] = value < 0 ? int8_t{-1} : int8_t{1};
            p.invconv_log_s[i] = static_cast<float>(std::log(std::abs(value)));
          }
        }
      }
      kernels::upload<int32_t>(stream, permutation, step.permutation.view());
      kernels::upload<int8_t>(stream, sign, step.sign.view());
    }
    for (const Array<float>& weight : {p.conv1_weight, p.conv2_weight}) {
      for (int64_t i = 0; i < weight.size; ++i) {
        weight[i] = static_cast<float>(weight_std * random.normal());
      }
    }
  }
  kernels::upload<float>(stream, values, parameters());
}

void Glow::initialise_actnorm(kernels::Stream& stream, kernels::ConstMap x) {
  // Layer by layer over the whole batch: the statistics of a step depend on the steps before it.
  int64_t workspace_floats = 0;
  for (const Step& step : steps_) {
    workspace_floats = std::max(workspace_floats, kernels::coupling_workspace_floats(device_, step.shape, x.n));
  }
  kernels::Buffer<float> workspace(workspace_floats, device_);
  kernels::Buffer<float> state(x.size(), device_);
  kernels::Buffer<float> next(x.size(), device_);
  kernels::Buffer<double> ignored(x.n, device_);
  kernels::ConstMap kept = x;
  kernels::Map current{};
  for (size_t i = 0; i < steps_.size(); ++i) {
    Step& step = steps_[i];
    const kernels::CouplingShape& s = step.shape;
    if (i % static_cast<size_t>(shape_.steps) == 0) {
      current = kernels::make_map(next.data(), x.n, s.channels, s.height, s.width, device_);
      kernels::squeeze(stream, {.x = kept, .y = current});
      std::swap(state, next);
    }
    kernels::Map other = kernels::make_map(next.data(), x.n, s.channels, s.height, s.width, device_);
    kernels::actnorm_initialise(
        stream,
        {.x = current, .bias = parameters_of(step).actnorm_bias, .log_scale = parameters_of(step).actnorm_log_scale});
    kernels::actnorm_forward(stream, {.x = current, .parameters = actnorm(step), .y = current});
    assemble_steps(stream, i, 1);
    kernels::invconv_apply(stream, {.x = current, .weight = weight(step), .y = other});
    kernels::coupling_forward(stream, {.shape = s,
                                       .x = other,
                                       .packed = step.packed.view(),
                                       .y = other,
                                       .log_det = ignored.view(),
                                       .saved = {},
                                       .workspace = workspace.view()});
    std::swap(state, next);
    current = other;
    kept = kernels::split(kernels::ConstMap(current)).kept;
  }
  assemble(stream);
  stream.synchronise();  // the maps go
}

void Glow::assemble_invconv(kernels::Stream& stream, size_t first, size_t count) {
  const Array<double> log_det = invconv_log_det_.slice(static_cast<int64_t>(first), static_cast<int64_t>(count));
  try {
    if (shape_.dense_invconv) {
      kernels::invconv_assemble_dense(
          stream, {.steps = std::span(dense_assemblies_).subspan(first, count), .log_det = log_det});
    } else {
      kernels::invconv_assemble_plu(stream,
                                    {.steps = std::span(plu_assemblies_).subspan(first, count), .log_det = log_det});
    }
  } catch (const kernels::SingularError& error) {
    const auto step = first + static_cast<size_t>(error.step());
    throw kernels::SingularError(steps_[step].name + ".invconv: " + error.what(), static_cast<int64_t>(step));
  }
}

void Glow::assemble_steps(kernels::Stream& stream, size_t first, size_t count) {
  assemble_invconv(stream, first, count);
  kernels::coupling_pack(stream, {.steps = std::span(packs_).subspan(first, count)});
}

void Glow::assemble(kernels::Stream& stream) {
  assemble_steps(stream, 0, steps_.size());
  kernels::constant_log_det(
      stream, {.steps = log_det_terms_, .invconv_log_det = invconv_log_det_.view(), .total = constant_log_det_.view()});
}

void Glow::finish_gradient(kernels::Stream& stream, Array<float> raw, double log_det_gradient) const {
  log_det_gradients_.clear();
  plu_backwards_.clear();
  dense_backwards_.clear();
  for (const Step& step : steps_) {
    const double gradient = log_det_gradient * static_cast<double>(pixels(step));
    const Array<const float> dweight = raw.slice(step.dweight_offset, step.inverse.size());
    const StepParameters into = parameters_of(step, raw);
    log_det_gradients_.push_back({gradient, into.actnorm_log_scale});
    if (shape_.dense_invconv) {
      dense_backwards_.push_back({step.inverse.view(), dweight, gradient, into.invconv_weight});
    } else {
      plu_backwards_.push_back(
          {plu(step), dweight, gradient, {into.invconv_lower, into.invconv_upper, into.invconv_log_s}});
    }
  }
  kernels::actnorm_log_det_backward(stream, {.steps = log_det_gradients_});
  if (shape_.dense_invconv) {
    kernels::invconv_dense_backward(stream, {.steps = dense_backwards_});
  } else {
    kernels::invconv_plu_backward(stream, {.steps = plu_backwards_});
  }
}

std::vector<io::Tensor> Glow::tensors() const {
  kernels::Stream stream(device_);
  const std::vector<float> values = kernels::to_host(stream, parameters());
  std::vector<io::Tensor> out;
  for (const Step& step : steps_) {
    const int64_t c = step.shape.channels;
    const size_t entries = layout_.entries().size() / steps_.size();
    for (size_t e = 0; e < entries; ++e) {
      if (e == 2 && !shape_.dense_invconv) {
        io::Tensor permutation{step.name + ".invconv.permutation", {c}, io::Tensor::Type::int32, {}, {}};
        permutation.integers = kernels::to_host(stream, step.permutation.view());
        io::Tensor sign{step.name + ".invconv.sign", {c}, io::Tensor::Type::int8, {}, {}};
        const std::vector<int8_t> signs = kernels::to_host(stream, step.sign.view());
        sign.integers.assign(signs.begin(), signs.end());
        out.push_back(std::move(permutation));
        out.push_back(std::move(sign));
      }
      const ArenaEntry& entry = layout_.entries()[step.first_entry + e];
      const float* data = values.data() + entry.offset;
      out.push_back({.name = entry.name,
                     .shape = entry.shape,
                     .type = io::Tensor::Type::float32,
                     .values = std::vector<float>(data, data + entry.size),
                     .integers = {}});
    }
  }
  return out;
}

void Glow::load(const std::vector<io::Tensor>& tensors) {
  std::map<std::string, const io::Tensor*> given;
  for (const io::Tensor& tensor : tensors) {
    given[tensor.name] = &tensor;
  }
  // All is checked before anything is written: a model that does not fit leaves this one as it was.
  for (const io::Tensor& own : this->tensors()) {
    const auto found = given.find(own.name);
    if (found == given.end()) {
      throw io::DataError("the model file has no parameter " + own.name +
                          "; its model has another shape, or it was cut short");
    }
    const io::Tensor& other = *found->second;
    if (other.shape != own.shape || other.type != own.type) {
      throw io::DataError(fmt::format("parameter {} has shape [{}] in the model file; expected [{}]", own.name,
                                      fmt::join(other.shape, ", "), fmt::join(own.shape, ", ")));
    }
    check_integers(other);
    given.erase(found);
  }
  if (!given.empty()) {
    throw io::DataError("the model file has a parameter " + given.begin()->first + " that this model does not know");
  }
  kernels::Stream stream(device_);
  std::vector<float> values(static_cast<size_t>(layout_.size()));
  for (const io::Tensor& tensor : tensors) {
    if (tensor.type == io::Tensor::Type::float32) {
      std::copy(tensor.values.begin(), tensor.values.end(), values.begin() + layout_.find(tensor.name).offset);
    } else {
      given[tensor.name] = &tensor;
    }
  }
  kernels::upload<float>(stream, values, parameters());
  for (Step& step : steps_) {
    if (shape_.dense_invconv) {
      break;
    }
    const std::vector<int32_t>& permutation = given.at(step.name + ".invconv.permutation")->integers;
    const std::vector<int32_t>& sign = given.at(step.name + ".invconv.sign")->integers;
    const std::vector<int8_t> signs(sign.begin(), sign.end());
    kernels::upload<int32_t>(stream, permutation, step.permutation.view());
    kernels::upload<int8_t>(stream, signs, step.sign.view());
  }
}

}  // namespace evenflow::flow
