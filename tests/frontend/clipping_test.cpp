#include "frontend/clipping.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "frontend/audio.h"
#include "tests/frontend/sound_files.h"

namespace evenflow::frontend {
namespace {

std::vector<float> limited(std::vector<float> samples, float limit) {
  for (float& sample : samples) {
    sample = std::clamp(sample, -limit, limit);
  }
  return samples;
}

TEST(Clipping, IsFoundAtAnyLimit) {
  const std::vector<float> tone = test::sine(300, 0.9, 16000, 16000);
  EXPECT_FALSE(clipping_of(tone, 16000).found());
  for (const float limit : {0.2F, 0.6F, 0.85F}) {
    const Clipping clipping = clipping_of(limited(tone, limit), 16000);
    EXPECT_TRUE(clipping.found()) << limit;
    EXPECT_EQ(clipping.runs, 600) << limit;
    EXPECT_TRUE(std::abs(clipping.level - limit) <= 1e-6);
    EXPECT_TRUE(clipping.first_s < 0.01 && clipping.last_s > 0.99);
  }
}

TEST(Clipping, IsNotFoundInSoundOfItsOwn) {
  EXPECT_FALSE(clipping_of({}, 16000).found());
  EXPECT_FALSE(clipping_of(std::vector<float>(1000, 0.5F), 16000).found());
  EXPECT_FALSE(clipping_of(test::noise(0.9, 160000), 16000).found());
  EXPECT_FALSE(clipping_of(limited(test::noise(0.02, 16000), 0.005F), 16000).found());
}

TEST(Clipping, IsFoundInAFileBeforeItIsResampled) {
  const test::TemporaryFolder folder;
  test::write_sound(folder / "a.wav", limited(test::sine(300, 0.9, 44100, 44100), 0.5F), {.rate_hz = 44100});
  const Audio audio = read_audio(folder / "a.wav", io::FrontendSettings{});
  EXPECT_TRUE(audio.source.clipping.found());
  EXPECT_TRUE(audio.source.clipping.last_s > 0.99 && audio.source.clipping.last_s < 1.0);
}

TEST(WavBytes, AreAFileThatReadsBackAndIsKnown) {
  const test::TemporaryFolder folder;
  const std::vector<float> samples = test::noise(0.5, 5000);
  const std::string bytes = wav_bytes(samples, 16000);
  EXPECT_TRUE(is_own_wav(bytes));
  test::write_bytes(folder / "a.wav", bytes);
  const Audio audio = read_audio(folder / "a.wav", io::FrontendSettings{});
  ASSERT_EQ(audio.samples.size(), samples.size());
  EXPECT_EQ(audio.source.note, "");
  for (size_t i = 0; i < samples.size(); ++i) {
    ASSERT_TRUE(std::abs(audio.samples[i] - samples[i]) <= 1.0F / 65536.0F) << i;
  }
  test::write_sound(folder / "b.wav", samples);
  EXPECT_FALSE(is_own_wav(test::read_bytes(folder / "b.wav")));
}

TEST(WithinFullScale, OnlyWhatDoesNotFitIsScaled) {
  EXPECT_EQ(within_full_scale({0.5F, -1.0F}), (std::vector<float>{0.5F, -1.0F}));
  const std::vector<float> scaled = within_full_scale({2.0F, -1.0F});
  EXPECT_TRUE(std::abs(scaled[0] - 0.98F) <= 1e-6F && std::abs(scaled[1] + 0.49F) <= 1e-6F);
}

}  // namespace
}  // namespace evenflow::frontend
