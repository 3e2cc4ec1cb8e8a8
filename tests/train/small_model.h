// An untrained flow as a model file would hold it: the smallest that a small_shard.h's shard can be scored by.
#pragma once

#include "flow/factory.h"
#include "io/model_file.h"
#include "tests/io/small_shard.h"

namespace evenflow::train::testing {

inline io::ModelData small_model() {
  io::ModelData model;
  model.config.frontend.mel_bands = io::testing::small_bands;
  model.config.window.window_frames = 4;
  model.config.window.window_hop_frames = 4;
  model.config.model.blocks = 1;
  model.config.model.steps = 1;
  model.config.model.hidden = 2;
  model.normaliser = {std::vector<float>(io::testing::small_bands, -40.0f),
                      std::vector<float>(io::testing::small_bands, 5.0f)};
  model.condition = {{"speed_rpm"}, {0.02}, {150.0}, {150.0}, {50.0}, {{100.0, 200.0}}};
  model.threshold = {"score_zc", "gamma", 0.9, 30.0, {4.0, 1.0, 5.0}};
  model.normal.calibration = {2, {120.0, 190.0, 150.0}, {{"nll", {40.0}, {50.0, 60.0, 54.0}, {1.0, 4.0}}}};
  model.provenance = {"0123456789ab", "0123456789abcdef", "cpu", "2026-01-31T12:00:00Z", "0.1.0", 1};
  model.parameters = flow::make_scoring_model(model.config, model.condition, {})->tensors();
  return model;
}

}  // namespace evenflow::train::testing
