// Operating points told from settings and from readings, and which clips count as seen.
#include "train/seen.h"

#include <gtest/gtest.h>

#include <cmath>

namespace evenflow::train {
namespace {

using Values = std::vector<double>;
constexpr Familiarity seen = Familiarity::seen, unseen = Familiarity::unseen, unknown = Familiarity::unknown;

TEST(OperatingPoints, SettingsStayApart) {
  for (const Values& values :
       {Values{100, 200, 300, 400, 500, 600, 700}, Values{6, 8, 10}, Values{1, 2, 5, 10, 20, 50, 100},
        Values{0, 1, 10, 100}, Values{25, 50, 60, 70}, Values{3, 900}, Values{0, 1, 100}, Values{1, 10, 100, 1000},
        Values{0, 0.1, 1, 10, 100}, Values{1475, 1500, 2950, 3000}, Values{100, 110, 120, 1000, 1010, 1020},
        Values{1450, 1475, 1500, 2900, 2925, 2950}, Values{-1, 0, 1}, Values{7}, Values{1400, 1550, 1650, 1850, 2000},
        Values{0.1, 0.2, 0.3, 0.4, 0.5, 5.0}, Values{1, 2, 4, 7, 8, 100}, Values{}}) {
    EXPECT_EQ(OperatingPoints(values).size(), values.size()) << ::testing::PrintToString(values);
  }
}

TEST(OperatingPoints, ReadingsFallIntoGroups) {
  struct Case {
    Values values;
    size_t points;
  };
  for (const Case& c : {
           Case{{98.01, 98.8, 99.63, 200.16, 200.63, 201.7, 298.82, 299.17, 301.12}, 3},
           Case{{98.01, 99.63, 200.16, 200.63, 201.7, 298.82, 299.17, 301.12}, 3},  // one was held out
           Case{{98.01, 200.16, 200.63, 298.82, 301.12}, 3},
           Case{{1498, 1501, 1503, 2990, 2997, 3004}, 2},  // whole revolutions
           Case{{-0.31, 0.02, 0.27, 9.6, 10.1, 10.4, 19.8, 20.3}, 3},
           Case{{10.1, 9.9, 10.02, 20.3, 19.9, 20.1, 1001, 998, 1003.3}, 1 + 2},
       }) {
    EXPECT_EQ(OperatingPoints(c.values).size(), c.points) << ::testing::PrintToString(c.values);
  }
}

TEST(OperatingPoints, SeenIsWithinATenthOfTheSmallestGap) {
  const OperatingPoints settings(Values{700, 100, 300, 100, std::nan("")});
  EXPECT_EQ(settings.tolerance(), 20.0);
  EXPECT_EQ(settings.text(), "100, 300 and 700");
  for (const double v : {100.0, 80.0, 120.0, 319.9, 700.0}) EXPECT_EQ(settings.of(v), seen) << v;
  for (const double v : {79.9, 121.0, 200.0, 500.0, 721.0, -100.0}) EXPECT_EQ(settings.of(v), unseen) << v;
  EXPECT_EQ(settings.of(std::nan("")), unknown);

  const OperatingPoints readings(Values{98.8, 98.01, 99.63, 200.63, 201.7, 200.16, 299.17, 298.82, 301.12});
  EXPECT_NEAR(readings.tolerance(), 9.9, 0.3);
  for (const double v : {102.45, 100.41, 98.01, 195.0, 305.0}) EXPECT_EQ(readings.of(v), seen) << v;
  for (const double v : {148.15, 148.56, 252.4, 250.3, 60.0}) EXPECT_EQ(readings.of(v), unseen) << v;
  EXPECT_EQ(readings.nearest(190.0), 1U);
}

TEST(OperatingPoints, OfOneValueOrNone) {
  const OperatingPoints one(Values{0.1 + 0.2});
  EXPECT_EQ(one.of(0.3), seen);
  EXPECT_EQ(one.of(0.31), unseen);
  const OperatingPoints close(Values{1700000000.1, 1700000000.2});
  EXPECT_EQ(close.of(1700000000.2), seen);
  EXPECT_EQ(close.of(1700000000.15), unseen);
  EXPECT_EQ(close.of(1700000000.3), unseen);
  EXPECT_EQ(OperatingPoints().of(1.0), unknown);
  EXPECT_EQ(OperatingPoints(Values{std::nan("")}).of(1.0), unknown);
}

TEST(OperatingPoints, ManyReadingsAreQuick) {
  Values values;
  for (int i = 0; i < 20000; ++i) values.push_back(100.0 * (1 + i % 5) + 2.0 * std::sin(0.7 * i));
  EXPECT_EQ(OperatingPoints(values).size(), 5U);
}

TEST(Familiarity, OfSeveralParameters) {
  const std::vector<std::string> names = {"speed", "load", "unheard_of"};
  const TrainingPoints training = {{"speed", OperatingPoints(Values{100, 200})},
                                   {"load", OperatingPoints(Values{1, 2})},
                                   {"empty", OperatingPoints()}};
  const double nan = std::nan("");
  const auto of = [&](const Values& values) { return familiarity(values, names, training); };
  EXPECT_EQ(of({100, 2, 5}), seen);
  EXPECT_EQ(of({100, 2, nan}), seen);
  EXPECT_EQ(of({150, 2, 5}), unseen);
  EXPECT_EQ(of({150, nan, 5}), unseen);
  EXPECT_EQ(of({100, nan, 5}), unknown);
  EXPECT_EQ(of({nan, nan, nan}), unknown);
  EXPECT_EQ(familiarity(Values{5}, {"unheard_of"}, training), unknown);
  EXPECT_EQ(familiarity(Values{5}, {"empty"}, training), unknown);
  EXPECT_EQ(familiarity(Values{}, {}, training), unknown);
}

}  // namespace
}  // namespace evenflow::train
