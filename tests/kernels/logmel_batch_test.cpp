// Log-mel of a batch, on every backend, against the CPU's float64 plan clip by clip.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <sstream>

#include <gtest/gtest.h>

#include "kernels/check.h"
#include "kernels/copy.h"
#include "kernels/logmel.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using kernels::Buffer;
using kernels::LogMelClip;
using kernels::LogMelLayout;
using kernels::LogMelPath;
using kernels::LogMelPlan;
using kernels::LogMelSettings;
using kernels::PadMode;

constexpr float floor_db = -156.53559774527022F;

struct BatchShape {
  LogMelSettings settings;
  std::vector<int64_t> lengths;
  LogMelPath path = LogMelPath::automatic;
  std::string name() const {
    std::ostringstream text;
    text << "fft" << settings.n_fft << "_hop" << settings.hop_samples << "_bands" << settings.mel_bands << "_rate"
         << settings.sample_rate_hz << (settings.pad_mode == PadMode::zero ? "_zero" : "") << "_clips";
    for (const int64_t length : lengths) {
      text << "_" << length;
    }
    if (path == LogMelPath::layered) {
      text << "_layered";
    }
    return text.str();
  }
};

using Clips = std::vector<std::vector<float>>;

/// Noise, then tones over noise 40 dB, 80 dB, ... below them.
Clips sounds(const BatchShape& shape) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  Clips clips;
  for (const int64_t length : shape.lengths) {
    const double tone = clips.empty() ? 0.0 : 0.7;
    const double noise = clips.empty() ? 0.9 : std::pow(10.0, -2.0 * static_cast<double>(clips.size()));
    const double turns = 0.037 + 0.05 * static_cast<double>(clips.size());
    std::vector<float> samples;
    for (int64_t i = 0; i < length; ++i) {
      samples.push_back(static_cast<float>(tone * std::sin(2.0 * std::numbers::pi * turns * static_cast<double>(i)) +
                                           noise * uniform(random)));
    }
    clips.push_back(std::move(samples));
  }
  return clips;
}

template <class T>
Buffer<T> on_device(kernels::Stream& stream, const std::vector<T>& values) {
  Buffer<T> buffer(static_cast<int64_t>(values.size()), stream.device());
  kernels::upload<T>(stream, values, buffer.view());
  return buffer;
}

/// Samples between, before and after the clips are NaN: what is read there shows.
std::vector<float> transform(kernels::Stream& stream, const LogMelPlan& plan, const Clips& clips) {
  constexpr int64_t before = 8;
  constexpr int64_t guard = 64;
  constexpr float guard_value = 12345.0F;
  std::vector<int64_t> lengths;
  for (const auto& clip : clips) {
    lengths.push_back(static_cast<int64_t>(clip.size()));
  }
  LogMelLayout layout = lay_out_clips(plan.settings(), lengths);
  std::vector<float> samples(static_cast<size_t>(layout.samples + 2 * before), std::numeric_limits<float>::quiet_NaN());
  for (size_t i = 0; i < clips.size(); ++i) {
    layout.clips[i].first_sample += before;
    std::copy(clips[i].begin(), clips[i].end(), samples.begin() + layout.clips[i].first_sample);
  }
  const int64_t values = layout.frames * plan.settings().mel_bands;
  const auto samples_there = on_device(stream, samples);
  const auto clips_there = on_device(stream, layout.clips);
  const auto frames = on_device(stream, std::vector<float>(static_cast<size_t>(values + 2 * guard), guard_value));
  kernels::logmel(stream, plan.task(samples_there.view(), clips_there.view(), frames.slice(guard, values)));
  const std::vector<float> all = kernels::to_host(stream, frames.view());
  for (int64_t i = 0; i < guard; ++i) {
    EXPECT_EQ(all[static_cast<size_t>(i)], guard_value);
    EXPECT_EQ(all[static_cast<size_t>(guard + values + i)], guard_value);
  }
  return {all.begin() + guard, all.begin() + guard + values};
}

