// Sound that says nothing, told from sound that is only quiet, steady or narrow.
#include "frontend/silence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "frontend/features.h"
#include "io/error.h"
#include "tests/frontend/sound_files.h"

namespace evenflow::frontend {
namespace {

using test::error_of;
using testing::HasSubstr;

bool nothing(const std::vector<float>& samples, const io::FrontendSettings& settings = {}) {
  return says_nothing(LogMel(settings)(samples), settings);
}

TEST(SaysNothing, DigitalSilenceAndDirectCurrent) {
  for (const io::PadMode pad_mode : {io::PadMode::reflect, io::PadMode::zero}) {
    const io::FrontendSettings settings{.pad_mode = pad_mode};
    for (const float level : {0.0F, 0.5F, -1.0F, 1e-9F}) {
      EXPECT_TRUE(nothing(std::vector<float>(16000, level), settings)) << level << " " << io::name_of(pad_mode);
    }
  }
}

TEST(SaysNothing, DirectCurrentAtAnotherRate) {
  const test::TemporaryFolder folder;
  test::write_sound(folder / "a.wav", std::vector<float>(44100, 0.5F), {.rate_hz = 44100});
  LogMel transform{io::FrontendSettings{}};
  EXPECT_TRUE(says_nothing(file_features(folder / "a.wav", {}, transform).logmel_db, {}));
}

TEST(SaysNothing, NotWhatIsQuietSteadyNarrowOrShort) {
  EXPECT_FALSE(nothing(test::noise(0.5, 16000)));
  EXPECT_FALSE(nothing(test::noise(1.0 / 32768.0, 16000)));
  EXPECT_FALSE(nothing(test::sine(440.0, 0.1, 16000, 16000)));
  EXPECT_FALSE(nothing(test::noise(0.5, 600)));
  std::vector<float> late(16000, 0.0F);
  for (size_t i = 15000; i < late.size(); ++i) {
    late[i] = i % 2 == 0 ? 0.1F : -0.1F;
  }
  EXPECT_FALSE(nothing(late));
}

TEST(TrainingSound, SilentClipsAreCountedAndAllSilentIsAnError) {
  const io::FrontendSettings settings;
  LogMel transform(settings);
  const std::vector<float> silent = transform(std::vector<float>(16000, 0.0F));
  TrainingSound sound(settings);
  sound.add("a.wav", silent);
  sound.add("b.wav", silent);
  EXPECT_THAT(error_of<io::DataError>([&] { sound.require(); }),
              HasSubstr("all 2 training clips are silent or never vary (a.wav, b.wav)"));
  sound.add("c.wav", transform(test::noise(0.5, 16000)));
  sound.require();
  EXPECT_THAT(sound.warning(), HasSubstr("2 of 3 training clips are silent or never vary: a.wav, b.wav"));
}

TEST(TrainingSound, ABandThatNeverVariesIsAnError) {
  const io::FrontendSettings settings;
  LogMel transform(settings);
  TrainingSound sound(settings);
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    std::vector<float> frames = transform(test::noise(0.5, 16000, seed));
    for (size_t i = 40; i < frames.size(); i += 128) {
      frames[i] = -61.5F;
    }
    sound.add("a.wav", frames);
  }
  EXPECT_THAT(error_of<io::DataError>([&] { sound.require(); }),
              HasSubstr("mel band 41 of 128 is -61.5 dB throughout all 3 training clips"));
  EXPECT_EQ(sound.warning(), "");
}

TEST(TrainingSound, RecordingsOfALowerRateAreNoSilence) {
  const test::TemporaryFolder folder;
  const io::FrontendSettings settings;
  LogMel transform(settings);
  TrainingSound sound(settings);
  test::write_sound(folder / "a.wav", test::noise(0.1, 16000), {.rate_hz = 8000});
  sound.add("a.wav", file_features(folder / "a.wav", settings, transform).logmel_db);
  sound.require();
  EXPECT_EQ(sound.warning(), "");
}

}  // namespace
}  // namespace evenflow::frontend
