#include "experiments/rail/rail.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <filesystem>
#include <fstream>
#include <map>
#include <numbers>
#include <numeric>
#include <set>
#include <string>

#include "experiments/rail/synth.h"
#include "io/error.h"
#include "io/manifest.h"

namespace evenflow::experiments {
namespace {

double rms(const std::vector<float>& x) {
  const double squares = std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
  return std::sqrt(squares / static_cast<double>(x.size()));
}

// Power in a narrow band round `frequency_hz`: Goertzel bins over the whole clip.
double band_power(const std::vector<float>& x, double low_hz, double high_hz, double rate_hz) {
  double power = 0;
  const double step = 2.0;
  for (double f = low_hz; f <= high_hz; f += step) {
    std::complex<double> sum = 0;
    std::complex<double> turn = 1;
    const std::complex<double> w = std::polar(1.0, -2.0 * std::numbers::pi * f / rate_hz);
    for (const float value : x) {
      sum += turn * static_cast<double>(value);
      turn *= w;
    }
    power += std::norm(sum);
  }
  return power / (high_hz - low_hz);
}

TEST(Rail, ClipIsAFunctionOfItsSeed) {
  const RailSettings settings{.duration_s = 1.0};
  const auto first = synthesise_clip(settings, 300, 250, true, 5);
  EXPECT_EQ(first, synthesise_clip(settings, 300, 250, true, 5));
  EXPECT_NE(first, synthesise_clip(settings, 300, 250, true, 6));
}

TEST(Rail, LevelsAreFiniteGrowWithSpeedAndDoNotClip) {
  const RailSettings settings{.duration_s = 3.0};
  double before = 0;
  for (const double velocity : {50.0, 200.0, 400.0, 750.0}) {
    for (const bool anomalous : {false, true}) {
      const auto clip = synthesise_clip(settings, velocity, 500, anomalous, 3);
      ASSERT_EQ(clip.size(), 48000U);
      for (const float value : clip) {
        ASSERT_TRUE(std::abs(value) < 1.0F) << "velocity " << velocity;
      }
    }
    const double now = rms(synthesise_clip(settings, velocity, 500, false, 3));
    EXPECT_TRUE(now > before) << "velocity " << velocity;
    before = now;
  }
}

TEST(Rail, RefusesWhatMakesNoSense) {
  for (const double bad : {0.0, -1.0, std::nan("")}) {
    EXPECT_THROW(synthesise_clip({}, bad, 500, false, 1), io::UsageError) << bad;
    EXPECT_THROW(synthesise_clip({}, 100, bad, false, 1), io::UsageError) << bad;
    EXPECT_THROW(synthesise_clip({.duration_s = bad}, 100, 500, false, 1), io::UsageError) << bad;
  }
  EXPECT_THROW(synthesise_clip({.duration_s = 1e-5}, 100, 500, false, 1), io::UsageError);
}

TEST(Rail, ItsSettingsHaveLimits) {
  const double nan = std::nan("");
  EXPECT_THROW(require_rail({.severity = -1}), io::UsageError);
  for (const double bad : {0.0, -1.0, 1e9, nan}) {
    EXPECT_THROW(require_rail({.tonality = bad}), io::UsageError) << bad;
  }
  for (const double bad : {-1.0, 5.0, nan}) {
    EXPECT_THROW(require_rail({.variation = bad}), io::UsageError) << bad;
  }
  RailSettings widest{.duration_s = 0.5};
  widest.variation = 4;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    for (const float sample : synthesise_clip(widest, 300, 250, true, seed)) {
      ASSERT_TRUE(std::isfinite(sample)) << seed;
    }
  }
}

TEST(Rail, SeverityZeroIsNormal) {
  const RailSettings settings{.duration_s = 1.0, .severity = 0.0};
  EXPECT_EQ(synthesise_clip(settings, 400, 500, true, 9), synthesise_clip(settings, 400, 500, false, 9));
}

TEST(Rail, TonalityRaisesTheTonesOverWhatIsBetweenThem) {
  RailSettings settings{.duration_s = 2.0, .dwell_s = 0.0};
  settings.acceleration_mm_s2 = 1e6;  // nearly always at speed
  settings.variation = 0.0;
  const auto tone_over_noise = [&](double tonality) {
    settings.tonality = tonality;
    const auto clip = synthesise_clip(settings, 300, 5000, false, 11);
    return band_power(clip, 2.3 * 300 - 4, 2.3 * 300 + 4, settings.sample_rate_hz) /
           band_power(clip, 2.3 * 300 + 30, 2.3 * 300 + 60, settings.sample_rate_hz);
  };
  EXPECT_GT(tone_over_noise(4.0), 4.0 * tone_over_noise(1.0));
}

TEST(Rail, BackgroundIsTheHall) {
  RailSettings settings{.duration_s = 2.0};
  const auto low_noise = [&](double background) {
    settings.background = background;
    return band_power(synthesise_clip(settings, 50, 500, false, 4), 20, 60, settings.sample_rate_hz);
  };
  EXPECT_GT(low_noise(10.0), 10.0 * low_noise(1.0));
}

TEST(Rail, VariationIsBetweenClipsOfOneCondition) {
  RailSettings settings{.duration_s = 2.0};
  const auto spread = [&](double variation) {
    settings.variation = variation;
    double lowest = 1e9, highest = 0;
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      const double level = rms(synthesise_clip(settings, 400, 500, false, seed));
      lowest = std::min(lowest, level);
      highest = std::max(highest, level);
    }
    return highest / lowest - 1.0;
  };
  EXPECT_GT(spread(2.0), 1.5 * spread(1.0));
  EXPECT_LT(spread(0.0), 0.3 * spread(1.0));
  EXPECT_THROW(spread(-1.0), io::UsageError);
}

