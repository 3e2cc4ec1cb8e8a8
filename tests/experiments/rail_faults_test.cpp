// Faults put into recordings of the slide rail: how often the first word said of them is the right one.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <span>
#include <vector>

#include "experiments/rail/rail.h"
#include "flow/random.h"
#include "frontend/features.h"
#include "train/detect/findings.h"
#include "train/detect/speeds.h"

namespace evenflow::experiments {
namespace {

using train::Finding;
using train::FindingKind;

RailSettings short_clips() {
  RailSettings settings;
  settings.duration_s = 4.0;
  return settings;
}

constexpr FindingKind kinds[] = {FindingKind::clipping, FindingKind::dropout, FindingKind::burst, FindingKind::tone,
                                 FindingKind::level};

class RailFaults : public ::testing::Test {
 protected:
  RailFaults() {
    for (const double speed : {100.0, 200.0, 300.0, 400.0, 500.0}) {
      for (uint64_t i = 0; i < 6; ++i) {
        train::ClipScore clip;
        clip.descriptor = {0.0F};
        const std::vector<float> samples = normal_clip(speed, i);
        clip.sound = train::clip_sound(transform_(samples), settings_.mel_bands);
        reference_.add(clip, {&speed, 1});
      }
    }
  }
  static std::vector<float> normal_clip(double speed, uint64_t number) {
    return synthesise_clip(short_clips(), speed, 250, false,
                           flow::stream_of(7, number * 1000 + static_cast<uint64_t>(speed)).bits());
  }
  std::vector<Finding> found(const std::vector<float>& samples, double speed) {
    const train::ExpectedSound expected = train::NormalSound(reference_.sound, 1, speed_).at({&speed, 1});
    const std::vector<float> frames = transform_(samples);
    return train::find({.logmel_db = frames,
                        .frontend = settings_,
                        .expected = &expected,
                        .clipping = frontend::clipping_of(samples, settings_.sample_rate_hz)});
  }

  io::FrontendSettings settings_;
  frontend::LogMel transform_{settings_};
  train::NormalReference reference_;
  train::SpeedOfBands speed_{0, train::mels_per_band(settings_)};
};

double level_of(std::span<const float> samples) {
  double squares = 0;
  for (const float x : samples) {
    squares += static_cast<double>(x) * x;
  }
  return std::sqrt(squares / static_cast<double>(samples.size()));
}

/// Each fault at a strength that is heard: relative to the recording's own level.
std::vector<float> with_fault(FindingKind kind, std::vector<float> samples, uint64_t number) {
  const double level = level_of(samples);
  const auto n = samples.size();
  flow::Random random(number);
  switch (kind) {
    case FindingKind::clipping: {
      float peak = 0;
      for (const float x : samples) {
        peak = std::max(peak, std::abs(x));
      }
      for (float& x : samples) {
        x = std::clamp(x, -0.4F * peak, 0.4F * peak);
      }
      break;
    }
    case FindingKind::dropout:
      std::fill(samples.begin() + static_cast<std::ptrdiff_t>(n / 2),
                samples.begin() + static_cast<std::ptrdiff_t>(n / 2 + 3200), 0.0F);
      break;
    case FindingKind::burst: {
      // A click that rings at 2.5 kHz for 30 ms.
      const size_t at = n / 3 + static_cast<size_t>(random.uniform() * 8000);
      for (size_t i = 0; i < 1600; ++i) {
        const double t = static_cast<double>(i) / 16000;
        samples[at + i] += static_cast<float>(std::min(20 * level, 0.6) * std::exp(-t / 0.01) *
                                              std::sin(2 * std::numbers::pi * 2500 * t));
      }
      break;
    }
    case FindingKind::tone: {
      const double hz = 1200 + 4000 * random.uniform();
      for (size_t i = 0; i < n; ++i) {
        samples[i] +=
            static_cast<float>(0.7 * level * std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / 16000));
      }
      break;
    }
    case FindingKind::level:
      for (float& x : samples) {
        x *= 0.25F;  // louder would clip
      }
      break;
  }
  return samples;
}

// One test, for its recordings take longer to make than all else: every other speed is one without a normal clip.
TEST_F(RailFaults, TheFirstWordIsTheRightOneAndOfNormalClipsHardlyAnythingIsSaid) {
  std::map<FindingKind, std::map<std::string, int>> words;
  int quiet = 0;
  for (uint64_t i = 0; i < 9; ++i) {
    const double speed = 100.0 + 50.0 * static_cast<double>(i);
    const std::vector<float> normal = normal_clip(speed, 100 + i);
    for (const FindingKind kind : kinds) {
      const std::vector<Finding> findings = found(with_fault(kind, normal, i), speed);
      ++words[kind][findings.empty() ? "nothing" : train::name_of(findings.front().kind)];
    }
    quiet += found(normal_clip(speed, 300 + i), speed).empty() ? 1 : 0;
  }
  for (const FindingKind kind : kinds) {
    std::string said;
    for (const auto& [word, count] : words[kind]) {
      said += fmt::format("{} {}, ", word, count);
    }
    EXPECT_GE(words[kind][train::name_of(kind)], 8) << train::name_of(kind) << ": " << said;
  }
  EXPECT_GE(quiet, 5);
}

}  // namespace
}  // namespace evenflow::experiments
