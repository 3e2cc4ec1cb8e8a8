// Trainings of the models of dense layers, on every device under test.
#pragma once

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/backends.h"
#include "tests/train/train_fixture.h"

namespace evenflow::train::testing {

class DenseTraining : public ::testing::TestWithParam<tests::BackendUnderTest> {
 protected:
  void SetUp() override { write_shard(shard(), {.train_clips = 24, .test_clips = 12}); }
  io::Config config_of(io::ModelKind kind) const {
    io::Config config = tiny_config();
    config.model.kind = kind;
    config.train.device = kernels::to_string(GetParam().device);
    config.train.precision = io::Precision::float32;
    config.train.learning_rate = 3e-3;
    return config;
  }
  std::filesystem::path shard() const { return folder_ / "shard.h5"; }
  tests::SelectedBackend selected_{GetParam()};
  TempFolder folder_;
};

}  // namespace evenflow::train::testing
