// Recordings to a shard: order, threads, bad files, being stopped and being killed.
#include "frontend/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <fstream>
#include <limits>
#include <thread>

#include "frontend/features.h"
#include "io/error.h"
#include "io/shard.h"
#include "kernels/backend.h"
#include "tests/frontend/sound_files.h"
#include "tests/support/child.h"

namespace evenflow::frontend {
namespace {

using test::error_of;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// `count` recordings in the folder, of mixed rates, widths, channels and lengths; the first is the longest.
io::Manifest recordings(const TemporaryFolder& folder, size_t count) {
  io::Manifest manifest{
      .root = folder.path(), .parameter_names = {"velocity_mm_s"}, .clips = {}, .notes = {}, .categories = {}};
  constexpr int rates[] = {16000, 44100, 8000, 22050};
  for (size_t i = 0; i < count; ++i) {
    const test::SoundFormat format{
        .format = i % 3 == 2 ? SF_FORMAT_FLAC | SF_FORMAT_PCM_24 : SF_FORMAT_WAV | SF_FORMAT_PCM_16,
        .rate_hz = rates[i % 4],
        .channels = i % 5 == 1 ? 2 : 1};
    const double seconds = i == 0 ? 20.0 : 2.1 + 0.37 * static_cast<double>(i % 7);
    const auto samples = static_cast<size_t>(seconds * format.rate_hz) * static_cast<size_t>(format.channels);
    io::Clip clip;
    clip.path = "clip" + std::to_string(i) + (i % 3 == 2 ? ".flac" : ".wav");
    clip.machine = "rail";
    clip.split = i % 2 ? io::Split::test : io::Split::train;
    clip.label = static_cast<int>(i % 3) - 1;
    clip.parameter = {i % 4 ? static_cast<double>(i) : std::numeric_limits<double>::quiet_NaN()};
    test::write_sound(folder / clip.path.string(), test::noise(0.5, samples, static_cast<uint32_t>(i + 1)), format);
    manifest.clips.push_back(clip);
  }
  return manifest;
}

void spoil(const io::Manifest& manifest, size_t clip) {
  std::ofstream(manifest.root / manifest.clips[clip].path) << "not sound";
}

std::vector<float> frames_of(const io::Shard& shard, int64_t first, int64_t count) {
  std::vector<float> frames(static_cast<size_t>(count * shard.mel_bands()));
  shard.read_frames(first, count, frames.data());
  return frames;
}

TEST(Prepare, EveryClipInManifestOrder) {
  const TemporaryFolder sound, out;
  const io::Manifest manifest = recordings(sound, 23);
  std::vector<size_t> progress;
  PrepareOptions options{.threads = 3};
  options.progress = [&](size_t done, size_t total) {
    EXPECT_EQ(total, 23u);
    progress.push_back(done);
  };
  const PrepareResult result = prepare(manifest, out / "a.h5", options);
  EXPECT_EQ(result.clips, 23u);
  EXPECT_FALSE(result.stopped);
  EXPECT_TRUE(result.skipped.empty());
  ASSERT_EQ(progress.size(), 23u);
  for (size_t i = 0; i < progress.size(); ++i) {
    EXPECT_EQ(progress[i], i + 1);
  }
  EXPECT_EQ(out.names(), std::vector<std::string>{"a.h5"});

  const io::Shard shard(out / "a.h5");
  EXPECT_EQ(shard.frontend(), options.frontend);
  EXPECT_EQ(shard.parameter_names(), manifest.parameter_names);
  EXPECT_EQ(shard.frames(), result.frames);
  ASSERT_EQ(shard.clips().size(), 23u);
  LogMel transform(options.frontend);
  double seconds = 0.0;
  for (size_t i = 0; i < 23; ++i) {
    const io::Clip &came = shard.clips()[i], &clip = manifest.clips[i];
    EXPECT_EQ(came.path, clip.path);
    EXPECT_EQ(came.machine, clip.machine);
    EXPECT_EQ(came.split, clip.split);
    EXPECT_EQ(came.label, clip.label);
    if (std::isnan(clip.parameter[0])) {
      EXPECT_TRUE(std::isnan(came.parameter[0]));
    } else {
      EXPECT_EQ(came.parameter, clip.parameter);
    }
    const int64_t first = shard.offsets()[i], count = shard.offsets()[i + 1] - first;
    ASSERT_EQ(frames_of(shard, first, count),
              file_features(manifest.root / clip.path, options.frontend, transform).logmel_db);
    seconds += static_cast<double>(count - 1) * 512 / 16000;
  }
  EXPECT_TRUE(std::abs(result.seconds_of_sound - seconds) <= 23 * 512.0 / 16000) << result.seconds_of_sound;
}

TEST(Prepare, TheNumberOfThreadsChangesNoBit) {
  const TemporaryFolder sound, out;
  const io::Manifest manifest = recordings(sound, 17);
  prepare(manifest, out / "1.h5", {.threads = 1});
  prepare(manifest, out / "4.h5", {.threads = 4});
  prepare(manifest, out / "0.h5", {});
  const io::Shard one(out / "1.h5"), four(out / "4.h5"), all(out / "0.h5");
  EXPECT_EQ(one.data_hash(), four.data_hash());
  EXPECT_EQ(one.data_hash(), all.data_hash());
  EXPECT_EQ(frames_of(one, 0, one.frames()), frames_of(four, 0, four.frames()));
}

TEST(Prepare, WorkersWaitForASlowWriter) {
  const TemporaryFolder sound, out;
  const io::Manifest manifest = recordings(sound, 30);
  prepare(manifest, out / "quick.h5", {.threads = 2});
  PrepareOptions options{.threads = 2};
  options.progress = [](size_t done, size_t) {
    if (done == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));  // ample for all the others
    }
  };
  prepare(manifest, out / "slow.h5", options);
  EXPECT_EQ(io::Shard(out / "slow.h5").data_hash(), io::Shard(out / "quick.h5").data_hash());
}