TEST(Rail, MotionCoversItsDistanceAtItsVelocity) {
  const RailSettings settings;
  const RailMotion motion = rail_motion(settings, 400, 250, 0.0);
  EXPECT_TRUE(std::abs(*std::max_element(motion.speed_mm_s.begin(), motion.speed_mm_s.end()) - 400.0) <= 1e-9);
  EXPECT_TRUE(std::is_sorted(motion.position_mm.begin(), motion.position_mm.end()));
  // One stroke: 2 x 0.1 s of ramp, (250 - 40) mm of cruise; then the dwell.
  const double cycle_s = 0.2 + 210.0 / 400.0 + settings.dwell_s;
  EXPECT_TRUE(std::abs(motion.position_mm.back() / 250.0 - settings.duration_s / cycle_s) <= 1.0);
  // A stroke begins and ends once a cycle.
  EXPECT_TRUE(std::abs(static_cast<double>(motion.reversals.size()) - 2.0 * settings.duration_s / cycle_s) <= 2.0);
}

TEST(Rail, ATonesFrequencyFollowsTheVelocity) {
  RailSettings settings{.duration_s = 2.0, .speed_jitter = 0.0};
  settings.dwell_s = 0.0;
  settings.acceleration_mm_s2 = 1e6;  // nearly always at speed
  for (const double velocity : {200.0, 300.0}) {
    const auto clip = synthesise_clip(settings, velocity, 5000, false, 11);
    const double tone_hz = 2.3 * velocity;
    const double there = band_power(clip, tone_hz - 4, tone_hz + 4, settings.sample_rate_hz);
    const double beside = band_power(clip, tone_hz + 30, tone_hz + 60, settings.sample_rate_hz);
    EXPECT_TRUE(there > 5.0 * beside) << "velocity " << velocity << ": " << there << " and " << beside;
  }
}

TEST(Rail, NoToneBeatsWithAMotorLineAtAnyVelocityOfTheStudy) {
  for (double velocity = 50; velocity <= 750; velocity += 50) {
    for (const double per_mm : rail_tones_per_mm) {
      for (const double line_hz : rail_motor_lines_hz) {
        EXPECT_TRUE(std::abs(per_mm * velocity - line_hz) >= 30.0) << per_mm << " per mm at " << velocity;
      }
    }
  }
}

