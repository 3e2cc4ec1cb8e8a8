#include "flow/factory.h"

#include <algorithm>
#include <numeric>

#include "flow/classifier.h"
#include "flow/glow_model.h"
#include "flow/latent.h"
#include "flow/vae.h"

namespace evenflow::flow {
namespace {

using io::ConditionData;
using io::Config;

std::string why_not_lanes_of_layers(const Config&, kernels::Device) {
  return "fully connected layers are computed by cuBLAS, which serves one model at a time; set model.kind to glow";
}

std::string why_not_lanes_of_glow(const Config& config, kernels::Device device) {
  if (serves_lanes(glow_shape(config), device)) {
    return "";
  }
  return "couplings are computed layer by layer by cuDNN and cuBLAS, which serve one model at a time; set "
         "train.precision to tf32 or bf16, train.kernels to auto and model.hidden to 16 to 64";
}

ModelFactory glow_factory() {
  return {
      io::ModelKind::glow,
      latent_scores,
      "nll",
      [](const Config& config, const ConditionData& condition) {
        const LatentPrior deals_evenly(glow_shape(config), condition);
      },
      [](const Config& config, const ConditionData& condition) { return carried_by_zd(glow_shape(config), condition); },
      why_not_lanes_of_glow,
      [](const Config& config, const ConditionData& condition, uint64_t seed,
         kernels::Device device) -> std::unique_ptr<Model> {
        return std::make_unique<GlowModel>(glow_shape(config), condition, seed, device);
      }};
}

ModelFactory vae_factory() {
  return {io::ModelKind::vae,
          vae_scores,
          "score_reconstruction",
          [](const Config& config, const ConditionData& condition) { vae_shape(config, condition); },
          carried_by_vae,
          why_not_lanes_of_layers,
          [](const Config& config, const ConditionData& condition, uint64_t seed,
             kernels::Device device) -> std::unique_ptr<Model> {
            return std::make_unique<Vae>(vae_shape(config, condition), condition, seed, device);
          }};
}

ModelFactory classifier_factory() {
  return {io::ModelKind::classifier,
          classifier_scores,
          "score_confidence",
          [](const Config& config, const ConditionData& condition) { classifier_shape(config, condition); },
          [](const Config&, const ConditionData& condition) {
            CarriedParameters all{std::vector<size_t>(condition.names.size()), {}};
            std::iota(all.kept.begin(), all.kept.end(), size_t{0});
            return all;
          },
          why_not_lanes_of_layers,
          [](const Config& config, const ConditionData& condition, uint64_t seed,
             kernels::Device device) -> std::unique_ptr<Model> {
            return std::make_unique<Classifier>(classifier_shape(config, condition), condition, seed, device);
          }};
}

}  // namespace

const std::vector<ModelFactory>& model_factories() {
  static const std::vector<ModelFactory> all = {glow_factory(), vae_factory(), classifier_factory()};
  return all;
}

const ModelFactory& factory_of(const Config& config) {
  const std::vector<ModelFactory>& all = model_factories();
  return *std::find_if(all.begin(), all.end(),
                       [&](const ModelFactory& factory) { return factory.kind == config.model.kind; });
}

void require_model(const Config& config, const ConditionData& condition) {
  factory_of(config).require(config, condition);
}

CarriedParameters carried_parameters(const Config& config, const ConditionData& condition) {
  return factory_of(config).carried(config, condition);
}

std::string why_not_lanes(const Config& config, kernels::Device device) {
  return factory_of(config).why_not_lanes(config, device);
}

std::unique_ptr<Model> make_model(const Config& config, const ConditionData& condition, uint64_t seed,
                                  kernels::Device device) {
  require_condition(condition);
  return factory_of(config).make(config, condition, seed, device);
}

std::unique_ptr<Model> make_scoring_model(const Config& config, const ConditionData& condition,
                                          kernels::Device device) {
  Config exact = config;
  exact.train.precision = io::Precision::float32;
  exact.train.kernels = io::CouplingKernels::automatic;
  return make_model(exact, condition, 0, device);
}

}  // namespace evenflow::flow
