// Each rule on frames made for it: the word, when, which band, and by how much; and nothing where there is nothing.
#include "train/detect/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "io/error.h"
#include "kernels/random.h"

namespace evenflow::train {
namespace {

using testing::HasSubstr;

constexpr int64_t band_count = 128, frame_count = 313;

/// Noise of 3 dB about a sloping spectrum, `number` names the clip; each has a level of its own.
std::vector<float> frames_of(uint64_t number) {
  std::vector<float> frames(static_cast<size_t>(frame_count * band_count));
  const double own = 0.7 * kernels::random_normal(number, 1, 0);
  for (int64_t i = 0; i < frame_count * band_count; ++i) {
    const auto band = static_cast<double>(i % band_count);
    frames[static_cast<size_t>(i)] = static_cast<float>(
        -30.0 - 0.2 * band + own + 3.0 * kernels::random_normal(number, 0, static_cast<uint64_t>(i)));
  }
  return frames;
}

class Findings : public testing::Test {
 protected:
  /// Of twenty normal clips.
  static const io::SoundData& sound() {
    static const io::SoundData of_clips = [] {
      NormalReference reference;
      for (uint64_t number = 0; number < 20; ++number) {
        ClipScore clip;
        clip.clip.path = "normal.wav";
        clip.descriptor = {1.0F};
        clip.sound = clip_sound(frames_of(number), band_count);
        reference.add(clip, {});
      }
      return reference.sound;
    }();
    return of_clips;
  }
  std::vector<Finding> found(const std::vector<float>& frames, const frontend::Clipping& clipping = {}) const {
    return find({.logmel_db = frames, .frontend = settings_, .expected = &expected_, .clipping = clipping});
  }
  static void add(std::vector<float>& frames, int64_t from, int64_t to, int64_t low, int64_t high, double db) {
    for (int64_t t = from; t < to; ++t) {
      for (int64_t b = low; b < high; ++b) {
        frames[static_cast<size_t>(t * band_count + b)] += static_cast<float>(db);
      }
    }
  }
  static std::vector<float> changed(int64_t from, int64_t to, int64_t low, int64_t high, double db) {
    std::vector<float> frames = frames_of(100);
    add(frames, from, to, low, high, db);
    return frames;
  }

