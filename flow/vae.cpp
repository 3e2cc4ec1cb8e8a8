#include "flow/vae.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "io/error.h"
#include "kernels/copy.h"
#include "kernels/gaussian.h"
#include "kernels/subtract.h"
#include "kernels/trace.h"

namespace evenflow::flow {

using kernels::Array;
using kernels::Buffer;
using kernels::Stream;

/// The draw from the code stands between encoder and decoder.
class VaePass final : public Pass {
 public:
  VaePass(const Vae& vae, int64_t n, PassMode mode)
      : vae_(vae),
        n_(n),
        encoder_(vae.encoder_, vae.parameters(), n, mode),
        decoder_(vae.decoder_, vae.parameters(), n, mode),
        difference_(n * vae.shape_.dimensions(), vae.device_),
        squares_(n, vae.device_),
        reconstruction_(n, vae.device_),
        kld_(n, vae.device_),
        loss_(n, vae.device_) {
    if (mode != PassMode::train) {
      return;
    }
    dcode_ = Buffer<float>(n * 2 * vae.shape_.latents, vae.device_);
    dz_ = Buffer<float>(n * vae.shape_.latents, vae.device_);
  }

  kernels::Map input() override { return window_map(encoder_.input().data, n_); }
  void score(Stream& stream, kernels::ConstMap x, std::span<const double> v, WindowScores& out, int64_t first) override;
  void loss(Stream& stream, kernels::ConstMap x, Array<const double> v, Array<double> nll) override {
    forward(stream, x, {});
    terms(stream, v, nll);
  }
  void loss_and_gradient(Stream& stream, kernels::ConstMap x, Array<const double> v, double scale, const Draws& draws,
                         Array<double> nll, Array<float> raw) override;
  void attribute(Stream& stream, kernels::ConstMap x, std::span<const double> v, size_t score,
                 Attribution& out) override;
  void copy_latents(Stream& stream, int64_t i, std::span<float> to) override;
  std::string first_non_finite(Stream& stream, kernels::ConstMap x) override;

 private:
  kernels::Map window_map(float* data, int64_t n) const {
    return kernels::make_map(data, n, 1, vae_.shape_.height, vae_.shape_.width, vae_.device_);
  }
  /// The first active_ windows of a buffer of n_.
  Array<float> active(const Buffer<float>& buffer) const { return buffer.slice(0, buffer.size() / n_ * active_); }
  kernels::CodeNoise noise(const Draws& draws) const { return {vae_.seed_, draws.step, draws.first}; }
  kernels::CodePrior prior(Array<const double> v) const {
    return {.latents = vae_.shape_.latents,
            .beta = vae_.shape_.beta,
            .gamma = vae_.shape_.tie_weight(),
            .groups = vae_.ties_.view(),
            .v = v};
  }
  void forward(Stream& stream, kernels::ConstMap x, const Draws& draws) {
    active_ = x.n;
    x_ = Array<const float>{x.data, x.size(), x.device};
    encoder_.forward(stream, x_);
    const Array<float> z = decoder_.input().slice(0, active_ * vae_.shape_.latents);
    kernels::code_sample(stream,
                         {.latents = vae_.shape_.latents, .code = encoder_.output(), .noise = noise(draws), .z = z});
    decoder_.forward(stream, z);
  }
  // The losses of what forward left; difference_ becomes reconstruction less window.
  void terms(Stream& stream, Array<const double> v, Array<double> nll) {
    kernels::subtract(stream, {.a = decoder_.output(), .b = x_, .out = active(difference_)});
    kernels::zero(stream, squares_.slice(0, active_));
    kernels::gaussian_squares(stream,
                              {.z = window_map(difference_.data(), active_), .squares = squares_.slice(0, active_)});
    kernels::code_loss(stream, {.prior = prior(v),
                                .dimensions = vae_.shape_.dimensions(),
                                .code = encoder_.output(),
                                .squares = squares_.slice(0, active_),
                                .reconstruction = reconstruction_.slice(0, active_),
                                .kld = kld_.slice(0, active_),
                                .loss = nll});
  }