std::vector<float> expected_frames(const LogMelSettings& settings, const Clips& clips) {
  const LogMelPlan plan(settings);
  std::vector<float> out;
  for (const auto& clip : clips) {
    const auto count = static_cast<int64_t>(clip.size());
    std::vector<float> frames(static_cast<size_t>(plan.frames(count) * settings.mel_bands));
    plan.run(clip.data(), count, frames.data());
    out.insert(out.end(), frames.begin(), frames.end());
  }
  return out;
}

double amplitude(float db) {
  return std::pow(10.0, static_cast<double>(db) / 20.0);
}

/// What a float32 transform leaves, of the amplitude of the frame's loudest band: 0.02 dB in a band 80 dB below it.
constexpr double amplitude_bound = 2e-7;
/// The logarithm's: half a unit of the result, of log10f and of the product with 10.
double rounding_db(float db) {
  return 0x1p-22 * std::abs(static_cast<double>(db)) + 1e-5;
}

/// The worst error of an amplitude beside its frame's loudest.
double expect_frames_close(const std::vector<float>& got, const std::vector<float>& expected, size_t bands) {
  double worst = 0.0;
  EXPECT_EQ(got.size(), expected.size());
  for (size_t frame = 0; frame < expected.size(); frame += bands) {
    const float loudest = *std::max_element(expected.begin() + static_cast<int64_t>(frame),
                                            expected.begin() + static_cast<int64_t>(frame + bands));
    for (size_t i = frame; i < frame + bands; ++i) {
      const double reference = amplitude(expected[i]);
      const double off = std::abs(amplitude(got[i]) - reference);
      const double rounding = reference * (std::pow(10.0, rounding_db(expected[i]) / 20.0) - 1.0);
      EXPECT_TRUE(off <= amplitude_bound * amplitude(loudest) + rounding)
          << "frame " << frame / bands << ", band " << i - frame << ": " << got[i] << " dB, expected " << expected[i]
          << ", loudest " << loudest;
      worst = std::max(worst, (off - rounding) / amplitude(loudest));
    }
  }
  return worst;
}

using Batches = OpTest<BatchShape>;

TEST_P(Batches, AgreesWithFloat64ClipByClip) {
  const Clips clips = sounds(shape());
  const LogMelPlan plan(shape().settings, device(), shape().path);
  const std::vector<float> got = transform(stream_, plan, clips);
  const std::vector<float> expected = expected_frames(shape().settings, clips);
  if (device().type == kernels::DeviceType::cpu) {
    EXPECT_EQ(got, expected);
    return;
  }
  RecordProperty(
      "amplitude_error",
      std::to_string(1e9 * expect_frames_close(got, expected, static_cast<size_t>(shape().settings.mel_bands))));
}

TEST_P(Batches, AClipIsTheSameBitsInAnyCompanyAndAgain) {
  const Clips clips = sounds(shape());
  const LogMelPlan plan(shape().settings, device(), shape().path);
  const std::vector<float> together = transform(stream_, plan, clips);
  EXPECT_EQ(transform(stream_, plan, clips), together);
  std::vector<float> alone;
  for (const auto& clip : clips) {
    const std::vector<float> frames = transform(stream_, plan, {clip});
    alone.insert(alone.end(), frames.begin(), frames.end());
  }
  EXPECT_EQ(alone, together);
}

TEST_P(Batches, SilenceIsExactlyTheFloor) {
  Clips clips;
  for (const int64_t length : shape().lengths) {
    clips.emplace_back(static_cast<size_t>(length), 0.0F);
  }
  const LogMelPlan plan(shape().settings, device(), shape().path);
  for (const float value : transform(stream_, plan, clips)) {
    ASSERT_EQ(value, floor_db);
  }
}

