// The kinds of models, by the names that configurations give them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "flow/model.h"
#include "io/config.h"

namespace evenflow::flow {

struct ModelFactory {
  io::ModelKind kind;
  const std::vector<Score>& (*scores)();
  std::string decides_by;  ///< the score that "auto" stands for
  void (*require)(const io::Config& config, const io::ConditionData& condition);
  CarriedParameters (*carried)(const io::Config& config, const io::ConditionData& condition);
  std::string (*why_not_lanes)(const io::Config& config, kernels::Device device);
  std::unique_ptr<Model> (*make)(const io::Config& config, const io::ConditionData& condition, uint64_t seed,
                                 kernels::Device device);
};

const std::vector<ModelFactory>& model_factories();
/// That of model.kind.
const ModelFactory& factory_of(const io::Config& config);

/// io::UsageError unless there can be such a model: a window's shape, an even deal of zd to the parameters.
void require_model(const io::Config& config, const io::ConditionData& condition);
/// Of a fitted condition: require_model takes what is kept.
CarriedParameters carried_parameters(const io::Config& config, const io::ConditionData& condition);
/// Why trainings of such models cannot share a device's launches (kernels/lanes.h): a sentence without its end, with
/// what would help; empty: they can.
std::string why_not_lanes(const io::Config& config, kernels::Device device);
/// A new model of the configuration's kind, to be initialised or loaded. Errors as require_model's and
/// require_condition's (latent.h).
std::unique_ptr<Model> make_model(const io::Config& config, const io::ConditionData& condition, uint64_t seed,
                                  kernels::Device device);
/// The same for scoring: computes in float32 on every device, whatever training's products were rounded to.
std::unique_ptr<Model> make_scoring_model(const io::Config& config, const io::ConditionData& condition,
                                          kernels::Device device);

}  // namespace evenflow::flow
