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
