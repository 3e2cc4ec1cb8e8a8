// io's list of a configuration's tensors, by which files of version 1 are read, is what the models here have.
#include "io/parameter_list.h"

#include <gtest/gtest.h>

#include "flow/factory.h"

namespace evenflow::flow {
namespace {

TEST(ParameterList, IsWhatEachKindOfModelHas) {
  io::Config config;
  config.frontend.mel_bands = 16;
  config.window.window_frames = 8;
  config.model.steps = 2;
  config.model.hidden = 6;
  config.vae.layers = 6;
  config.vae.hidden = 12;
  config.vae.latents = 5;
  config.classifier.layers = 3;
  config.classifier.hidden = 10;
  config.classifier.embedding = 7;
  const io::ConditionData condition = {{"a", "b"}, {1.0, 2.0}, {0.0, 0.0},
                                       {0.0, 0.0}, {1.0, 1.0}, {{1.0, 2.0, 3.0}, {4.0, 5.0}}};
  struct Case {
    io::ModelKind kind = io::ModelKind::glow;
    io::InvconvKind invconv = io::InvconvKind::plu;
    io::CouplingKind coupling = io::CouplingKind::sigmoid;
  };
  for (const auto& [kind, invconv, coupling] : {Case{},
                                                {.invconv = io::InvconvKind::dense},
                                                {.coupling = io::CouplingKind::additive},
                                                {.kind = io::ModelKind::vae},
                                                {.kind = io::ModelKind::classifier}}) {
    config.model.kind = kind;
    config.model.invconv = invconv;
    config.model.coupling = coupling;
    const std::vector<io::Tensor> own = make_model(config, condition, 1, {})->tensors();
    const std::vector<io::Tensor> listed = io::parameter_list(config, condition);
    ASSERT_EQ(listed.size(), own.size()) << io::name_of(kind);
    for (size_t i = 0; i < own.size(); ++i) {
      EXPECT_EQ(listed[i].name, own[i].name);
      EXPECT_EQ(listed[i].shape, own[i].shape) << own[i].name;
      EXPECT_EQ(listed[i].type, own[i].type) << own[i].name;
    }
  }
}

}  // namespace
}  // namespace evenflow::flow