TEST(Rail, TheWornGuideRingsOncePerSpacingOfTravel) {
  RailSettings settings{.duration_s = 4.0, .severity = 30.0, .speed_jitter = 0.0};
  settings.dwell_s = 0.0;
  settings.acceleration_mm_s2 = 1e6;
  const double velocity = 160.0;  // ten impulses a second
  const auto clip = synthesise_clip(settings, velocity, 5000, true, 2);
  // The envelope's autocorrelation peaks at the impulses' period.
  const double expected_s = settings.defect_spacing_mm / velocity;
  constexpr size_t hop = 40;
  std::vector<double> envelope;
  for (size_t i = 0; i + hop <= clip.size(); i += hop) {
    double sum = 0;
    for (size_t j = 0; j < hop; ++j) {
      sum += std::abs(clip[i + j] - (i + j > 0 ? clip[i + j - 1] : 0.0F));
    }
    envelope.push_back(sum);
  }
  const double mean = std::accumulate(envelope.begin(), envelope.end(), 0.0) / static_cast<double>(envelope.size());
  for (double& value : envelope) {
    value -= mean;
  }
  double best = 0;
  size_t best_lag = 0;
  for (size_t lag = 20; lag < 60; ++lag) {  // 50 to 150 ms
    const double sum = std::inner_product(envelope.begin(), envelope.end() - static_cast<std::ptrdiff_t>(lag),
                                          envelope.begin() + static_cast<std::ptrdiff_t>(lag), 0.0);
    if (sum > best) {
      best = sum;
      best_lag = lag;
    }
  }
  const double period_s = static_cast<double>(best_lag * hop) / settings.sample_rate_hz;
  EXPECT_TRUE(std::abs(period_s - expected_s) <= 0.003) << period_s;
}

class Synth : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("evenflow_synth_" + std::to_string(::getpid()) + "_" +
                                                        testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    options_ = synth_preset("demo");
    options_.rail.duration_s = 0.2;
    options_.train_velocities_mm_s = {100, 300};
    options_.test_velocities_mm_s = {200};
    options_.train_clips = options_.test_normal_clips = options_.test_anomaly_clips = 1;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
  SynthOptions options_;
};

TEST_F(Synth, WritesWhatItsManifestLists) {
  const SynthResult result = synth_dataset(folder_, options_);
  EXPECT_EQ(result.clips, 6U);  // 2 velocities x 2 distances; one normal and one anomalous test clip
  const io::Manifest manifest = io::read_manifest(result.manifest);
  ASSERT_EQ(manifest.clips.size(), 6U);
  EXPECT_EQ(manifest.parameter_names, std::vector<std::string>{"velocity_mm_s"});
  int anomalies = 0;
  for (const io::Clip& clip : manifest.clips) {
    EXPECT_TRUE(std::filesystem::exists(folder_ / clip.path));
    anomalies += clip.label == 1 ? 1 : 0;
  }
  EXPECT_EQ(anomalies, 1);
}

TEST_F(Synth, NamesTheStrokeWhereAskedTo) {
  options_.stroke_column = true;
  const io::Manifest manifest = io::read_manifest(synth_dataset(folder_, options_).manifest);
  EXPECT_EQ(manifest.parameter_names, (std::vector<std::string>{"velocity_mm_s", "stroke_mm"}));
  for (const io::Clip& clip : manifest.clips) {
    EXPECT_THAT(clip.path.string(),
                ::testing::HasSubstr(fmt::format("{:04g}mm_s_{:03g}mm", clip.parameter[0], clip.parameter[1])));
  }
}

