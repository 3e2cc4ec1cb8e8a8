#include "flow/vae.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "flow/random.h"
#include "io/error.h"
#include "kernels/copy.h"
#include "kernels/flow_ops.h"

namespace evenflow::flow {

using kernels::Array;
using kernels::Buffer;
using kernels::Stream;

/// Activations of up to n windows through all layers: layer l reads value l and writes value l + 1. The draw from the
/// code stands between encoder and decoder.
class VaePass final : public Pass {
 public:
  VaePass(const Vae& vae, int64_t n, PassMode mode);

  kernels::Map input() override {
    return kernels::make_map(values_.front().data(), n_, 1, vae_.shape_.height, vae_.shape_.width, vae_.device_);
  }
  void score(Stream& stream, kernels::ConstMap x, std::span<const double> v, std::span<WindowScores> out) override;
  void loss(Stream& stream, kernels::ConstMap x, Array<const double> v, Array<double> nll) override {
    forward(stream, x, {});
    terms(stream, v, nll);
  }
  void loss_and_gradient(Stream& stream, kernels::ConstMap x, Array<const double> v, double scale, const Draws& draws,
                         Array<double> nll, Array<float> raw) override;
  void copy_latents(Stream& stream, int64_t i, std::span<float> to) override;
  std::string first_non_finite(Stream& stream, kernels::ConstMap x) override;

 private:
  size_t half() const { return vae_.layers_.size() / 2; }
  kernels::LinearShape shape(const Vae::Layer& layer) const {
    return {.n = active_, .in = layer.in, .out = layer.out, .relu = layer.relu, .precision = vae_.shape_.precision};
  }
  Array<const float> weight(const Vae::Layer& layer) const {
    return vae_.parameters_.slice(layer.weight, layer.in * layer.out);
  }
  Array<const float> bias(const Vae::Layer& layer) const { return vae_.parameters_.slice(layer.bias, layer.out); }
  /// The first active_ windows of a buffer of n_.
  Array<float> active(const Buffer<float>& buffer) const { return buffer.slice(0, buffer.size() / n_ * active_); }
  kernels::Noise noise(const Draws& draws) const { return {vae_.seed_, draws.step, draws.first}; }
  Array<const float> reads(size_t layer) const { return active(layer == half() ? z_ : values_[layer]); }
  kernels::CodeLoss task(Array<const double> v) const;

  void run(Stream& stream, size_t layer) {
    const Vae::Layer& l = vae_.layers_[layer];
    kernels::linear_forward(stream, shape(l), reads(layer), weight(l), bias(l), active(values_[layer + 1]));
  }
  void forward(Stream& stream, kernels::ConstMap x, const Draws& draws);
  // The losses of what forward left; difference_ becomes reconstruction less window.
  void terms(Stream& stream, Array<const double> v, Array<double> nll);