// The CPU's plan is only ever given decoded sound, which has none.
TEST_P(Batches, ANaNSpoilsTheFramesThatHoldItAndNoOther) {
  if (device().type == kernels::DeviceType::cpu) {
    return;
  }
  const LogMelSettings& settings = shape().settings;
  Clips clips = sounds(shape());
  const LogMelPlan plan(settings, device(), shape().path);
  const std::vector<float> whole = transform(stream_, plan, clips);
  std::vector<float>& spoilt = clips.back();
  const auto at = static_cast<int64_t>(spoilt.size() / 2);
  spoilt[static_cast<size_t>(at)] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> got = transform(stream_, plan, clips);

  const auto count = static_cast<int64_t>(spoilt.size());
  const int64_t own = 1 + count / settings.hop_samples;
  const int64_t total = static_cast<int64_t>(got.size()) / settings.mel_bands;
  const kernels::MelFilterbank filters = slaney_filterbank(settings);
  for (int64_t frame = 0; frame < total; ++frame) {
    bool holds = false;
    for (int64_t i = 0; i < settings.n_fft && frame >= total - own; ++i) {
      int64_t sample = (frame - (total - own)) * settings.hop_samples - settings.n_fft / 2 + i;
      if (settings.pad_mode == PadMode::reflect) {
        if (sample < 0) {
          sample = -sample;
        }
        if (sample >= count) {
          sample = 2 * (count - 1) - sample;
        }
      }
      holds = holds || sample == at;
    }
    for (int band = 0; band < settings.mel_bands; ++band) {
      const auto i = static_cast<size_t>(frame * settings.mel_bands + band);
      const auto b = static_cast<size_t>(band);
      if (holds && filters.offset[b + 1] > filters.offset[b]) {
        ASSERT_TRUE(std::isnan(got[i])) << "frame " << frame << ", band " << band;
      } else {
        ASSERT_EQ(got[i], whole[i]) << "frame " << frame << ", band " << band;
      }
    }
  }
}

LogMelSettings with(int n_fft, int hop, int bands, PadMode pad_mode = PadMode::reflect, int rate_hz = 16000) {
  return {.sample_rate_hz = rate_hz, .n_fft = n_fft, .hop_samples = hop, .mel_bands = bands, .pad_mode = pad_mode};
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Batches,
    on_every_backend<BatchShape>({
        {.settings = {}, .lengths = {5120}},
        {.settings = {}, .lengths = {4099, 513, 2048}},
        {.settings = with(1024, 512, 128, PadMode::zero), .lengths = {1, 3000, 1024}},
        {.settings = with(1024, 300, 64, PadMode::reflect, 44100), .lengths = {2001, 1777, 3000, 513}},
        {.settings = with(32, 16, 1), .lengths = {17, 900}},
        {.settings = with(32, 9, 7, PadMode::zero), .lengths = {1, 64, 33}},
        {.settings = with(64, 24, 13), .lengths = {300, 33, 64}},
        {.settings = with(64, 200, 128, PadMode::zero), .lengths = {64, 999, 5}},  // bands without a bin
        {.settings = with(128, 37, 20, PadMode::reflect, 11025), .lengths = {700, 65, 129}},
        {.settings = with(256, 128, 31), .lengths = {1500, 129, 777}},
        {.settings = with(512, 256, 40, PadMode::zero, 8001), .lengths = {2000, 3, 257}},
        {.settings = with(2048, 512, 128, PadMode::reflect, 22050), .lengths = {4000, 1025, 2500}},
        {.settings = with(4096, 1111, 100, PadMode::reflect, 44100), .lengths = {6001, 2049}},
        {.settings = with(400, 160, 128), .lengths = {1600, 201, 777}},
        {.settings = with(400, 160, 80, PadMode::zero, 22051), .lengths = {24000, 1}},  // more than one chunk
        {.settings = with(6, 3, 1), .lengths = {4, 50}},
        {.settings = with(4098, 2000, 30), .lengths = {4500}},
        {.settings = with(1024, 512, 128), .lengths = {3000, 1025}, .path = LogMelPath::layered},
    }),
    case_name<BatchShape>);

/// A second shape for each size of transform that has a kernel of its own.
INSTANTIATE_TEST_SUITE_P(SmallBatches, Batches,
                         on_ptx<BatchShape>({{.settings = with(128, 64, 9, PadMode::zero), .lengths = {200}},
                                             {.settings = with(256, 99, 12), .lengths = {300, 150}},
                                             {.settings = with(512, 200, 33), .lengths = {600}},
                                             {.settings = with(2048, 700, 64), .lengths = {2500}},
                                             {.settings = with(4096, 2048, 50), .lengths = {5000}}}),
                         case_name<BatchShape>);