  const Vae& vae_;
  int64_t n_, active_ = 0;
  DensePass encoder_, decoder_;
  Array<const float> x_;
  Buffer<float> difference_;
  Buffer<double> squares_, reconstruction_, kld_, loss_;
  Buffer<float> dcode_, dz_;  // training only
};

void VaePass::loss_and_gradient(Stream& stream, kernels::ConstMap x, Array<const double> v, double scale,
                                const Draws& draws, Array<double> nll, Array<float> raw) {
  {
    const kernels::TraceRange phase(stream, "forward");
    forward(stream, x, draws);
  }
  {
    const kernels::TraceRange phase(stream, "loss");
    terms(stream, v, nll);
  }
  const kernels::TraceRange phase(stream, "backward");
  // d (difference^2 / 2) = difference, in place.
  const kernels::Map difference = window_map(difference_.data(), active_);
  kernels::zero(stream, squares_.slice(0, active_));
  kernels::gaussian_backward(stream,
                             {.z = difference, .shift = squares_.slice(0, active_), .scale = scale, .dz = difference});
  decoder_.backward(stream, active(difference_), active(dz_), raw);
  kernels::code_backward(stream, {.prior = prior(v),
                                  .noise = noise(draws),
                                  .scale = scale,
                                  .code = encoder_.output(),
                                  .dz = active(dz_),
                                  .dcode = active(dcode_)});
  encoder_.backward(stream, active(dcode_), {nullptr, 0, vae_.device_}, raw);
}

namespace {

// Log of the mean square of each band's frames.
void fill_band_errors(std::span<const float> difference, std::span<float> out) {
  const size_t frames = difference.size() / out.size();
  for (size_t b = 0; b < out.size(); ++b) {
    double sum = 0;
    for (const float d : difference.subspan(b * frames, frames)) {
      sum += static_cast<double>(d) * d;
    }
    // The least float keeps a band without any error finite.
    constexpr double least = std::numeric_limits<float>::min();
    out[b] = static_cast<float>(std::log(sum / static_cast<double>(frames) + least));
  }
}

/// Of one window, in nats.
struct VaeTerms {
  double reconstruction, kld, loss;
};

const std::vector<ScoreOf<VaeTerms>>& vae_score_list() {
  static const std::vector<ScoreOf<VaeTerms>> list = {
      {{"score_reconstruction", "How far the sound is from what the autoencoder makes of it"},
       [](const VaeTerms& t) { return t.reconstruction; }},
      {{"score_kld", "How far the sound's code is from the codes of the training"},
       [](const VaeTerms& t) { return t.kld; }},
      {{"score_loss", "What the training makes small: both, and the code's tie to the operating point"},
       [](const VaeTerms& t) { return t.loss; }}};
  return list;
}

}  // namespace

const std::vector<Score>& vae_scores() {
  static const std::vector<Score> scores = scores_of(vae_score_list());
  return scores;
}

void VaePass::score(Stream& stream, kernels::ConstMap x, std::span<const double> v, WindowScores& out, int64_t first) {
  forward(stream, x, {});
  terms(stream, {}, loss_.slice(0, active_));
  const std::vector<double> reconstruction = kernels::to_host(stream, reconstruction_.slice(0, active_));
  const std::vector<double> kld = kernels::to_host(stream, kld_.slice(0, active_));
  const std::vector<double> loss = kernels::to_host(stream, loss_.slice(0, active_));
  const std::vector<float> difference = kernels::to_host(stream, active(difference_));
  const std::vector<float> code = kernels::to_host(stream, encoder_.output());
  const io::ConditionData& condition = vae_.condition_;
  const size_t parameters = condition.names.size();
  const auto dimensions = static_cast<size_t>(vae_.shape_.dimensions());
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  for (size_t i = 0; i < static_cast<size_t>(active_); ++i) {
    const int64_t row = first + static_cast<int64_t>(i);
    VaeTerms own{reconstruction[i], kld[i], loss[i]};
    fill_band_errors(std::span(difference).subspan(i * dimensions, dimensions), out.descriptors[row]);
    for (size_t p = 0; p < parameters; ++p) {
      const double mean = code[i * 2 * static_cast<size_t>(vae_.shape_.latents) + p];
      out.estimates[row][p] = mean / condition.k[p] + condition.v0[p];
      const double value = v.empty() ? none : v[i * parameters + p];
      const double off = mean - condition.k[p] * (value - condition.v0[p]);
      if (!std::isnan(value)) {
        own.loss += vae_.shape_.tie_weight() * off * off;
      }
    }
    fill_scores(vae_score_list(), own, out.scores[row]);
  }
}

void VaePass::attribute(Stream& stream, kernels::ConstMap x, std::span<const double> v, size_t score,
                        Attribution& out) {
  WindowScores scores(vae_, 1);
  this->score(stream, x, v, scores, 0);
  const std::string& name = vae_.scores()[score].name;
  const bool whole = name == "score_loss", reconstruction = whole || name == "score_reconstruction";
  out = {.score = scores.scores[0][score], .parts = {}, .shares = {}, .gradient = {}};
  std::vector<float> difference = kernels::to_host(stream, active(difference_));
  if (!reconstruction) {
    std::fill(difference.begin(), difference.end(), 0.0F);
  }
  const auto n = static_cast<double>(difference.size());
  double placed = 0, squares = 0;
  for (const float d : difference) {
    squares += static_cast<double>(d) * d;
    out.shares.push_back(reconstruction ? kernels::half_log_2pi + 0.5 * d * d : 0.0);
    placed += out.shares.back();
  }
  if (reconstruction) {
    out.parts.push_back(
        {.name = "reconstruction", .share = placed, .mean_square = squares / n, .bands = 1, .frames = 1});
  }
  const double code = reconstruction && !whole ? 0.0 : out.score - placed;
  if (!reconstruction || whole) {
    out.parts.push_back({.name = "code", .share = code});
  }
  spread_evenly(out.shares, out.score - placed);

  // d (difference^2 / 2) = difference of the reconstruction, and less of the window itself.
  const Buffer<float> raw(vae_.raw_gradient_size(), vae_.device_), dx(active(difference_).size, vae_.device_);
  const Buffer<double> values(static_cast<int64_t>(v.size()), vae_.device_);
  kernels::upload<double>(stream, v, values.view());
  kernels::upload<float>(stream, difference, active(difference_));
  decoder_.backward(stream, active(difference_), active(dz_), raw.view());
  kernels::CodePrior prior = this->prior(values.view());
  prior.beta = whole ? prior.beta : reconstruction ? 0.0 : 1.0;
  prior.gamma = whole ? prior.gamma : 0.0;
  kernels::code_backward(stream, {.prior = prior,
                                  .noise = noise({}),
                                  .scale = 1.0,
                                  .code = encoder_.output(),
                                  .dz = active(dz_),
                                  .dcode = active(dcode_)});
  encoder_.backward(stream, active(dcode_), dx.view(), raw.view());
  out.gradient = kernels::to_host(stream, dx.view());
  for (size_t i = 0; i < difference.size(); ++i) {
    out.gradient[i] -= difference[i];
  }
}

void VaePass::copy_latents(Stream& stream, int64_t i, std::span<float> to) {
  const int64_t latents = vae_.shape_.latents, tied = vae_.zd_size();
  const float* means = encoder_.output().data + i * 2 * latents;
  const auto copy = [&](int64_t from, int64_t count, int64_t at) {
    kernels::copy(stream, Array<const float>{means + from, count, vae_.device_},
                  Array<float>{to.data() + at, count, {}});
  };
  copy(tied, latents - tied, 0);
  copy(0, tied, latents - tied);
}

std::string VaePass::first_non_finite(Stream& stream, kernels::ConstMap x) {
  forward(stream, x, {});
  if (!all_finite(stream, x_)) {
    return "input";
  }
  const std::string layer = encoder_.first_non_finite(stream);
  return layer.empty() ? decoder_.first_non_finite(stream) : layer;
}

CarriedParameters carried_by_vae(const io::Config& config, const io::ConditionData& condition) {
  CarriedParameters out;
  for (size_t p = 0; p < condition.names.size(); ++p) {
    if (condition.is_category(p)) {
      out.left_out.push_back(
          fmt::format("{} is left out: an autoencoder's latent can be tied to a number, and {} has "
                      "names for values; model.kind glow and classifier take them",
                      condition.names[p], condition.names[p]));
    } else if (static_cast<int>(out.kept.size()) == config.vae.latents) {
      out.left_out.push_back(fmt::format("{} is left out: {} latents carry {} parameters; raise vae.latents",
                                         condition.names[p], config.vae.latents, config.vae.latents));
    } else {
      out.kept.push_back(p);
    }
  }
  return out;
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
  shape.precision = dense_precision(config);
  for (size_t p = 0; p < condition.names.size(); ++p) {
    if (condition.is_category(p)) {
      throw io::UsageError(fmt::format(
          "an autoencoder's latent can be tied to a number, and {} has names for values; name the numbers alone in "
          "condition.parameters, set condition.enabled to false, or choose model.kind glow or classifier",
          condition.names[p]));
    }
  }
  if (static_cast<int64_t>(condition.names.size()) > shape.latents) {
    throw io::UsageError(fmt::format("{} latents cannot carry {} parameters ({}); raise vae.latents", shape.latents,
                                     condition.names.size(), fmt::join(condition.names, ", ")));
  }
  return shape;
}

Vae::Vae(const VaeShape& shape, const io::ConditionData& condition, uint64_t seed, kernels::Device device)
    : DenseModel(shape.height, shape.width, condition, device), shape_(shape), seed_(seed) {
  const int64_t half = shape.layers / 2;
  encoder_ = Dense("encoder", dense_widths(shape.dimensions(), shape.hidden, half, 2 * shape.latents), shape.precision,
                   layout_);
  decoder_ =
      Dense("decoder", dense_widths(shape.latents, shape.hidden, half, shape.dimensions()), shape.precision, layout_);
  make_parameters(seed, {&encoder_, &decoder_});
  std::vector<kernels::LatentGroup> ties;
  for (size_t p = 0; p < condition.names.size(); ++p) {
    ties.push_back({condition.k[p], condition.v0[p], condition.mean[p], condition.std[p]});
  }
  ties_ = Buffer<kernels::LatentGroup>(static_cast<int64_t>(ties.size()), device);
  Stream stream(device);
  kernels::upload<kernels::LatentGroup>(stream, ties, ties_.view());
}

std::string Vae::describe() const {
  return fmt::format("an autoencoder of {} layers, hidden width {}, {} latents", shape_.layers, shape_.hidden,
                     shape_.latents);
}

std::unique_ptr<Pass> Vae::make_pass(int64_t n, PassMode mode) const {
  return std::make_unique<VaePass>(*this, n, mode);
}

}  // namespace evenflow::flow
