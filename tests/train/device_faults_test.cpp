// What a training leaves behind when its GPU fails.
#include <gmock/gmock.h>

#include <cmath>

#include "io/run_folder.h"
#include "kernels/check.h"
#include "tests/emulation/lost_device.h"
#include "tests/support/backends.h"
#include "tests/train/train_fixture.h"
#include "train/detect/score.h"

namespace evenflow::train {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class DeviceFaults : public ::testing::Test {
 protected:
  DeviceFaults() { testing::write_shard(shard()); }
  ~DeviceFaults() override { emulation::lose_device_after(0); }
  std::filesystem::path shard() const { return folder_ / "shard.h5"; }
  std::filesystem::path run(const std::string& name) const { return folder_ / name; }
  static io::Config config() {
    io::Config config = testing::tiny_config();
    config.train.device = "cuda:0";
    config.train.epochs = 3;
    config.train.checkpoint_epochs = 1;
    return config;
  }
  tests::SelectedBackend selected_{
      {.device = {kernels::DeviceType::cuda, 0}, .instruction_set = 0, .emulated = true, .name = "cuda_emulated"}};
  testing::TempFolder folder_;
};

TEST_F(DeviceFaults, ALostDeviceLeavesTheLastCheckpointFromWhichTheRunGoesOn) {
  train(testing::tiny_options(shard(), run("whole"), config()));
  const TrainOptions options = testing::tiny_options(shard(), run("lost"), config());
  // Within the second epoch: the first has some thousand launches.
  TrainOptions losing = options;
  losing.progress = [](const TrainProgress& progress) {
    if (progress.epoch_end && progress.epoch == 1) {
      emulation::lose_device_after(100);
    }
  };
  const std::string text = testing::message_of<kernels::DeviceError>([&] { train(losing); });
  EXPECT_THAT(text, HasSubstr("the device was lost"));
  emulation::lose_device_after(0);
  EXPECT_TRUE(io::is_model(run("lost") / "checkpoint.h5"));
  Detector readable(run("lost") / "model.h5", "cpu", 1);
  TrainOptions more = options;
  more.resume = true;
  train(more);
  testing::expect_same_run(run("whole"), run("lost"));
}

TEST_F(DeviceFaults, OutOfMemorySaysHowMuchAndWhatLowersIt) {
  io::Config large = config();
  large.train.batch = 1'000'000;
  EXPECT_THAT(
      testing::message_of<kernels::DeviceError>([&] { train(testing::tiny_options(shard(), run("a"), large)); }),
      AllOf(HasSubstr("out of memory"), HasSubstr("bytes asked for"), HasSubstr("free"), HasSubstr("train.batch")));
}

}  // namespace
}  // namespace evenflow::train