TEST(Prepare, MoreThreadsThanClips) {
  const TemporaryFolder sound, out;
  EXPECT_EQ(prepare(recordings(sound, 2), out / "a.h5", {.threads = 64}).clips, 2u);
}

TEST(Prepare, BadFilesAreReportedInOneGoAndLeaveNoShard) {
  const TemporaryFolder sound, out;
  const io::Manifest manifest = recordings(sound, 16);
  for (const size_t clip : {1u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 10u, 11u, 12u, 15u}) {
    spoil(manifest, clip);
  }
  const std::string error = error_of<io::DataError>([&] { prepare(manifest, out / "a.h5", {.threads = 4}); });
  EXPECT_THAT(error, AllOf(HasSubstr("12 of 16 recordings cannot be used:"),
                           HasSubstr("clip1.wav' is not a sound file"), HasSubstr("clip4.wav'"),
                           Not(HasSubstr("clip5.flac'")), HasSubstr("and 9 more"), HasSubstr("--skip-bad")));
  EXPECT_LT(error.find("clip3."), error.find("clip4.wav"));
  EXPECT_TRUE(out.names().empty());
}

TEST(Prepare, SkipBadListsThemAndGoesOn) {
  const TemporaryFolder sound, out;
  const io::Manifest manifest = recordings(sound, 9);
  spoil(manifest, 0);
  spoil(manifest, 8);
  std::filesystem::remove(manifest.root / manifest.clips[4].path);
  const PrepareResult result = prepare(manifest, out / "a.h5", {.threads = 2, .skip_bad = true});
  EXPECT_EQ(result.clips, 6u);
  ASSERT_EQ(result.skipped.size(), 3u);
  EXPECT_THAT(result.skipped[0], HasSubstr("clip0.wav' is not a sound file"));
  EXPECT_THAT(result.skipped[1], HasSubstr("there is no file"));
  EXPECT_THAT(result.skipped[2], HasSubstr("clip8.flac'"));
  const io::Shard shard(out / "a.h5");
  ASSERT_EQ(shard.clips().size(), 6u);
  EXPECT_EQ(shard.clips()[0].path, "clip1.wav");
  EXPECT_EQ(shard.clips()[3].path, "clip5.flac");
}

