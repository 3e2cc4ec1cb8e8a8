#include "train/loop/pack.h"

#include <gmock/gmock.h>

#include <atomic>
#include <set>

#include "io/atomic_file.h"
#include "io/error.h"
#include "tests/support/backends.h"
#include "tests/train/train_fixture.h"
#include "train/loop/held_frames.h"

namespace evenflow::train {
namespace {

using testing::expect_same_run;
using testing::tiny_options;

class PackTest : public ::testing::TestWithParam<tests::BackendUnderTest> {
 protected:
  void SetUp() override {
    testing::write_shard(shard(),
                         on_gpu() ? testing::ShardSpec{.train_clips = 6, .test_clips = 0} : testing::ShardSpec{});
  }
  bool on_gpu() const { return GetParam().device.type != kernels::DeviceType::cpu; }
  std::filesystem::path shard() const { return folder_ / "shard.h5"; }
  std::filesystem::path run(const std::string& name) const { return folder_ / name; }

  /// Trainings that differ in numbers: the first in nothing but its seed.
  std::vector<io::Config> configurations() const {
    std::vector<io::Config> configurations;
    for (uint64_t seed = 1; seed <= (on_gpu() ? 3 : 4); ++seed) {
      io::Config config = testing::tiny_config();
      config.train.device = kernels::to_string(GetParam().device);
      if (on_gpu()) {  // as launches can be shared
        config.train.precision = io::Precision::tf32;
        config.model.hidden = 16;
        config.calibration.copies = 0;
      }
      config.train.seed = seed;
      config.train.learning_rate *= static_cast<double>(seed);
      config.train.clip_norm = seed % 2 == 0 ? 0.5 : 0.0;
      config.condition.k = seed == 3 ? std::vector<double>{0.02} : std::vector<double>{};
      config.augment = {.speed = 60, .noise = 0.1 * static_cast<double>(seed)};
      configurations.push_back(config);
    }
    return configurations;
  }

  std::vector<TrainOptions> trainings(const std::string& below, const std::vector<io::Config>& configurations) {
    std::vector<TrainOptions> trainings;
    trainings.reserve(configurations.size());
    for (const io::Config& config : configurations) {
      trainings.push_back(tiny_options(shard(), run(below) / std::to_string(config.train.seed), config));
    }
    return trainings;
  }

  void train_in_turn(const std::vector<TrainOptions>& trainings) {
    for (const TrainOptions& training : trainings) {
      train(training);
    }
  }

  void expect_same_runs(const std::vector<TrainOptions>& a, const std::vector<TrainOptions>& b) {
    for (size_t i = 0; i < a.size(); ++i) {
      SCOPED_TRACE(a[i].run);
      expect_same_run(a[i].run, b[i].run);
    }
  }

