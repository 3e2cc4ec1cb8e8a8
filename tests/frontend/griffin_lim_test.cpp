// Log-mel frames back to sound: bands are kept, the sound sounds like them, and phases come together.
#include "frontend/griffin_lim.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "frontend/features.h"
#include "kernels/logmel.h"
#include "tests/frontend/sound_files.h"

namespace evenflow::frontend {
namespace {

/// Two seconds of a chord over noise, with a pause.
std::vector<float> clip() {
  std::vector<float> samples = test::noise(0.02, 32000);
  for (const double hz : {220.0, 950.0, 3100.0}) {
    const std::vector<float> tone = test::sine(hz, 0.15, 16000, samples.size());
    for (size_t i = 0; i < samples.size(); ++i) {
      samples[i] += i / 8000 == 2 ? 0.0F : tone[i];
    }
  }
  return samples;
}

/// Root mean square, in dB, by which the bands of the spectrum are off that was found for a sound's frames.
double band_error(const std::vector<float>& samples) {
  const io::FrontendSettings settings;
  LogMel transform(settings);
  const std::vector<float> wanted = transform(samples);
  const std::vector<float> power = power_spectrum(wanted, settings);
  EXPECT_EQ(power.size(), wanted.size() / 128 * 513);
  EXPECT_TRUE(std::all_of(power.begin(), power.end(), [](float p) { return p >= 0.0F && std::isfinite(p); }));
  const kernels::MelFilterbank filters = kernels::slaney_filterbank({});
  double squares = 0;
  for (size_t t = 0; t < power.size() / 513; ++t) {
    for (size_t b = 0; b < 128; ++b) {
      double band = 0;
      for (int i = filters.offset[b]; i < filters.offset[b + 1]; ++i) {
        band += static_cast<double>(filters.weight[static_cast<size_t>(i)]) *
                power[t * 513 + static_cast<size_t>(filters.first_bin[b] + i - filters.offset[b])];
      }
      squares += std::pow(10.0 * std::log10(std::max(band, 1e-20)) - wanted[t * 128 + b], 2);
    }
  }
  return std::sqrt(squares / static_cast<double>(wanted.size()));
}

TEST(PowerSpectrum, HasTheBandsThatItWasMadeOf) {
  const double of_noise = band_error(test::noise(0.1, 32000)), of_tones = band_error(clip());
  EXPECT_TRUE(of_noise <= 0.3) << of_noise;
  EXPECT_TRUE(of_tones <= 2.0) << of_tones;
}

/// The same of the log-mel of the sound that was made of the frames, in bands within 40 dB of the loudest; frames that
/// reach over an end are padded otherwise and do not count.
double heard_error(const std::vector<float>& samples) {
  const io::FrontendSettings settings;
  LogMel transform(settings);
  const std::vector<float> wanted = transform(samples);
  const std::vector<float> sound = sound_of(wanted, settings);
  EXPECT_EQ(sound.size(), (wanted.size() / 128 - 1) * 512);
  const std::vector<float> heard = transform(sound);
  const float loudest = *std::max_element(wanted.begin(), wanted.end());
  double squares = 0, count = 0;
  for (size_t i = 3 * 128; i < wanted.size() - 3 * 128; ++i) {
    if (wanted[i] > loudest - 40.0F) {
      squares += std::pow(heard[i] - wanted[i], 2);
      ++count;
    }
  }
  EXPECT_GT(count, 100);
  return std::sqrt(squares / count);
}

TEST(SoundOf, SoundsLikeItsFrames) {
  const double of_noise = heard_error(test::noise(0.1, 32000)), of_tones = heard_error(clip());
  EXPECT_TRUE(of_noise <= 2.0) << of_noise;
  EXPECT_TRUE(of_tones <= 3.5) << of_tones;
}

TEST(SoundOf, MomentumAndMoreIterationsComeNearer) {
  const io::FrontendSettings settings;
  LogMel transform(settings);
  const std::vector<float> wanted = transform(clip());
  const std::vector<float> power = power_spectrum(wanted, settings);
  const auto off = [&](const GriffinLimSettings& how) {
    return spectral_convergence(sound_of(wanted, settings, how), power, settings);
  };
  const double few = off({.iterations = 4}), plain = off({.iterations = 32, .momentum = 0.0});
  const double fast = off({.iterations = 32});
  EXPECT_TRUE(fast < plain && plain < few) << fast << " " << plain << " " << few;
}

TEST(SoundOf, IsAFunctionOfFramesSettingsAndSeed) {
  const io::FrontendSettings settings;
  LogMel transform(settings);
  const std::vector<float> wanted = transform(test::noise(0.1, 8000));
  const std::vector<float> once = sound_of(wanted, settings, {.iterations = 3});
  EXPECT_EQ(once, sound_of(wanted, settings, {.iterations = 3}));
  EXPECT_NE(once, sound_of(wanted, settings, {.iterations = 3, .seed = 2}));
}

TEST(SoundOf, OddInputGivesSoundOrNothing) {
  const io::FrontendSettings settings;
  EXPECT_TRUE(sound_of({}, settings).empty());
  EXPECT_TRUE(sound_of(std::vector<float>(128, -40.0F), settings).empty());
  std::vector<float> frames(4 * 128, -60.0F);
  frames[200] = std::numeric_limits<float>::quiet_NaN();
  frames[300] = -156.5356F;
  const std::vector<float> sound = sound_of(frames, settings, {.iterations = 2});
  EXPECT_EQ(sound.size(), 3U * 512U);
  EXPECT_TRUE(std::all_of(sound.begin(), sound.end(), [](float x) { return std::isfinite(x); }));
}

TEST(SoundOf, TakesOtherSettings) {
  const io::FrontendSettings settings{.sample_rate_hz = 22050, .n_fft = 600, .hop_samples = 200, .mel_bands = 40};
  LogMel transform(settings);
  const std::vector<float> wanted = transform(test::noise(0.1, 8000));
  EXPECT_EQ(sound_of(wanted, settings, {.iterations = 2}).size(), (wanted.size() / 40 - 1) * 200);
}

}  // namespace
}  // namespace evenflow::frontend