TEST(Prepare, SkipBadWithoutOneGoodFileIsAnError) {
  const TemporaryFolder sound, out;
  const io::Manifest manifest = recordings(sound, 2);
  spoil(manifest, 0);
  spoil(manifest, 1);
  EXPECT_THAT(error_of<io::DataError>([&] { prepare(manifest, out / "a.h5", {.skip_bad = true}); }),
              HasSubstr("2 of 2 recordings cannot be used:"));
  EXPECT_TRUE(out.names().empty());
}

TEST(Prepare, AClipTooShortForOneWindowIsNamed) {
  const TemporaryFolder sound, out;
  io::Manifest manifest = recordings(sound, 1);
  test::write_sound(sound / "short.wav", test::noise(0.5, 63 * 512 - 1));
  io::Clip clip = manifest.clips[0];
  clip.path = "short.wav";
  manifest.clips.push_back(clip);
  EXPECT_THAT(error_of<io::DataError>([&] { prepare(manifest, out / "a.h5", {}); }),
              AllOf(HasSubstr("1 of 2 recordings"), HasSubstr("short.wav' is too short: 2.016 s give 63 frames"),
                    HasSubstr("takes 64 (2.016 s)")));
  EXPECT_EQ(prepare(manifest, out / "a.h5", {.min_frames = 63}).clips, 2u);
}

TEST(Prepare, WrongRequests) {
  const TemporaryFolder sound, out;
  const io::Manifest manifest = recordings(sound, 3);
  EXPECT_THAT(error_of<io::DataError>([&] {
                prepare({.root = sound.path(), .parameter_names = {}, .clips = {}, .notes = {}, .categories = {}},
                        out / "a.h5", {});
              }),
              HasSubstr("there are no recordings in '"));
  EXPECT_THAT(error_of<io::DataError>([&] { prepare(manifest, out / "no" / "a.h5", {}); }), HasSubstr("a.h5"));
  EXPECT_THAT(error_of<io::UsageError>([&] { prepare(manifest, out / "a.h5", {.frontend = {.n_fft = 7}}); }),
              HasSubstr("frontend.n_fft = 7"));
  // Found by the workers, and still one exception of its own kind.
  EXPECT_THAT(error_of<io::UsageError>([&] { prepare(manifest, out / "a.h5", {.frontend = {.channel = "left"}}); }),
              HasSubstr("frontend.channel = \"left\""));
  EXPECT_TRUE(out.names().empty());
}

TEST(Prepare, StopLeavesNothingBehind) {
  const TemporaryFolder sound, out;
  const io::Manifest manifest = recordings(sound, 12);
  for (const size_t after : {1u, 5u, 12u}) {
    std::atomic<bool> stop = false;
    PrepareOptions options{.threads = 2, .stop = &stop};
    options.progress = [&](size_t done, size_t) { stop = done >= after; };
    const PrepareResult result = prepare(manifest, out / "a.h5", options);
    EXPECT_TRUE(result.stopped);
    EXPECT_EQ(result.clips, after);
    EXPECT_TRUE(out.names().empty());
  }
  const std::atomic<bool> at_once = true;
  EXPECT_TRUE(prepare(manifest, out / "a.h5", {.stop = &at_once}).stopped);
  EXPECT_TRUE(out.names().empty());
}

TEST(Prepare, KilledItLeavesNothingUnderTheFinalName) {
  const TemporaryFolder sound, out;
  const io::Manifest manifest = recordings(sound, 12);
  const auto kill_after = [&](size_t after) {
    const pid_t child = tests::in_child([&] {
      PrepareOptions options{.threads = 2};
      options.progress = [&](size_t done, size_t) {
        if (done == after) {
          ::kill(::getpid(), SIGKILL);
        }
      };
      prepare(manifest, out / "a.h5", options);
      return 0;
    });
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  };
  ASSERT_TRUE(kill_after(7));
  EXPECT_FALSE(std::filesystem::exists(out / "a.h5"));

  // An older shard of that name stays as it is.
  prepare(recordings(sound, 3), out / "a.h5", {});
  const std::string before = io::Shard(out / "a.h5").data_hash();
  ASSERT_TRUE(kill_after(12));
  EXPECT_EQ(io::Shard(out / "a.h5").data_hash(), before);
}