struct AnyShape {
  std::string name() const { return "any"; }
};
using AnyBatch = OpTest<AnyShape>;

TEST_P(AnyBatch, NoClipsAreNoFrames) {
  const LogMelPlan plan({}, device());
  kernels::logmel(stream_, plan.task({nullptr, 0, device()}, {nullptr, 0, device()}, {nullptr, 0, device()}));
  stream_.synchronise();
}

TEST_P(AnyBatch, ManyShortClipsOfTwoLengths) {
  const LogMelSettings settings = with(64, 16, 10);
  Clips clips;
  std::mt19937_64 random(3);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  for (size_t i = 0; i < 90; ++i) {
    clips.emplace_back(i < 60 ? 40 : 333);
    for (float& sample : clips.back()) {
      sample = uniform(random);
    }
  }
  const LogMelPlan plan(settings, device());
  expect_frames_close(transform(stream_, plan, clips), expected_frames(settings, clips), 10);
}

TEST_P(AnyBatch, WhatDoesNotFitIsAnError) {
  EXPECT_THROW(LogMelPlan(with(1000, 512, 128), device(), LogMelPath::fused), kernels::ShapeError);
  EXPECT_THROW(LogMelPlan(with(1023, 512, 128), device()), std::invalid_argument);
  const LogMelPlan plan({}, device());
  const Buffer<float> samples(2048, device());
  const Buffer<LogMelClip> clips(1, device());
  const Buffer<float> frames(128 * 5 + 1, device());
  EXPECT_THROW(kernels::logmel(stream_, plan.task(samples.view(), clips.view(), frames.view())), kernels::ShapeError);
  EXPECT_THROW(kernels::logmel(stream_, plan.task(samples.view(), clips.view(), frames.slice(0, 0))),
               kernels::ShapeError);
}

INSTANTIATE_TEST_SUITE_P(Any, AnyBatch, on_every_backend<AnyShape>({{}}), case_name<AnyShape>);

// A GPU's clips lie where the host cannot look.
TEST(LogMelClips, OutsideOfTheSamplesOrFramesAreErrorsOnTheCpu) {
  kernels::Stream stream;
  const LogMelPlan plan(with(64, 32, 4));
  const Buffer<float> samples(256), frames(9 * 4);
  for (const LogMelClip& clip :
       {LogMelClip{.first_sample = 1, .samples = 256}, LogMelClip{.first_sample = -1, .samples = 64},
        LogMelClip{.samples = 256, .first_frame = 1}, LogMelClip{.samples = 32}}) {
    EXPECT_THROW(kernels::logmel(stream, plan.task(samples.view(), {&clip, 1, {}}, frames.view())),
                 kernels::ShapeError);
  }
  const LogMelClip whole{.samples = 256};
  EXPECT_NO_THROW(kernels::logmel(stream, plan.task(samples.view(), {&whole, 1, {}}, frames.view())));
}

TEST(LogMelLayout, ClipsStartAtSixteenBytes) {
  const std::vector<int64_t> lengths{513, 1024, 600};
  const LogMelLayout layout = kernels::lay_out_clips({}, lengths);
  ASSERT_EQ(layout.clips.size(), 3U);
  EXPECT_EQ(layout.clips[1].first_sample, 516);
  EXPECT_EQ(layout.clips[2].first_sample, 1540);
  EXPECT_EQ(layout.clips[1].first_frame, 2);
  EXPECT_EQ(layout.clips[2].first_frame, 5);
  EXPECT_EQ(layout.clips[2].samples, 600);
  EXPECT_EQ(layout.samples, 2140);
  EXPECT_EQ(layout.frames, 7);
}

TEST(LogMelLayout, TooShortAClipIsAnErrorThatSaysWhich) {
  const std::vector<int64_t> lengths{513, 512};
  try {
    kernels::lay_out_clips({}, lengths);
    FAIL() << "no error";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "log-mel: clip 1 has 512 samples, at least 513 expected");
  }
}

}  // namespace
}  // namespace evenflow::tests
