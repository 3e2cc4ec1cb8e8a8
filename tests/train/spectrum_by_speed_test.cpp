#include "train/statistics/spectrum_by_speed.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>

namespace evenflow::train {
namespace {

using Way = SpectrumBySpeed::Way;

std::vector<double> centres() {
  std::vector<double> hz;
  hz.reserve(64);
  for (int b = 0; b < 64; ++b) {
    hz.push_back(60 * std::pow(7000.0 / 60, b / 63.0));
  }
  return hz;
}

double bump(double x, double centre, double width) {
  return std::exp(-0.5 * (x - centre) * (x - centre) / (width * width));
}

/// Tones at 0.5 and 3 per unit of travel through resonances at 400 and 2000 Hz, that get louder with the speed.
std::vector<double> machine(double speed) {
  std::vector<double> db;
  for (const double hz : centres()) {
    const double order = std::log(hz / std::abs(speed));
    db.push_back(-40 + 12 * bump(order, std::log(0.5), 0.25) + 9 * bump(order, std::log(3), 0.25) +
                 8 * bump(std::log(hz), std::log(400), 0.2) + 6 * bump(std::log(hz), std::log(2000), 0.2) +
                 6 * std::log(std::abs(speed) / 400));
  }
  return db;
}

/// Bands whose levels are linear in the speed.
std::vector<double> straight(double speed) {
  std::vector<double> db;
  for (size_t b = 0; b < centres().size(); ++b) {
    db.push_back(-50 + 0.02 * speed * std::sin(1.7 * static_cast<double>(b)));
  }
  return db;
}

/// Bands whose levels bend.
std::vector<double> bent(double speed) {
  std::vector<double> db;
  for (size_t b = 0; b < centres().size(); ++b) {
    db.push_back(-50 + 1e-4 * speed * speed * std::sin(1.7 * static_cast<double>(b)));
  }
  return db;
}

BandMoments moments(std::vector<double> mean, double deviation = 2) {
  std::vector<double> deviations(mean.size(), deviation);
  return {std::move(mean), std::move(deviations)};
}

SpectrumBySpeed told_of(std::vector<double> (*sound)(double), const std::vector<double>& speeds) {
  std::vector<BandMoments> recorded;
  recorded.reserve(speeds.size());
  for (const double speed : speeds) {
    recorded.push_back(moments(sound(speed), 1 + 0.001 * std::abs(speed)));
  }
  return {speeds, std::move(recorded), centres()};
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum += (a[i] - b[i]) * (a[i] - b[i]);
  }
  return std::sqrt(sum / static_cast<double>(a.size()));
}

const std::vector<double> seven = {100, 200, 300, 400, 500, 600, 700};

TEST(SpectrumBySpeed, PassesThroughWhatWasRecorded) {
  for (const auto& sound : {machine, straight}) {
    const SpectrumBySpeed told = told_of(sound, seven);
    for (const double speed : seven) {
      EXPECT_TRUE(distance(told.at(speed).mean, sound(speed)) <= 1e-9) << speed;
      EXPECT_TRUE(std::abs(told.at(speed).deviation[5] - (1 + 0.001 * speed)) <= 1e-12);
    }
  }
}

TEST(SpectrumBySpeed, TellsTonesThatMoveThroughResonancesThatDoNot) {
  const SpectrumBySpeed told = told_of(machine, seven);
  EXPECT_EQ(told.way(), Way::source_and_filter);
  for (const double speed : {250.0, 350.0, 450.0, 550.0, 650.0}) {
    const std::vector<double> half = [&] {
      std::vector<double> mean = machine(speed - 50);
      const std::vector<double> above = machine(speed + 50);
      for (size_t b = 0; b < mean.size(); ++b) {
        mean[b] = 0.5 * (mean[b] + above[b]);
      }
      return mean;
    }();
    EXPECT_TRUE(distance(told.at(speed).mean, machine(speed)) <= 0.5 * distance(half, machine(speed))) << speed;
  }
  EXPECT_TRUE(distance(told.at(740).mean, machine(740)) <= 1.0);
}

TEST(SpectrumBySpeed, TakesLinesWhereTheyTellMore) {
  const SpectrumBySpeed told = told_of(straight, seven);
  EXPECT_EQ(told.way(), Way::lines);
  EXPECT_TRUE(told.error() <= 1e-9);
  for (const double speed : {60.0, 150.0, 333.0, 760.0}) {
    EXPECT_TRUE(distance(told.at(speed).mean, straight(speed)) <= 1e-9) << speed;
  }
}

TEST(SpectrumBySpeed, ErrorsAreThoseOfEachSpeedToldByTheOthers) {
  const std::vector<double> speeds = {100, 200, 400};
  const SpectrumBySpeed told = told_of(bent, speeds);
  ASSERT_EQ(told.way(), Way::lines);
  ASSERT_EQ(told.errors().size(), 3U);
  double squares = 0;
  for (size_t out = 0; out < 3; ++out) {
    std::vector<double> others = speeds;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(out));
    std::vector<double> expected = bent(speeds[out]);
    const std::vector<double> mean = told_of(bent, others).at(speeds[out]).mean;
    for (size_t b = 0; b < expected.size(); ++b) {
      expected[b] -= mean[b];
      squares += expected[b] * expected[b] / static_cast<double>(3 * expected.size());
    }
    EXPECT_TRUE(distance(told.errors()[out], expected) <= 1e-9) << speeds[out];
  }
  EXPECT_TRUE(squares > 0 && std::abs(told.error() - std::sqrt(squares)) <= 1e-9);
}