// The emulated CUDA device in a GPU's place.
class PrepareOnDevice : public testing::Test {
 protected:
  PrepareOnDevice() { kernels::use_cuda_backend(&kernels::cuda_backend()); }
  ~PrepareOnDevice() override { kernels::use_cuda_backend(nullptr); }
  static constexpr kernels::Device device{kernels::DeviceType::cuda, 0};
};

TEST_F(PrepareOnDevice, TheSameShardButForFloat32) {
  const TemporaryFolder sound, out;
  const io::Manifest manifest = recordings(sound, 9);
  const PrepareResult here = prepare(manifest, out / "cpu.h5", {});
  std::vector<size_t> progress;
  PrepareOptions options{.threads = 3, .device = device};
  options.progress = [&](size_t done, size_t) { progress.push_back(done); };
  const PrepareResult there = prepare(manifest, out / "cuda.h5", options);
  EXPECT_EQ(there.clips, here.clips);
  EXPECT_EQ(there.frames, here.frames);
  EXPECT_EQ(there.seconds_of_sound, here.seconds_of_sound);
  EXPECT_EQ(progress, (std::vector<size_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));

  const io::Shard cpu(out / "cpu.h5"), cuda(out / "cuda.h5");
  EXPECT_EQ(cpu.device(), "cpu");
  EXPECT_EQ(cuda.device(), "cuda:0");
  EXPECT_EQ(cuda.offsets(), cpu.offsets());
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(cuda.clips()[i].path, manifest.clips[i].path);
  }
  const std::vector<float> expected = frames_of(cpu, 0, cpu.frames()), got = frames_of(cuda, 0, cuda.frames());
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto first = expected.begin() + static_cast<int64_t>(i / 128 * 128);
    if (expected[i] < *std::max_element(first, first + 128) - 80.0f) {
      continue;
    }
    ASSERT_TRUE(std::abs(got[i] - expected[i]) <= 0.02f) << i << ": " << got[i] << ", expected " << expected[i];
  }
}

TEST_F(PrepareOnDevice, ThreadsAndBatchesChangeNoBit) {
  const TemporaryFolder sound, out;
  const io::Manifest manifest = recordings(sound, 7);
  prepare(manifest, out / "1.h5", {.threads = 1, .device = device});
  prepare(manifest, out / "4.h5", {.threads = 4, .device = device, .batch_samples = 70000});
  prepare(manifest, out / "0.h5", {.device = device, .batch_samples = 1});
  const std::string expected = io::Shard(out / "1.h5").data_hash();
  EXPECT_EQ(io::Shard(out / "4.h5").data_hash(), expected);
  EXPECT_EQ(io::Shard(out / "0.h5").data_hash(), expected);
}

TEST_F(PrepareOnDevice, BadFilesAndStopsAreAsOnTheCpu) {
  const TemporaryFolder sound, out;
  io::Manifest manifest = recordings(sound, 5);
  spoil(manifest, 0);
  test::write_sound(sound / "short.wav", test::noise(0.5, 512));
  manifest.clips.push_back(manifest.clips[1]);
  manifest.clips.back().path = "short.wav";
  const PrepareResult result = prepare(manifest, out / "a.h5", {.min_frames = 1, .skip_bad = true, .device = device});
  ASSERT_EQ(result.skipped.size(), 2u);
  EXPECT_THAT(result.skipped[0], HasSubstr("clip0.wav' is not a sound file"));
  EXPECT_THAT(result.skipped[1], HasSubstr("short.wav' is too short: 512 samples at 16000 Hz"));
  EXPECT_EQ(io::Shard(out / "a.h5").clips().size(), 4u);

  EXPECT_THAT(error_of<io::DataError>([&] { prepare(manifest, out / "b.h5", {.min_frames = 1, .device = device}); }),
              HasSubstr("2 of 6 recordings cannot be used:"));
  std::atomic<bool> stop = false;
  PrepareOptions options{.min_frames = 1, .skip_bad = true, .device = device, .stop = &stop};
  options.progress = [&](size_t done, size_t) { stop = done >= 3; };
  EXPECT_TRUE(prepare(manifest, out / "b.h5", options).stopped);
  EXPECT_EQ(out.names(), std::vector<std::string>{"a.h5"});
}

}  // namespace
}  // namespace evenflow::frontend
