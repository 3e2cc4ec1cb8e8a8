#include "flow/factory.h"

#include <algorithm>

#include "flow/classifier.h"
#include "flow/glow_model.h"
#include "flow/latent.h"
#include "flow/vae.h"

namespace evenflow::flow {
namespace {

using io::ConditionData;
using io::Config;

ModelFactory glow_factory() {
  return {io::ModelKind::glow, latent_scores, "nll",
          [](const Config& config, const ConditionData& condition) {
            const LatentPrior deals_evenly(glow_shape(config), condition);
          },
          [](const Config& config, const ConditionData& condition, uint64_t seed,
             kernels::Device device) -> std::unique_ptr<Model> {
            return std::make_unique<GlowModel>(glow_shape(config), condition, seed, device);
          }};
}

ModelFactory vae_factory() {
  return {io::ModelKind::vae, vae_scores, "score_reconstruction",
          [](const Config& config, const ConditionData& condition) { vae_shape(config, condition); },
          [](const Config& config, const ConditionData& condition, uint64_t seed,
             kernels::Device device) -> std::unique_ptr<Model> {
            return std::make_unique<Vae>(vae_shape(config, condition), condition, seed, device);
          }};
}

ModelFactory classifier_factory() {
  return {io::ModelKind::classifier, classifier_scores, "score_confidence",
          [](const Config& config, const ConditionData& condition) { classifier_shape(config, condition); },
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
