// The log-mel kernel against the definition, written out in float64, at every awkward size.
#include "kernels/logmel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cmath>
#include <complex>
#include <numbers>

#include "kernels/cpu/choices.h"
#include "tests/frontend/sound_files.h"
#include "tests/support/allocations.h"

namespace evenflow::kernels {
namespace {

using frontend::test::error_of;
using frontend::test::noise;

/// A unit in the last place of the result, half of it for its rounding; and of the fraction of a power of two, at most
/// 3 dB in float32, eight roundings of half a unit (1.2e-7) and the polynomial's 1.4e-7.
double bound_db(double level_db) {
  return 0x1p-23 * std::abs(level_db) + 8 * 1.2e-7 + 1.4e-7;
}

/// Section 1 of the method, literally. O(n_fft^2) a frame.
std::vector<double> reference(const std::vector<float>& samples, const LogMelSettings& settings) {
  const auto n = static_cast<int64_t>(settings.n_fft), count = static_cast<int64_t>(samples.size());
  const std::vector<double> window = periodic_hann(settings.n_fft);
  const MelFilterbank filters = slaney_filterbank(settings);
  std::vector<std::complex<double>> root(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    root[static_cast<size_t>(i)] =
        std::polar(1.0, -2.0 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(n));
  }
  std::vector<double> out;
  for (int64_t centre = 0; centre <= count; centre += settings.hop_samples) {
    std::vector<double> windowed;
    for (int64_t i = 0; i < n; ++i) {
      int64_t at = centre - n / 2 + i;
      if (settings.pad_mode == PadMode::reflect) {
        if (at < 0) {
          at = -at;
        }
        if (at >= count) {
          at = 2 * (count - 1) - at;
        }
      }
      const bool inside = at >= 0 && at < count;
      windowed.push_back(inside ? window[static_cast<size_t>(i)] * samples[static_cast<size_t>(at)] : 0.0);
    }
    std::vector<double> power;
    for (int64_t k = 0; k <= n / 2; ++k) {
      std::complex<double> sum = 0.0;
      for (int64_t i = 0; i < n; ++i) {
        sum += windowed[static_cast<size_t>(i)] * root[static_cast<size_t>(i * k % n)];
      }
      power.push_back(std::norm(sum));
    }
    for (size_t band = 0; band < static_cast<size_t>(settings.mel_bands); ++band) {
      double mel = 0.0;
      const auto from = static_cast<size_t>(filters.offset[band]), to = static_cast<size_t>(filters.offset[band + 1]);
      for (size_t i = from; i < to; ++i) {
        mel += static_cast<double>(filters.weight[i]) * power[static_cast<size_t>(filters.first_bin[band]) + i - from];
      }
      out.push_back(10.0 * std::log10(std::max(mel, mel_power_floor)));
    }
  }
  return out;
}

void expect_reference(const LogMelPlan& plan, const std::vector<float>& samples) {
  constexpr size_t guard = 64;
  constexpr float guard_value = 12345.0f;
  const auto count = static_cast<int64_t>(samples.size());
  const std::vector<double> expected = reference(samples, plan.settings());
  ASSERT_EQ(static_cast<size_t>(plan.frames(count) * plan.settings().mel_bands), expected.size());
  std::vector<float> out(expected.size() + 2 * guard, guard_value);
  plan.run(samples.data(), count, out.data() + guard);
  for (size_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(static_cast<double>(out[guard + i]) - expected[i]);
    if (!(error <= bound_db(expected[i]))) {
      FAIL() << count << " samples, value " << i << ": " << out[guard + i] << ", expected " << expected[i];
    }
  }
  for (size_t i = 0; i < guard; ++i) {
    ASSERT_EQ(out[i], guard_value);
    ASSERT_EQ(out[guard + expected.size() + i], guard_value);
  }
}

LogMelSettings with_size(int n_fft, int hop, int bands, PadMode pad_mode) {
  return {.sample_rate_hz = 16000, .n_fft = n_fft, .hop_samples = hop, .mel_bands = bands, .pad_mode = pad_mode};
}

TEST(LogMel, EveryClipLengthFromTheShortest) {
  for (const PadMode pad_mode : {PadMode::reflect, PadMode::zero}) {
    const LogMelPlan plan(with_size(64, 24, 13, pad_mode));
    for (int64_t count = plan.least_samples(); count < 300; ++count) {
      ASSERT_NO_FATAL_FAILURE(expect_reference(plan, noise(0.7, static_cast<size_t>(count))));
    }
  }
}

TEST(LogMel, UsualSizeWithOddLengths) {
  const LogMelPlan plan({});
  for (const size_t count : {513u, 1023u, 1024u, 1025u, 2047u, 4099u}) {
    ASSERT_NO_FATAL_FAILURE(expect_reference(plan, noise(0.7, count)));
  }
}

TEST(LogMel, EveryKindOfTransformSize) {
  // Powers of two with each leading radix, then sizes of small and large prime factors.
  for (const int n_fft : {2, 4, 8, 16, 32, 64, 128, 256, 512, 2048, 6, 10, 30, 34, 194, 360, 1000}) {
    for (const int bands : {1, 3, 8}) {
      for (const int hop : {1 + n_fft / 3, 2 * n_fft + 1}) {
        const LogMelPlan plan(with_size(n_fft, hop, bands, PadMode::reflect));
        ASSERT_NO_FATAL_FAILURE(expect_reference(plan, noise(0.7, static_cast<size_t>(2 * n_fft + 5)))) << n_fft;
      }
    }
  }
}

TEST(LogMel, EveryInstructionSet) {
  for (const int64_t target : {int64_t{HWY_AVX3}, int64_t{HWY_AVX2}, int64_t{HWY_SCALAR}}) {
    hwy::SetSupportedTargetsForTest(0);
    if ((kernels::cpu::available_targets() & target) == 0) {
      continue;
    }
    hwy::SetSupportedTargetsForTest(target);
    for (const int n_fft : {128, 1000, 1024}) {
      const LogMelPlan plan(with_size(n_fft, 100, 31, PadMode::reflect));
      for (const size_t count : {601u, 1033u}) {
        ASSERT_NO_FATAL_FAILURE(expect_reference(plan, noise(0.7, count))) << hwy::TargetName(target);
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

// Float32 samples of any size, wanted or not: the power of the loudest is 1e77.
TEST(LogMel, EveryLoudness) {
  for (const int n_fft : {64, 60}) {
    const LogMelPlan plan(with_size(n_fft, 24, 13, PadMode::reflect));
    for (double amplitude = 1e-38; amplitude < 3e38; amplitude *= 100) {
      ASSERT_NO_FATAL_FAILURE(expect_reference(plan, noise(amplitude, 200))) << amplitude;
    }
  }
}

TEST(LogMel, SilenceIsExactlyTheFloor) {
  const std::vector<float> samples(16000, 0.0f);
  for (const PadMode pad_mode : {PadMode::reflect, PadMode::zero}) {
    const LogMelPlan plan(with_size(1024, 512, 128, pad_mode));
    std::vector<float> out(static_cast<size_t>(plan.frames(16000)) * 128);
    plan.run(samples.data(), 16000, out.data());
    EXPECT_THAT(out, testing::Each(-156.53559774527022f));
  }
}

TEST(LogMel, AClipDoesNotDependOnTheOneBefore) {
  const LogMelPlan plan({});
  const std::vector<float> loud = noise(1.0, 50001), quiet = noise(1e-6, 7777);
  std::vector<float> alone(static_cast<size_t>(plan.frames(7777)) * 128), after = alone;
  plan.run(quiet.data(), 7777, alone.data());
  std::vector<float> other(static_cast<size_t>(plan.frames(50001)) * 128);
  plan.run(loud.data(), 50001, other.data());
  plan.run(quiet.data(), 7777, after.data());
  EXPECT_EQ(alone, after);
}

TEST(LogMel, RunAllocatesNothing) {
  for (const int n_fft : {1024, 1000, 194}) {
    const LogMelPlan plan(with_size(n_fft, 512, 128, PadMode::reflect));
    const std::vector<float> samples = noise(0.5, 20000);
    std::vector<float> out(static_cast<size_t>(plan.frames(20000)) * 128);
    const int64_t before = tests::allocations();
    plan.run(samples.data(), 20000, out.data());
    EXPECT_EQ(tests::allocations() - before, 0) << n_fft;
  }
}

TEST(LogMel, TooShortAClipIsAnError) {
  const std::vector<float> samples(513, 0.1f);
  std::vector<float> out(512);
  const LogMelPlan plan({});
  EXPECT_EQ(plan.least_samples(), 513);
  EXPECT_THAT(error_of<std::invalid_argument>([&] { plan.run(samples.data(), 512, out.data()); }),
              testing::HasSubstr("512 samples, at least 513 expected"));
  const LogMelPlan zero(with_size(1024, 512, 128, PadMode::zero));
  EXPECT_THAT(error_of<std::invalid_argument>([&] { zero.run(samples.data(), 0, out.data()); }),
              testing::HasSubstr("at least 1 expected"));
}

TEST(LogMel, ImpossibleSettingsAreErrors) {
  const auto error = [](const LogMelSettings& settings) {
    return error_of<std::invalid_argument>([&] { LogMelPlan{settings}; });
  };
  EXPECT_THAT(error(with_size(1023, 512, 128, PadMode::zero)), testing::HasSubstr("n_fft must be even"));
  EXPECT_THAT(error(with_size(0, 512, 128, PadMode::zero)), testing::HasSubstr("got 0"));
  EXPECT_THAT(error(with_size(1024, 0, 128, PadMode::zero)), testing::HasSubstr("hop_samples"));
  EXPECT_THAT(error(with_size(1024, 512, 0, PadMode::zero)), testing::HasSubstr("mel_bands"));
  EXPECT_THAT(error({.sample_rate_hz = -1}), testing::HasSubstr("sample_rate_hz"));
}

TEST(SlaneyFilterbank, TrianglesOfUnitAreaWithoutGaps) {
  const LogMelSettings settings;
  const MelFilterbank filters = slaney_filterbank(settings);
  ASSERT_EQ(filters.offset.size(), 129u);
  ASSERT_EQ(filters.offset.back(), static_cast<int>(filters.weight.size()));
  for (size_t band = 0; band < 128; ++band) {
    EXPECT_GT(filters.offset[band + 1], filters.offset[band]) << "band " << band << " is empty";
    EXPECT_GE(filters.first_bin[band], 0);
    EXPECT_LE(filters.first_bin[band] + filters.offset[band + 1] - filters.offset[band], 513);
  }
  // The widest bands hold enough bins for the sum over bins to be near the area.
  double area = 0.0;
  for (int i = filters.offset[127]; i < filters.offset[128]; ++i) {
    area += static_cast<double>(filters.weight[static_cast<size_t>(i)]) * 16000.0 / 1024.0;
  }
  EXPECT_NEAR(area, 1.0, 0.02);
}

TEST(SlaneyFilterbank, ABandBetweenTwoBinsIsEmptyAndOnTheFloor) {
  const LogMelSettings settings = with_size(64, 32, 128, PadMode::zero);
  const MelFilterbank filters = slaney_filterbank(settings);
  const LogMelPlan plan(settings);
  const std::vector<float> samples = noise(0.5, 64);
  std::vector<float> out(static_cast<size_t>(plan.frames(64)) * 128);
  plan.run(samples.data(), 64, out.data());
  int empty = 0;
  for (size_t band = 0; band < 128; ++band) {
    if (filters.offset[band + 1] > filters.offset[band]) {
      continue;
    }
    ++empty;
    EXPECT_EQ(out[band], -156.53559774527022f);
  }
  EXPECT_GT(empty, 0);
}

TEST(PeriodicHann, StartsAtZeroAndPeaksInTheMiddle) {
  const std::vector<double> window = periodic_hann(8);
  EXPECT_EQ(window[0], 0.0);
  EXPECT_EQ(window[4], 1.0);
  EXPECT_DOUBLE_EQ(window[2], 0.5);
  EXPECT_DOUBLE_EQ(window[1], window[7]);
}

}  // namespace
}  // namespace evenflow::kernels
