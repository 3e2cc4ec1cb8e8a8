// Recordings that lie, say nothing or are of many kinds, through the program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "io/shard.h"
#include "tests/experiments/program.h"
#include "tests/frontend/sound_files.h"

namespace evenflow::experiments::test {
namespace {

using frontend::test::bytes_of;
using frontend::test::noise;
using frontend::test::WavBytes;
using frontend::test::write_sound;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
const Words small = {"--window.window_frames", "16", "--model.blocks", "1", "--model.steps",   "1",
                     "--model.hidden",         "4",  "--train.epochs", "1", "--train.threads", "1"};

std::string pcm(const std::vector<float>& samples) {
  std::vector<int16_t> values;
  values.reserve(samples.size());
  for (const float x : samples) {
    values.push_back(static_cast<int16_t>(std::lrint(x * 32767.0F)));
  }
  return bytes_of(values);
}

std::vector<float> frames_in(const std::string& shard) {
  const io::Shard file{shard};
  std::vector<float> frames(static_cast<size_t>(file.frames() * file.mel_bands()));
  file.read_frames(0, file.frames(), frames.data());
  return frames;
}

Outcome prepare(const std::string& input, const std::string& out, const Words& more = {}) {
  return run(Words{"prepare", input, "--out", out} + Words{"--window.window_frames", "16"} + more);
}

void expect_refused(const Outcome& outcome, const Words& names) {
  EXPECT_EQ(outcome.code, 3) << outcome.out << outcome.err;
  for (const std::string& name : names) {
    EXPECT_THAT(outcome.err, HasSubstr(name));
  }
}

TEST(Sound, AStreamedRecordingGivesTheFramesOfTheFinishedOne) {
  const Folder folder;
  const std::string sound = pcm(noise(0.3, 12000));
  put(folder / "whole.wav", WavBytes{.sound = sound}.text());
  ASSERT_EQ(prepare(folder / "whole.wav", folder / "whole.h5").code, 0);
  for (const uint32_t size : {0u, 0x7ffff000u, 0xffffffffu}) {
    put(folder / "a.wav", WavBytes{.sound = sound, .data_size = size, .riff_size = 36}.text());
    const Outcome outcome = prepare(folder / "a.wav", folder / "a.h5");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("note: 1 recording without a length in the header"));
    EXPECT_EQ(frames_in(folder / "a.h5"), frames_in(folder / "whole.h5"));
    EXPECT_THAT(run({"info", folder / "a.wav"}).out, HasSubstr("without a length in the header"));
  }
}

TEST(Sound, ARateBeyondBeliefIsRefusedByItsHeader) {
  const Folder folder;
  put(folder / "slow.wav", WavBytes{.sound = pcm(noise(0.3, 60000)), .rate_hz = 1}.text());
  expect_refused(prepare(folder / "slow.wav", folder / "f.h5"), {"slow.wav", "1 Hz"});
  expect_refused(run({"info", folder / "slow.wav"}), {"slow.wav", "1 Hz"});
  EXPECT_EQ(run({"prepare", folder / "slow.wav", "--out", folder / "f.h5", "--frontend.sample_rate_hz", "999"}).code,
            2);
}

TEST(Sound, EveryEndingOfTheListIsReadInAFolderAndByItself) {
  const Folder folder;
  std::filesystem::create_directory(folder / "mix");
  const std::vector<float> samples = noise(0.3, 12000);
  write_sound(folder / "mix/a.WAV", samples);
  write_sound(folder / "mix/b.w64", samples, {.format = SF_FORMAT_W64 | SF_FORMAT_PCM_16});
  write_sound(folder / "mix/c.aiff", samples, {.format = SF_FORMAT_AIFF | SF_FORMAT_PCM_16});
  write_sound(folder / "mix/d.caf", samples, {.format = SF_FORMAT_CAF | SF_FORMAT_PCM_16});
  write_sound(folder / "mix/e.oga", samples, {.format = SF_FORMAT_OGG | SF_FORMAT_VORBIS});
  EXPECT_THAT(prepare(folder / "mix", folder / "f.h5").out, HasSubstr("Prepared 5 clips"));
  EXPECT_THAT(prepare(folder / "mix/b.w64", folder / "f.h5").out, HasSubstr("Prepared 1 clip"));
  write_sound(folder / "recording.dat", samples);
  EXPECT_THAT(prepare(folder / "recording.dat", folder / "f.h5").out, HasSubstr("Prepared 1 clip"));
  put(folder / "phone.m4a", std::string("\0\0\0\x1c", 4) + "ftypM4A " + std::string(200, '\0'));
  expect_refused(prepare(folder / "phone.m4a", folder / "g.h5"), {"phone.m4a", "MP4", "WAV, FLAC"});
  expect_refused(run({"info", folder / "phone.m4a"}), {"phone.m4a", "MP4"});
}

TEST(Sound, WhatWasDoneWithASecondChannelIsSaid) {
  const Folder folder;
  write_sound(folder / "a.wav", noise(0.3, 24000), {.channels = 2});
  EXPECT_THAT(prepare(folder / "a.wav", folder / "f.h5").out,
              AllOf(HasSubstr("1 recording has 2 channels: the mean"), HasSubstr("--frontend.channel 0")));
  EXPECT_THAT(prepare(folder / "a.wav", folder / "f.h5", {"--frontend.channel", "0"}).out,
              HasSubstr("channel 0 was taken"));
}

/// Recordings 0.wav, ... and a manifest m.csv of them, all normal and for training.
void make_recordings(const Folder& folder, const std::vector<std::vector<float>>& recordings) {
  std::string manifest = "path,split,label,machine\n";
  for (size_t i = 0; i < recordings.size(); ++i) {
    const std::string name = std::to_string(i) + ".wav";
    put(folder / name, WavBytes{.sound = pcm(recordings[i])}.text());
    manifest += name + ",train,normal,m\n";
  }
  put(folder / "m.csv", manifest);
}

TEST(Sound, TrainingOnSoundThatSaysNothingIsRefused) {
  for (const float level : {0.0F, 0.5F}) {
    const Folder folder;
    make_recordings(folder, std::vector(5, std::vector<float>(12000, level)));
    EXPECT_THAT(prepare(folder / "m.csv", folder / "f.h5").out,
                HasSubstr("warning: 5 recordings are silent or never vary: 0.wav, 1.wav, 2.wav and 2 more"));
    expect_refused(run(Words{"train", folder / "f.h5", "--run", folder / "r"} + small),
                   {"training clips are silent", ".wav", "check the recordings"});
    EXPECT_FALSE(std::filesystem::exists(folder / "r"));
  }
}

TEST(Sound, SilentClipsAndThoseOfAnotherRateAreFlaggedWhenScored) {
  const Folder folder;
  std::vector<std::vector<float>> recordings;
  for (uint32_t i = 0; i < 5; ++i) {
    recordings.push_back(noise(0.3, 24000, i + 1));
  }
  make_recordings(folder, recordings);
  ASSERT_EQ(prepare(folder / "m.csv", folder / "f.h5").code, 0);
  const Outcome trained = run(Words{"train", folder / "f.h5", "--run", folder / "r"} + small);
  ASSERT_EQ(trained.code, 0) << trained.err;
  const auto score = [&](const std::string& what) {
    return run({"score", "--model", folder / "r/model.h5", folder / what, "--out", folder / "s.csv"});
  };
  EXPECT_THAT(score("0.wav").out, AllOf(Not(HasSubstr("note:")), Not(HasSubstr("warning:"))));
  put(folder / "silent.wav", WavBytes{.sound = std::string(48000, '\0')}.text());
  EXPECT_THAT(score("silent.wav").out,
              AllOf(HasSubstr("warning: 1 recording is silent or never varies: "), HasSubstr("silent.wav")));
  put(folder / "low.wav", WavBytes{.sound = pcm(recordings[0]), .rate_hz = 8000}.text());
  EXPECT_THAT(score("low.wav").out, HasSubstr("warning: 1 recording at 8000 Hz was resampled to 16000 Hz"));
  ASSERT_EQ(prepare(folder / "silent.wav", folder / "silent.h5").code, 0);
  EXPECT_THAT(score("silent.h5").out, HasSubstr("silent or never varies: silent.wav"));
}

}  // namespace
}  // namespace evenflow::experiments::test
