#include "frontend/features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "frontend/audio.h"
#include "io/error.h"
#include "tests/frontend/sound_files.h"

namespace evenflow::frontend {
namespace {

using test::error_of;
using testing::AllOf;
using testing::HasSubstr;

TEST(LogMelOfAClip, TenSecondsGive313FramesAnd16Windows) {
  LogMel transform{io::FrontendSettings{}};
  EXPECT_EQ(transform.frames(160000), 313);
  EXPECT_EQ(transform(test::noise(0.5, 160000)).size(), 313u * 128u);
  EXPECT_EQ(windows_in(313, {}), 16);
}

TEST(LogMelOfAClip, SettingsReachTheTransform) {
  const std::vector<float> samples = test::noise(0.5, 9000);
  LogMel reflect{io::FrontendSettings{}}, zero{io::FrontendSettings{.pad_mode = io::PadMode::zero}};
  const std::vector<float> a = reflect(samples), b = zero(samples);
  EXPECT_NE(a[0], b[0]);
  EXPECT_EQ(std::vector<float>(a.begin() + 128, a.end() - 2 * 128),
            std::vector<float>(b.begin() + 128, b.end() - 2 * 128));
  LogMel coarse{io::FrontendSettings{.n_fft = 512, .hop_samples = 1000, .mel_bands = 40}};
  EXPECT_EQ(coarse(samples).size(), 10u * 40u);
}

TEST(LogMelOfAClip, ImpossibleSettingsNameTheirKey) {
  const auto error = [](const io::FrontendSettings& settings) {
    return error_of<io::UsageError>([&] { const LogMel transform(settings); });
  };
  EXPECT_THAT(error({.n_fft = 1023}), HasSubstr("frontend.n_fft = 1023 is not allowed: it must be even"));
  EXPECT_THAT(error({.hop_samples = 0}), HasSubstr("frontend.hop_samples = 0"));
  EXPECT_THAT(error({.mel_bands = -3}), HasSubstr("frontend.mel_bands = -3"));
  EXPECT_THAT(error({.sample_rate_hz = 0}), HasSubstr("frontend.sample_rate_hz = 0"));
}

TEST(WindowsIn, CountsWholeWindows) {
  const io::WindowSettings usual;
  EXPECT_EQ(windows_in(0, usual), 0);
  EXPECT_EQ(windows_in(63, usual), 0);
  EXPECT_EQ(windows_in(64, usual), 1);
  EXPECT_EQ(windows_in(79, usual), 1);
  EXPECT_EQ(windows_in(80, usual), 2);
  EXPECT_EQ(windows_in(7, {.window_frames = 3, .window_hop_frames = 5}), 1);
  EXPECT_EQ(windows_in(8, {.window_frames = 3, .window_hop_frames = 5}), 2);
}

TEST(FileFeatures, AreTheTransformOfTheDecodedSamples) {
  const test::TemporaryFolder folder;
  const io::FrontendSettings settings;
  test::write_sound(folder / "a.wav", test::noise(0.5, 30000), {.rate_hz = 22050});
  LogMel transform(settings);
  EXPECT_EQ(file_features(folder / "a.wav", settings, transform).logmel_db,
            transform(read_audio(folder / "a.wav", settings).samples));
}

TEST(FileFeatures, AClipTooShortForReflectionIsNamed) {
  const test::TemporaryFolder folder;
  io::FrontendSettings settings;
  LogMel transform(settings);
  test::write_sound(folder / "a.wav", test::noise(0.5, 513));
  EXPECT_EQ(file_features(folder / "a.wav", settings, transform).logmel_db.size(), 2u * 128u);
  test::write_sound(folder / "a.wav", test::noise(0.5, 512));
  EXPECT_THAT(error_of<io::DataError>([&] { file_features(folder / "a.wav", settings, transform); }),
              AllOf(HasSubstr("a.wav' is too short: 512 samples at 16000 Hz"), HasSubstr("needs 513; leave it out")));
  settings.pad_mode = io::PadMode::zero;
  LogMel zero(settings);
  EXPECT_EQ(file_features(folder / "a.wav", settings, zero).logmel_db.size(), 2u * 128u);
}

}  // namespace
}  // namespace evenflow::frontend
