#include "flow/model.h"

#include "flow/classifier.h"
#include "flow/glow_model.h"
#include "flow/latent.h"
#include "flow/vae.h"

namespace evenflow::flow {

WindowScores WindowScores::none() {
  WindowScores s;
  s.score_zc = s.score_zc_logdet = s.score_scatter = s.nll = s.nll_given_v = s.log_det = s.log_p_zc =
      std::numeric_limits<double>::quiet_NaN();
  return s;
}

void require_model(const io::Config& config, const io::ConditionData& condition) {
  if (config.model.kind == io::ModelKind::vae) {
    vae_shape(config, condition);
  } else if (config.model.kind == io::ModelKind::classifier) {
    classifier_shape(config, condition);
  } else {
    const LatentPrior deals_evenly(glow_shape(config), condition);
  }
}

std::unique_ptr<Model> make_model(const io::Config& config, const io::ConditionData& condition, uint64_t seed,
                                  kernels::Device device) {
  require_condition(condition);
  if (config.model.kind == io::ModelKind::vae) {
    return std::make_unique<Vae>(vae_shape(config, condition), condition, seed, device);
  }
  if (config.model.kind == io::ModelKind::classifier) {
    return std::make_unique<Classifier>(classifier_shape(config, condition), condition, seed, device);
  }
  return make_glow(glow_shape(config), condition, seed, device);
}

std::unique_ptr<Model> make_scoring_model(const io::Config& config, const io::ConditionData& condition,
                                          kernels::Device device) {
  require_condition(condition);
  if (config.model.kind == io::ModelKind::vae) {
    VaeShape shape = vae_shape(config, condition);
    shape.precision = kernels::Precision::float32;
    return std::make_unique<Vae>(shape, condition, 0, device);
  }
  if (config.model.kind == io::ModelKind::classifier) {
    ClassifierShape shape = classifier_shape(config, condition);
    shape.precision = kernels::Precision::float32;
    return std::make_unique<Classifier>(shape, condition, 0, device);
  }
  GlowShape shape = glow_shape(config);
  shape.precision = kernels::Precision::float32;
  shape.path = kernels::CouplingPath::automatic;
  return make_glow(shape, condition, 0, device);
}

}  // namespace evenflow::flow
