#include "train/detect/operating_points.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace evenflow::train {
namespace {

using ::testing::HasSubstr;

io::ModelData model_of(std::vector<double> trained, const std::vector<double>& estimates) {
  io::ModelData model;
  model.condition.names = {"velocity_mm_s"};
  model.condition.training_values = {std::move(trained)};
  if (!estimates.empty()) {
    model.normal.calibration.emplace();
    model.normal.calibration->clips = static_cast<int64_t>(estimates.size()) - 1;
    model.normal.calibration->estimate = estimates;  // the last is a warped copy, which tells nothing here
  }
  return model;
}

std::string fault(const TrainedOperatingPoints& points, double value) {
  return points.fault_of(std::vector<double>{value});
}

TEST(TrainedOperatingPoints, AreThoseNearWhichNormalEstimatesLie) {
  const TrainedOperatingPoints points(model_of({100, 300}, {95, 104, 305, 292, 200}));
  EXPECT_TRUE(points.estimated());
  EXPECT_EQ(points.parameters().front().tolerance, 8.0);  // of fewer than 99 clips, the furthest
  EXPECT_EQ(fault(points, 100), "");
  EXPECT_EQ(fault(points, 308), "");
  EXPECT_EQ(fault(points, 92), "");
  EXPECT_THAT(fault(points, 91.9), HasSubstr("below what was trained, 100 to 300"));
  EXPECT_THAT(fault(points, 320), HasSubstr("above"));
  EXPECT_THAT(fault(points, 200), HasSubstr("away from"));
  EXPECT_EQ(fault(points, std::numeric_limits<double>::quiet_NaN()), "");
}

TEST(TrainedOperatingPoints, OfManyClipsAHundredthMayLieFurther) {
  std::vector<double> estimates(199, 101.0);
  estimates[0] = 180.0;
  estimates.push_back(0.0);
  EXPECT_EQ(TrainedOperatingPoints(model_of({100, 300}, estimates)).parameters().front().tolerance, 1.0);
}

TEST(TrainedOperatingPoints, WhatNewClipsSayHoldsIfItIsMore) {
  io::ModelData model = model_of({100, 300}, {95, 104, 305, 292, 200});
  model.conformal.emplace().estimate_distance = {{1, 3, 21}};
  EXPECT_EQ(TrainedOperatingPoints(model).parameters().front().tolerance, 21.0);
  model.conformal->estimate_distance = {{1, 3, 7}};
  EXPECT_EQ(TrainedOperatingPoints(model).parameters().front().tolerance, 8.0);
  model.conformal->estimate_distance = {std::vector<double>(99, 2.0)};  // enough to do without the others
  EXPECT_EQ(TrainedOperatingPoints(model).parameters().front().tolerance, 2.0);
  model.normal.calibration.reset();
  model.conformal->estimate_distance = {{1, 3, 7}};
  EXPECT_EQ(TrainedOperatingPoints(model).parameters().front().tolerance, 7.0);
}

TEST(EstimateDistances, AreOfClipsKnownToBeAtATrainedOperatingPoint) {
  io::ConditionData condition;
  condition.names = {"velocity_mm_s"};
  condition.training_values = {{100, 300}};
  const std::vector<std::string> columns = {"load_kg", "velocity_mm_s"};
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<ClipScore> clips;
  const auto add = [&](double velocity, double estimate) {
    ClipScore& clip = clips.emplace_back();
    clip.clip.parameter = {5, velocity};
    clip.estimate = {estimate};
  };
  add(300, 320);
  add(100, 104);
  add(100, 260);  // far from 100, but near 300
  add(200, 205);  // not trained
  add(nan, 205);  // not known
  add(100, nan);
  EXPECT_EQ(estimate_distances(condition, {columns, {}}, clips), (std::vector<std::vector<double>>{{4, 20, 40}}));
  EXPECT_TRUE(estimate_distances(condition, {columns, {}}, std::span(clips).subspan(3)).empty());
  EXPECT_TRUE(estimate_distances({}, {columns, {}}, clips).empty());
}

TEST(TrainedOperatingPoints, WithoutEstimatesAQuarterOfTheNarrowestGap) {
  EXPECT_EQ(TrainedOperatingPoints(model_of({100, 200, 400}, {})).parameters().front().tolerance, 25.0);
  EXPECT_EQ(TrainedOperatingPoints(model_of({100}, {})).parameters().front().tolerance, 25.0);
}

TEST(TrainedOperatingPoints, AModelWithoutEstimatesIsEverywhereAtHome) {
  const TrainedOperatingPoints points{io::ModelData{}};
  EXPECT_FALSE(points.estimated());
  EXPECT_EQ(points.fault_of({}), "");
}

}  // namespace
}  // namespace evenflow::train