  io::FrontendSettings settings_;
  ExpectedSound expected_ = NormalSound(sound(), 0).at({});
};

// A machine that is louder when it is faster, and whose broad hump moves up with its speed.
std::vector<float> level_at(double speed, uint64_t number) {
  std::vector<float> level;
  for (int64_t b = 0; b < band_count; ++b) {
    const double off = (static_cast<double>(b) - 20.0 - speed / 10.0) / 15.0;
    level.push_back(static_cast<float>(-40.0 + 0.02 * speed + 12.0 * std::exp(-0.5 * off * off) +
                                       0.5 * kernels::random_normal(number, 2, static_cast<uint64_t>(b))));
  }
  return level;
}

TEST(NormalSpectrum, TellsTheOperatingPointWhateverTheLevel) {
  io::SoundData data;
  data.bands = band_count;
  for (uint64_t number = 0; number < 42; ++number) {
    const double speed = 100.0 * static_cast<double>(1 + number % 7);
    data.paths.emplace_back("normal.wav");
    data.v.push_back(speed);
    const std::vector<float> level = level_at(speed, number);
    data.level_db.insert(data.level_db.end(), level.begin(), level.end());
    data.peak_db.insert(data.peak_db.end(), level.begin(), level.end());
    data.quietest_db.push_back(-60.0F);
  }
  const NormalSound normal(data, 1);
  const std::vector<double> unknown = {std::nan("")};
  for (const double above : {-12.0, -6.0, 0.0, 6.0, 9.0}) {
    SCOPED_TRACE(above);
    std::vector<float> level = level_at(350, 100);
    for (float& db : level) {
      db += static_cast<float>(above);
    }
    level[90] += 25.0F;  // a tone
    const auto point = normal.of_spectrum(level, unknown);
    ASSERT_TRUE(point.has_value());
    EXPECT_TRUE(std::abs(point->front() - 350) <= 30) << point->front();
    const ExpectedSound expected = normal.at(*point);
    EXPECT_TRUE(std::abs(level_above(expected, level) - above) <= 1.0) << level_above(expected, level);
    EXPECT_TRUE(misfit_of(expected, level, above) < 1.1) << "of noise alone it is 0.8";
    // Where the same level would be normal, the spectrum is another.
    const ExpectedSound louder = normal.at(std::vector{std::clamp(350 + above / 0.02, 100.0, 700.0)});
    EXPECT_TRUE(above == 0.0 || misfit_of(louder, level, 0.0) > 1.5 * misfit_of(expected, level, above));
  }
  EXPECT_FALSE(normal.of_spectrum(level_at(350, 100), std::vector{350.0}).has_value()) << "nothing is unknown";
  data.paths.resize(4);
  EXPECT_FALSE(NormalSound(data, 1).of_spectrum(level_at(350, 100), unknown).has_value()) << "four clips do not tell";
}

TEST_F(Findings, NothingStandsOutInNormalClips) {
  for (uint64_t number = 100; number < 110; ++number) {
    EXPECT_TRUE(found(frames_of(number)).empty()) << number;
  }
}

TEST_F(Findings, ABurstIsShort) {
  const std::vector<Finding> findings = found(changed(125, 129, 60, 80, 30));
  ASSERT_EQ(findings.size(), 1U);
  const Finding& burst = findings.front();
  EXPECT_EQ(burst.kind, FindingKind::burst);
  EXPECT_EQ(burst.times, 1);
  EXPECT_TRUE(std::abs(burst.from_s - 124.5 * 0.032) <= 0.033 && std::abs(burst.to_s - 128.5 * 0.032) <= 0.033);
  const Frequencies hz = frequencies_of(60, 79, settings_);
  EXPECT_TRUE(std::abs(burst.low_hz / hz.low_hz - 1) <= 0.1 && std::abs(burst.high_hz / hz.high_hz - 1) <= 0.1);
  EXPECT_TRUE(burst.above_db > 15 && burst.above_db < 35) << burst.above_db;
  EXPECT_THAT(text_of(burst, " at v = 3"),
              testing::AllOf(HasSubstr("a burst at 3.98 s"), HasSubstr("normal at v = 3")));
}

TEST_F(Findings, SeveralBurstsAreCounted) {
  std::vector<float> frames = changed(50, 53, 60, 80, 30);
  add(frames, 200, 203, 60, 80, 30);
  const std::vector<Finding> findings = found(frames);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings.front().times, 2);
  EXPECT_THAT(text_of(findings.front(), ""), HasSubstr("2 bursts between 1."));
}

TEST_F(Findings, AToneIsNarrowAndLasts) {
  const std::vector<Finding> findings = found(changed(0, frame_count, 70, 73, 15));
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings.front().kind, FindingKind::tone);
  EXPECT_TRUE(findings.front().throughout);
  EXPECT_TRUE(std::abs(findings.front().above_db - 15) <= 1.5) << findings.front().above_db;
  EXPECT_THAT(text_of(findings.front(), ""), HasSubstr("a tone between"));
}

TEST_F(Findings, ALevelIsOfABandOrOfAll) {
  const std::vector<Finding> part = found(changed(0, frame_count, 40, 70, 7));
  ASSERT_EQ(part.size(), 1U);
  EXPECT_EQ(part.front().kind, FindingKind::level);
  EXPECT_FALSE(part.front().whole_spectrum);
  EXPECT_TRUE(std::abs(part.front().above_db - 7) <= 1.5) << part.front().above_db;
  const std::vector<Finding> quieter = found(changed(0, frame_count, 0, band_count, -8));
  ASSERT_EQ(quieter.size(), 1U);
  EXPECT_TRUE(quieter.front().whole_spectrum);
  EXPECT_THAT(text_of(quieter.front(), ""), testing::AllOf(HasSubstr("the level of the whole spectrum is "),
                                                           HasSubstr(" dB below what is normal, throughout")));
}