  const Vae& vae_;
  int64_t n_, active_ = 0;
  std::vector<Buffer<float>> values_;  // [layers + 1]; the last: the reconstruction
  Buffer<float> z_, difference_;
  Buffer<double> squares_, reconstruction_, kld_, loss_;
  std::vector<Buffer<float>> gradients_;  // of the hidden values, by turns; training only
  Buffer<float> dcode_, dz_;
};

VaePass::VaePass(const Vae& vae, int64_t n, PassMode mode)
    : vae_(vae),
      n_(n),
      z_(n * vae.shape_.latents, vae.device_),
      difference_(n * vae.shape_.dimensions(), vae.device_),
      squares_(n, vae.device_),
      reconstruction_(n, vae.device_),
      kld_(n, vae.device_),
      loss_(n, vae.device_) {
  values_.emplace_back(n * vae.shape_.dimensions(), vae.device_);
  for (const Vae::Layer& layer : vae.layers_) values_.emplace_back(n * layer.out, vae.device_);
  if (mode != PassMode::train) return;
  for (int i = 0; i < 2; ++i) gradients_.emplace_back(n * vae.shape_.hidden, vae.device_);
  dcode_ = Buffer<float>(n * 2 * vae.shape_.latents, vae.device_);
  dz_ = Buffer<float>(n * vae.shape_.latents, vae.device_);
}

kernels::CodeLoss VaePass::task(Array<const double> v) const {
  return {.dimensions = vae_.shape_.dimensions(),
          .latents = vae_.shape_.latents,
          .beta = vae_.shape_.beta,
          .gamma = vae_.shape_.tie_weight(),
          .groups = vae_.ties_.view(),
          .code = active(values_[half()]),
          .squares = squares_.slice(0, active_),
          .v = v};
}

void VaePass::forward(Stream& stream, kernels::ConstMap x, const Draws& draws) {
  active_ = x.n;
  if (x.data != values_.front().data()) {
    kernels::copy(stream, Array<const float>{x.data, x.size(), x.device}, active(values_.front()));
  }
  for (size_t layer = 0; layer < vae_.layers_.size(); ++layer) {
    if (layer == half()) {
      kernels::code_sample(stream, vae_.shape_.latents, active(values_[layer]), noise(draws), active(z_));
    }
    run(stream, layer);
  }
}

void VaePass::terms(Stream& stream, Array<const double> v, Array<double> nll) {
  const Array<float> difference = active(difference_);
  kernels::subtract(stream, active(values_.back()), active(values_.front()), difference);
  kernels::zero(stream, squares_.slice(0, active_));
  kernels::gaussian_squares(
      stream, kernels::make_map(difference.data, active_, 1, vae_.shape_.height, vae_.shape_.width, vae_.device_),
      squares_.slice(0, active_));
  kernels::code_loss(stream, task(v), {reconstruction_.slice(0, active_), kld_.slice(0, active_), nll});
}

void VaePass::loss_and_gradient(Stream& stream, kernels::ConstMap x, Array<const double> v, double scale,
                                const Draws& draws, Array<double> nll, Array<float> raw) {
  forward(stream, x, draws);
  terms(stream, v, nll);
  // d (difference^2 / 2) = difference, in place.
  const kernels::Map difference =
      kernels::make_map(difference_.data(), active_, 1, vae_.shape_.height, vae_.shape_.width, vae_.device_);
  kernels::zero(stream, squares_.slice(0, active_));
  kernels::gaussian_backward(stream, difference, squares_.slice(0, active_), scale, difference);
  Array<float> dy = active(difference_);
  for (size_t layer = vae_.layers_.size(); layer-- > 0;) {
    const Vae::Layer& l = vae_.layers_[layer];
    Array<float> dx = layer == 0        ? Array<float>{nullptr, 0, vae_.device_}
                      : layer == half() ? active(dz_)
                                        : active(gradients_[layer % 2]);
    kernels::linear_backward(stream, shape(l), reads(layer), active(values_[layer + 1]), dy, weight(l), dx,
                             {raw.slice(l.weight, l.in * l.out), raw.slice(l.bias, l.out)});
    dy = dx;
    if (layer != half()) continue;
    kernels::code_backward(stream, task(v), noise(draws), scale, active(dz_), active(dcode_));
    dy = active(dcode_);
  }
}

void VaePass::score(Stream& stream, kernels::ConstMap x, std::span<const double> v, std::span<WindowScores> out) {
  forward(stream, x, {});
  terms(stream, {}, loss_.slice(0, active_));
  const std::vector<double> reconstruction = kernels::to_host(stream, reconstruction_.slice(0, active_));
  const std::vector<double> kld = kernels::to_host(stream, kld_.slice(0, active_));
  const std::vector<double> loss = kernels::to_host(stream, loss_.slice(0, active_));
  const std::vector<float> code = kernels::to_host(stream, active(values_[half()]));
  const io::ConditionData& condition = vae_.condition_;
  const size_t parameters = condition.names.size();
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  for (size_t i = 0; i < out.size(); ++i) {
    WindowScores& s = out[i];
    s.score_zc = s.score_zc_logdet = s.score_scatter = s.nll = s.nll_given_v = s.log_det = s.log_p_zc = none;
    s.score_reconstruction = reconstruction[i];
    s.score_kld = kld[i];
    s.score_loss = loss[i];
    s.estimate.resize(parameters);
    for (size_t p = 0; p < parameters; ++p) {
      const double mean = code[i * 2 * static_cast<size_t>(vae_.shape_.latents) + p];
      s.estimate[p] = mean / condition.k[p] + condition.v0[p];
      const double value = v.empty() ? none : v[i * parameters + p];
      const double off = mean - condition.k[p] * (value - condition.v0[p]);
      if (!std::isnan(value)) s.score_loss += vae_.shape_.tie_weight() * off * off;
    }
  }
}

void VaePass::copy_latents(Stream& stream, int64_t i, std::span<float> to) {
  const int64_t latents = vae_.shape_.latents, tied = vae_.zd_size();
  const float* means = values_[half()].data() + i * 2 * latents;
  const auto copy = [&](int64_t from, int64_t count, int64_t at) {
    kernels::copy(stream, Array<const float>{means + from, count, vae_.device_},
                  Array<float>{to.data() + at, count, {}});
  };
  copy(tied, latents - tied, 0);
  copy(0, tied, latents - tied);
}

std::string VaePass::first_non_finite(Stream& stream, kernels::ConstMap x) {
  const auto finite = [&](const Array<float>& values) {
    const std::vector<float> all = kernels::to_host(stream, values);
    return std::all_of(all.begin(), all.end(), [](float value) { return std::isfinite(value); });
  };
  forward(stream, x, {});
  if (!finite(active(values_.front()))) return "input";
  for (size_t layer = 0; layer < vae_.layers_.size(); ++layer) {
    if (!finite(active(values_[layer + 1]))) return vae_.layers_[layer].name;
  }
  return "";
}

VaeShape vae_shape(const io::Config& config, const io::ConditionData& condition) {
  VaeShape shape;
  shape.layers = config.vae.layers;
  shape.hidden = config.vae.hidden;
  shape.latents = config.vae.latents;
  shape.beta = config.vae.beta;
  shape.gamma = config.vae.gamma;
  shape.height = config.frontend.mel_bands;
  shape.width = config.window.window_frames;
  shape.precision = config.train.precision == "float32" ? kernels::Precision::float32 : kernels::Precision::tf32;
  if (static_cast<int64_t>(condition.names.size()) > shape.latents) {
    throw io::UsageError(fmt::format("{} latents cannot carry {} parameters ({}); raise vae.latents", shape.latents,
                                     condition.names.size(), fmt::join(condition.names, ", ")));
  }
  return shape;
}

Vae::Vae(const VaeShape& shape, const io::ConditionData& condition, uint64_t seed, kernels::Device device)
    : shape_(shape), condition_(condition), seed_(seed), device_(device) {
  const int64_t half = shape.layers / 2;
  for (int64_t i = 0; i < shape.layers; ++i) {
    const bool decoder = i >= half;
    const int64_t place = decoder ? i - half : i;
    const bool first = place == 0, last = place == half - 1;
    Layer layer;
    layer.name = fmt::format("{}{}", decoder ? "decoder" : "encoder", place + 1);
    layer.in = !first ? shape.hidden : decoder ? shape.latents : shape.dimensions();
    layer.out = !last ? shape.hidden : decoder ? shape.dimensions() : 2 * shape.latents;
    layer.relu = !last;
    const auto add = [&](const char* what, std::vector<int64_t> sizes) {
      const int64_t entry = layout_.add(fmt::format("{}.{}", layer.name, what), std::move(sizes));
      return layout_.entries()[static_cast<size_t>(entry)].offset;
    };
    layer.weight = add("weight", {layer.out, layer.in});
    layer.bias = add("bias", {layer.out});
    layers_.push_back(layer);
  }
  std::vector<float> values(static_cast<size_t>(layout_.size()));
  for (size_t l = 0; l < layers_.size(); ++l) {
    Random random = stream_of(seed, l);
    const Layer& layer = layers_[l];
    const double deviation = std::sqrt((layer.relu ? 2.0 : 1.0) / static_cast<double>(layer.in));
    for (int64_t i = 0; i < layer.in * layer.out; ++i) {
      values[static_cast<size_t>(layer.weight + i)] = static_cast<float>(deviation * random.normal());
    }
  }
  Stream stream(device);
  parameters_ = Buffer<float>(layout_.size(), device);
  kernels::upload<float>(stream, values, parameters_.view());
  std::vector<kernels::LatentGroup> ties;
  for (size_t p = 0; p < condition.names.size(); ++p) {
    ties.push_back({condition.k[p], condition.v0[p], condition.mean[p], condition.std[p]});
  }
  ties_ = Buffer<kernels::LatentGroup>(static_cast<int64_t>(ties.size()), device);
  kernels::upload<kernels::LatentGroup>(stream, ties, ties_.view());
}

std::string Vae::describe() const {
  return fmt::format("an autoencoder of {} layers, hidden width {}, {} latents", shape_.layers, shape_.hidden,
                     shape_.latents);
}

std::vector<io::Tensor> Vae::tensors() const {
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

void Vae::load(const std::vector<io::Tensor>& tensors) {
  std::vector<float> values(static_cast<size_t>(layout_.size()));
  for (const ArenaEntry& entry : layout_.entries()) {
    const auto found =
        std::find_if(tensors.begin(), tensors.end(), [&](const io::Tensor& t) { return t.name == entry.name; });
    if (found == tensors.end() || found->type != io::Tensor::Type::float32 || found->shape != entry.shape) {
      throw io::DataError(
          fmt::format("the model file has no parameter {} of shape [{}]; it is of another model or damaged", entry.name,
                      fmt::join(entry.shape, ", ")));
    }
    std::copy(found->values.begin(), found->values.end(), values.begin() + entry.offset);
  }
  Stream stream(device_);
  kernels::upload<float>(stream, values, parameters_.view());
}

std::unique_ptr<Pass> Vae::make_pass(int64_t n, PassMode mode) const {
  return std::make_unique<VaePass>(*this, n, mode);
}

}  // namespace evenflow::flow