TEST(SpectrumBySpeed, OfTwoSpeedsThereAreLinesAndNoErrors) {
  const SpectrumBySpeed told = told_of(machine, {200, 300});
  EXPECT_EQ(told.way(), Way::lines);
  EXPECT_TRUE(told.errors().empty());
  EXPECT_EQ(told.error(), 0);
  EXPECT_TRUE(std::isfinite(told.at(1000).mean[3]) && std::isfinite(told.at(1).mean[3]));
}

TEST(SpectrumBySpeed, FarBeyondTheRecordedSpeedsItStops) {
  const SpectrumBySpeed lines = told_of(straight, {100, 200, 300}), filter = told_of(machine, seven);
  ASSERT_EQ(lines.way(), Way::lines);
  EXPECT_TRUE(distance(lines.at(1e6).mean, lines.at(400).mean) <= 1e-9);
  EXPECT_TRUE(distance(lines.at(-1e6).mean, lines.at(0).mean) <= 1e-9);
  ASSERT_EQ(filter.way(), Way::source_and_filter);
  for (const double speed : {0.0, -50.0, 1e-300}) {
    EXPECT_TRUE(distance(filter.at(speed).mean, filter.at(50).mean) <= 1e-9) << speed;
  }
  EXPECT_TRUE(distance(filter.at(1e9).mean, filter.at(1400).mean) <= 1e-9);
}

TEST(SpectrumBySpeed, DeviationsKeepToTheRecordedOnesBeyondThem) {
  const SpectrumBySpeed told({100, 200}, {moments(straight(100), 1), moments(straight(200), 4)}, centres());
  EXPECT_TRUE(std::abs(told.at(150).deviation[0] - 2) <= 1e-12);
  EXPECT_TRUE(std::abs(told.at(50).deviation[0] - 1) <= 1e-12);
  EXPECT_TRUE(std::abs(told.at(300).deviation[0] - 4) <= 1e-12);
  const SpectrumBySpeed silent({100, 200}, {moments(straight(100), 0), moments(straight(200), 4)}, centres());
  EXPECT_TRUE(std::abs(silent.at(100).deviation[0] - 0.01) <= 1e-12);
}

TEST(SpectrumBySpeed, SpeedsMayBeNegativeAndMayPassZero) {
  std::vector<double> backwards;
  for (auto speed = seven.rbegin(); speed != seven.rend(); ++speed) {
    backwards.push_back(-*speed);
  }
  const SpectrumBySpeed forth = told_of(machine, seven), back = told_of(machine, backwards);
  EXPECT_EQ(back.way(), Way::source_and_filter);
  EXPECT_TRUE(distance(forth.at(340).mean, back.at(-340).mean) <= 1e-6);
  const SpectrumBySpeed both({-100, 0, 100}, {moments(straight(-100)), moments(straight(0)), moments(straight(100))},
                             centres());
  EXPECT_EQ(both.way(), Way::lines);
  EXPECT_TRUE(distance(both.at(-50).mean, straight(-50)) <= 1e-9);
}

}  // namespace
}  // namespace evenflow::train