TEST_F(Findings, ALevelHasItsTime) {
  const std::vector<Finding> findings = found(changed(156, frame_count, 0, band_count, 9));
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings.front().kind, FindingKind::level);
  EXPECT_FALSE(findings.front().throughout);
  EXPECT_TRUE(std::abs(findings.front().from_s - 5.0) <= 1.0) << findings.front().from_s;
  EXPECT_TRUE(findings.front().to_s > 9.5);
}

TEST_F(Findings, ADropoutIsQuieterThanAnyPause) {
  const std::vector<Finding> findings = found(changed(150, 156, 0, band_count, -60));
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings.front().kind, FindingKind::dropout);
  EXPECT_TRUE(std::abs(findings.front().from_s - 149.5 * 0.032) <= 1e-9);
  EXPECT_TRUE(findings.front().above_db < -50);
  EXPECT_THAT(text_of(findings.front(), ""), HasSubstr("the sound drops out at 4.78 s"));
}

TEST_F(Findings, ClippingComesFirst) {
  const std::vector<Finding> findings =
      found(changed(0, frame_count, 70, 73, 15), {.samples = 90, .runs = 30, .first_s = 1, .last_s = 9, .level = 0.5});
  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings.front().kind, FindingKind::clipping);
  EXPECT_THAT(text_of(findings.front(), ""), HasSubstr("clipped at -6.0 dB of full scale"));
}

TEST_F(Findings, WithoutNormalClipsSilenceIsFound) {
  std::vector<float> frames = frames_of(1);
  std::fill(frames.begin() + 100 * band_count, frames.begin() + 110 * band_count, -156.5F);
  const std::vector<Finding> findings = find({.logmel_db = frames, .frontend = settings_});
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings.front().kind, FindingKind::dropout);
}

// Clips at 1, 2, ..., 8 whose level is 2 dB a step and bends at 5.
TEST(NormalSound, ExpectsWhatNeighboursHave) {
  NormalReference reference;
  for (int step = 1; step <= 8; ++step) {
    for (uint64_t copy = 0; copy < 4; ++copy) {
      ClipScore clip;
      clip.descriptor = {0.0F};
      const auto level = static_cast<float>(2.0 * std::min(step, 5) + 0.3 * kernels::random_normal(copy, 0, 0));
      clip.sound = {.level_db = {level}, .peak_db = {level + 10.0F}, .quietest_db = level - 20.0F};
      const double v = step;
      reference.add(clip, {&v, 1});
    }
  }
  const NormalSound normal(reference.sound, 1);
  const auto level_at = [&](double v) { return normal.at({&v, 1}).level_db[0]; };
  EXPECT_TRUE(std::abs(level_at(2.5) - 5.0) <= 0.3) << level_at(2.5);
  EXPECT_TRUE(std::abs(level_at(7.0) - 10.0) <= 0.3) << level_at(7.0);
  const double far = 12, beside = 8.5, unknown = std::nan("");
  EXPECT_TRUE(normal.at({&far, 1}).outside);
  EXPECT_EQ(normal.at({&far, 1}).at, std::vector<double>{8.0});
  EXPECT_FALSE(normal.at({&beside, 1}).outside);
  // Unknown: the mean over all clips, and the spread that they have.
  const ExpectedSound all = normal.at({&unknown, 1});
  EXPECT_TRUE(all.at.empty());
  EXPECT_TRUE(std::abs(all.level_db[0] - 7.5) <= 0.3);
  EXPECT_TRUE(all.level_spread_db[0] > 2.0);
  EXPECT_TRUE(std::abs(normal.at({&far, 1}).peak_db[0] - 20.0) <= 0.4);
  const io::SoundData none;
  EXPECT_THROW(NormalSound(none, 1), io::DataError);
}

}  // namespace
}  // namespace evenflow::train