  tests::SelectedBackend selected_{GetParam()};
  testing::TempFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Devices, PackTest, ::testing::ValuesIn(tests::devices_under_test()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(PackTest, EachTrainingIsTheOneThatItWouldBeAlone) {
  const std::vector<TrainOptions> alone = trainings("alone", configurations());
  train_in_turn(alone);
  for (const int64_t at_once : on_gpu() ? std::vector<int64_t>{2} : std::vector<int64_t>{0, 3}) {
    for (const int threads : on_gpu() ? std::vector{1} : std::vector{1, 2, 5}) {
      SCOPED_TRACE(std::to_string(at_once) + " at once, threads " + std::to_string(threads));
      const std::vector<TrainOptions> packed =
          trainings(std::to_string(at_once) + "_" + std::to_string(threads), configurations());
      for (const PackResult& result :
           train_pack({.trainings = packed, .threads = threads, .at_once = at_once, .ended = {}})) {
        EXPECT_EQ(result.error, nullptr);
        EXPECT_EQ(result.result.epochs, 2);
      }
      expect_same_runs(alone, packed);
      for (const TrainOptions& training : packed) {
        EXPECT_THAT(io::read_text(training.run / "log.txt"), ::testing::Not(::testing::HasSubstr("not side by side")));
      }
    }
  }
}

TEST_P(PackTest, FramesThatDoNotFitAreStreamedByEach) {
  std::vector<io::Config> small = configurations();
  small.resize(2);
  for (io::Config& config : small) {
    config.train.resident_mib = 0;
  }
  const std::vector<TrainOptions> alone = trainings("alone", small), packed = trainings("packed", small);
  train_in_turn(alone);
  train_pack({.trainings = packed, .threads = 2, .ended = {}});
  expect_same_runs(alone, packed);
  if (on_gpu()) {
    EXPECT_THAT(io::read_text(packed[0].run / "log.txt"), ::testing::HasSubstr("not side by side with others"));
  }
}

TEST_P(PackTest, OneThatFailsDoesNotDisturbTheOthers) {
  if (on_gpu()) {
    GTEST_SKIP() << "nothing here is the device's";
  }
  std::vector<io::Config> some = configurations();
  some[1].train.leave_out = {"velocity_mm_s=12345"};
  const std::vector<TrainOptions> packed = trainings("packed", some);
  std::set<size_t> ended;
  const std::vector<PackResult> results =
      train_pack({.trainings = packed, .threads = 2, .ended = [&](size_t training) { ended.insert(training); }});
  EXPECT_THROW(std::rethrow_exception(results[1].error), io::UsageError);
  EXPECT_FALSE(std::filesystem::exists(packed[1].run));
  EXPECT_EQ(ended, (std::set<size_t>{0, 1, 2, 3}));
  some.erase(some.begin() + 1);
  const std::vector<TrainOptions> alone = trainings("alone", some);
  train_in_turn(alone);
  expect_same_runs(alone, {packed[0], packed[2], packed[3]});
}

TEST_P(PackTest, StoppedItGoesOnToTheSameRuns) {
  const std::vector<TrainOptions> alone = trainings("alone", configurations());
  train_in_turn(alone);
  std::vector<TrainOptions> packed = trainings("packed", configurations());
  std::atomic<bool> stop{false};
  for (TrainOptions& training : packed) {
    training.stop = &stop;
    training.progress = [&](const TrainProgress& progress) { stop = stop || progress.epoch == 1; };
  }
  for (const PackResult& result : train_pack({.trainings = packed, .threads = 1, .ended = {}})) {
    EXPECT_EQ(result.error, nullptr);
    EXPECT_TRUE(result.result.interrupted);
  }
  stop = false;
  for (TrainOptions& training : packed) {
    training.progress = {};
    training.resume = std::filesystem::exists(training.run);
  }
  EXPECT_TRUE(packed.front().resume);
  EXPECT_EQ(packed.back().resume, on_gpu());  // there all have begun together
  train_pack({.trainings = packed, .threads = 2, .ended = {}});
  expect_same_runs(alone, packed);
}

TEST(HeldFrames, AreTheShardsOwn) {
  const testing::TempFolder folder;
  testing::write_shard(folder / "a.h5", {.seed = 1});
  testing::write_shard(folder / "b.h5", {.seed = 2});
  const io::Shard a(folder / "a.h5"), b(folder / "b.h5");
  const HeldFrames held({{a, {1, 3}}, {b, {0}}});
  EXPECT_FALSE(held.first_frame(a, 0).has_value());
  EXPECT_FALSE(held.first_frame(b, 3).has_value());
  for (const auto& [shard, clip] : {std::pair(&a, 1), std::pair(&a, 3), std::pair(&b, 0)}) {
    const std::vector<float> own = shard->clip_frames(static_cast<size_t>(clip));
    const auto first = static_cast<size_t>(held.first_frame(*shard, clip).value() * testing::bands);
    const auto found = held.frames().subspan(first, own.size());
    EXPECT_TRUE(std::equal(own.begin(), own.end(), found.begin()));
  }
}

}  // namespace
}  // namespace evenflow::train