TEST_F(Synth, ToolsAreNamesWithSpeedsOfTheirOwnInTraining) {
  options_.tools = 3;
  options_.train_distances_mm = {500};
  options_.train_velocities_mm_s = {100, 200, 300, 400};
  options_.test_velocities_mm_s = {200};
  const io::Manifest manifest = io::read_manifest(synth_dataset(folder_, options_).manifest);
  EXPECT_EQ(manifest.parameter_names, (std::vector<std::string>{"velocity_mm_s", "tool"}));
  EXPECT_EQ(manifest.categories, (io::Categories{{}, {"A", "B", "C"}}));
  std::map<std::string, std::set<double>> trained;
  int tested = 0;
  for (const io::Clip& clip : manifest.clips) {
    if (clip.split == io::Split::train) {
      trained[manifest.categories[1].at(static_cast<size_t>(clip.parameter[1]))].insert(clip.parameter[0]);
    } else {
      ++tested;
    }
  }
  EXPECT_EQ(trained["A"], (std::set<double>{100, 200, 300, 400}));
  EXPECT_EQ(trained["B"], (std::set<double>{100, 300, 400}));
  EXPECT_EQ(trained["C"], (std::set<double>{100, 200, 400}));
  EXPECT_EQ(tested, 6);  // a normal and an anomalous clip a tool
  EXPECT_NE(describe(options_).find("tools = 3"), std::string::npos);
  options_.tools = 4;
  EXPECT_THROW(synth_dataset(folder_, options_), io::UsageError);
}

// A carriage of the usual mass is the rail of data sets without tools, to the bit.
TEST(RailTools, AreOtherRailsButForTheFirst) {
  RailSettings rail;
  rail.duration_s = 0.2;
  const std::vector<float> usual = synthesise_clip(rail, 200, 500, false, 1);
  rail.mass = rail_tools[0].mass;
  EXPECT_EQ(synthesise_clip(rail, 200, 500, false, 1), usual);
  rail.mass = rail_tools[1].mass;
  EXPECT_NE(synthesise_clip(rail, 200, 500, false, 1), usual);
  rail.mass = 0;
  EXPECT_THROW(synthesise_clip(rail, 200, 500, false, 1), io::UsageError);
}

TEST_F(Synth, StoppedHalfWayLeavesNoManifest) {
  const std::atomic<bool> stop = true;
  options_.stop = &stop;
  const SynthResult result = synth_dataset(folder_, options_);
  EXPECT_TRUE(result.stopped);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "manifest.csv"));
}

TEST_F(Synth, StoppedOverAnOldDataSetLeavesNoManifest) {
  synth_dataset(folder_, options_);
  ASSERT_TRUE(std::filesystem::exists(folder_ / "manifest.csv"));
  const std::atomic<bool> stop = true;
  options_.stop = &stop;
  options_.seed = 2;
  EXPECT_TRUE(synth_dataset(folder_, options_).stopped);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "manifest.csv"));
}

TEST_F(Synth, ClipsDoNotDependOnTheNumberOfThreads) {
  const auto bytes = [&] {
    std::string all;
    for (const auto& clip : io::read_manifest(folder_ / "manifest.csv").clips) {
      std::ifstream file(folder_ / clip.path, std::ios::binary);
      all.append(std::istreambuf_iterator<char>(file), {});
    }
    return all;
  };
  options_.threads = 1;
  synth_dataset(folder_, options_);
  const std::string one = bytes();
  options_.threads = 3;
  synth_dataset(folder_, options_);
  EXPECT_EQ(one, bytes());
  EXPECT_GT(one.size(), 6U * 6400U);
}

TEST_F(Synth, RefusesWhatMakesNoSense) {
  EXPECT_THROW(synth_preset("tiny"), io::UsageError);
  options_.test_velocities_mm_s = {-1};
  EXPECT_THROW(synth_dataset(folder_, options_), io::UsageError);
  EXPECT_FALSE(std::filesystem::exists(folder_));
  options_.test_velocities_mm_s = {100, 100};
  EXPECT_THROW(synth_dataset(folder_, options_), io::UsageError);
  EXPECT_FALSE(std::filesystem::exists(folder_));
  options_.test_velocities_mm_s = {100};
  const std::filesystem::path file = folder_.string() + "_file";
  std::ofstream(file) << "x";
  EXPECT_THROW(synth_dataset(file / "below", options_), io::DataError);
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace evenflow::experiments
