// A step of training takes what the first ones left: an epoch allocates nothing once it is under way.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "tests/support/allocations.h"
#include "tests/train/train_fixture.h"
#include "train/loop/trainer.h"

namespace evenflow::train {
namespace {

struct Mode {
  const char* name;
  int64_t resident_mib;
  int threads;
  bool augmented = false;
};

class Allocations : public ::testing::TestWithParam<Mode> {};

TEST_P(Allocations, NoneInAnEpochAfterItsFirstSteps) {
  const testing::TempFolder folder;
  testing::write_shard(folder / "shard.h5", {.train_clips = 40});
  io::Config config = testing::tiny_config();
  config.train.epochs = 3;
  config.train.resident_mib = GetParam().resident_mib;
  config.train.threads = GetParam().threads;
  if (GetParam().augmented) {
    config.augment = {.speed = 60, .noise = 0.2, .mask_bands = 3, .mask_frames = 2};
  }
  TrainOptions options = testing::tiny_options(folder / "shard.h5", folder / "run", config);

  // What stood at the end of each step; nothing here may allocate itself.
  std::array<int64_t, 1024> count{};
  std::array<int64_t, 1024> step{};
  size_t steps = 0;
  int64_t steps_per_epoch = 0;
  options.progress = [&](const TrainProgress& progress) {
    if (progress.epoch_end || steps == count.size()) {
      return;
    }
    steps_per_epoch = progress.steps_per_epoch;
    step[steps] = progress.step;
    count[steps++] = tests::allocations();
  };
  train(options);

  ASSERT_GE(steps_per_epoch, 10);
  ASSERT_EQ(steps, static_cast<size_t>(3 * steps_per_epoch));
  // Streamed, two slots in turn are filled one batch ahead: the third batch is the first to find one of its size.
  constexpr int64_t first_steps = 3;
  for (size_t i = 1; i < steps; ++i) {
    if (step[i] <= first_steps) {
      continue;
    }
    EXPECT_EQ(count[i] - count[i - 1], 0) << "step " << step[i] << " of " << steps_per_epoch << ", in all " << i + 1;
  }
}

INSTANTIATE_TEST_SUITE_P(Data, Allocations,
                         ::testing::Values(Mode{"ResidentOneThread", 1024, 1}, Mode{"ResidentTwoThreads", 1024, 2},
                                           Mode{"StreamedOneThread", 0, 1}, Mode{"StreamedTwoThreads", 0, 2},
                                           Mode{"ResidentAugmented", 1024, 2, true},
                                           Mode{"StreamedAugmented", 0, 2, true}),
                         [](const auto& mode) { return std::string(mode.param.name); });

}  // namespace
}  // namespace evenflow::train
