// Ranks that train one model together make, bit by bit, what one process makes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>

#include "io/error.h"
#include "tests/support/thread_ranks.h"
#include "tests/train/train_fixture.h"
#include "train/loop/loader.h"
#include "train/loop/trainer.h"

namespace evenflow::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

/// Chunks of one window each; the last batch of an epoch is short.
io::Config glow() {
  io::Config config = testing::tiny_config();
  config.calibration.copies = 0;
  return config;
}
io::Config streamed_glow() {
  io::Config config = glow();
  config.train.resident_mib = 0;
  return config;
}
io::Config augmented() {
  io::Config config = streamed_glow();
  config.augment = {.speed = 60, .noise = 0.1, .mask_bands = 3};
  return config;
}
io::Config autoencoder() {
  io::Config config = glow();
  config.model.kind = io::ModelKind::vae;
  return config;
}

class RanksTest : public ::testing::Test {
 protected:
  RanksTest() { testing::write_shard(shard(), {.train_clips = 12}); }
  std::filesystem::path shard() const { return folder_ / "shard.h5"; }
  std::filesystem::path run(const std::string& name) const { return folder_ / name; }
  TrainOptions options(const io::Config& config, const std::string& name) const {
    return testing::tiny_options(shard(), run(name), config);
  }
  /// The first rank's result.
  static TrainResult train_on(int ranks, const TrainOptions& options,
                              const std::function<void(int rank, TrainOptions&)>& change = {}) {
    TrainResult result;
    tests::run_ranks(ranks, [&](kernels::Communicator& own) {
      TrainOptions mine = options;
      mine.ranks = &own;
      if (change) {
        change(own.rank(), mine);
      }
      const TrainResult found = train(mine);
      if (own.leads()) {
        result = found;
      }
    });
    return result;
  }
  testing::TempFolder folder_;
};

struct Case {
  const char* name;
  io::Config (*config)();
  int ranks;
};

class SharedTraining : public RanksTest, public ::testing::WithParamInterface<Case> {};

TEST_P(SharedTraining, HasTheBitsOfOneProcess) {
  const io::Config config = GetParam().config();
  train(options(config, "alone"));
  const TrainResult result = train_on(GetParam().ranks, options(config, "shared"));
  EXPECT_EQ(result.epochs, config.train.epochs);
  testing::expect_same_run(run("alone"), run("shared"));
}

INSTANTIATE_TEST_SUITE_P(Ranks, SharedTraining,
                         ::testing::Values(Case{"two", glow, 2}, Case{"three", glow, 3}, Case{"four", glow, 4},
                                           Case{"more_than_windows", glow, 11}, Case{"streamed", streamed_glow, 3},
                                           Case{"augmented", augmented, 3}, Case{"autoencoder", autoencoder, 2}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_F(RanksTest, AnyNumberGoesOnWithTheRunOfAnother) {
  train(options(glow(), "whole"));
  TrainOptions part = options(glow(), "parts");
  part.stop_after_steps = 2;
  EXPECT_TRUE(train_on(2, part).interrupted);
  part.resume = true;
  EXPECT_TRUE(train_on(1, part).interrupted);
  part.stop_after_steps = 0;
  EXPECT_FALSE(train_on(3, part).interrupted);
  testing::expect_same_run(run("whole"), run("parts"));
}

TEST_F(RanksTest, AStopOfOneRankStopsAllAtTheSameStep) {
  train(options(glow(), "whole"));
  std::atomic<bool> stop{false};
  const TrainResult stopped = train_on(3, options(glow(), "parts"), [&](int rank, TrainOptions& mine) {
    if (rank == 2) {
      mine.stop = &stop;
    }
    mine.progress = [&](const TrainProgress& progress) {
      if (progress.step == 2) {
        stop = true;
      }
    };
  });
  EXPECT_TRUE(stopped.interrupted && stopped.stopped);
  EXPECT_EQ(stopped.epochs, 0);
  TrainOptions rest = options(glow(), "parts");
  rest.resume = true;
  train_on(2, rest);
  testing::expect_same_run(run("whole"), run("parts"));
}

TEST_F(RanksTest, TheGuardSaysWhatItSaysAlone) {
  testing::write_shard(shard(), {.train_clips = 12, .change = [](size_t clip, std::vector<float>& frames) {
                                   if (clip == 7) {
                                     frames[40] = std::numeric_limits<float>::quiet_NaN();
                                   }
                                 }});
  std::vector<std::string> said_alone, said_shared;
  const auto listen = [](std::vector<std::string>& to) {
    return [&to](const std::string& line) {
      if (line.starts_with("guard:")) {
        to.push_back(line);
      }
    };
  };
  TrainOptions alone = options(streamed_glow(), "alone");
  alone.log = listen(said_alone);
  train(alone);
  TrainOptions shared = options(streamed_glow(), "shared");
  shared.log = listen(said_shared);
  train_on(3, shared);
  ASSERT_FALSE(said_alone.empty());
  EXPECT_THAT(said_alone.front(), HasSubstr("clip_7.wav"));
  EXPECT_EQ(said_alone, said_shared);
  testing::expect_same_run(run("alone"), run("shared"));
}

TEST_F(RanksTest, DifferentSettingsAreRefusedBeforeAnythingIsWritten) {
  const std::string said = message_of<io::UsageError>([&] {
    train_on(2, options(glow(), "run"), [](int rank, TrainOptions& mine) { mine.config.train.seed += rank; });
  });
  EXPECT_THAT(said, HasSubstr("ranks 0 and 1 of this training have different settings"));
  EXPECT_FALSE(std::filesystem::exists(run("run")));
}

TEST_F(RanksTest, StreamedFramesAreReadOfOnesOwnWindowsAlone) {
  const io::Shard frames(shard());
  ClipSelection clips{{&frames}, {{0, 0}, {0, 1}}};
  const io::WindowSettings window = testing::tiny_config().window;
  Loader all(clips, window, {}, 0), own(clips, window, {}, 0);
  own.read_only([](int64_t windows) { return Range{1, windows - 2}; });
  all.start_in_order(5);
  own.start_in_order(5);
  const WindowBatch whole = all.next(), part = own.next();
  ASSERT_EQ(part.size(), 5);
  const auto size = static_cast<size_t>(window.window_frames) * testing::bands;
  const auto window_of = [&](const WindowBatch& batch, size_t i) {
    const auto begin = batch.frames.begin() + static_cast<std::ptrdiff_t>(i * size);
    return std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(size));
  };
  for (size_t i = 0; i < 5; ++i) {
    const bool mine = i > 0 && i < 4;
    EXPECT_EQ(window_of(part, i), mine ? window_of(whole, i) : std::vector<float>(size)) << i;
  }
}

}  // namespace
}  // namespace evenflow::train
