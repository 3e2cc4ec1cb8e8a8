// Operating points told from settings and from readings, and which clips count as seen.
#include "train/statistics/seen.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace evenflow::train {
namespace {

using Values = std::vector<double>;
constexpr Familiarity seen = Familiarity::seen, unseen = Familiarity::unseen, unknown = Familiarity::unknown;

TEST(OperatingPoints, SettingsStayApart) {
  for (const Values& values : {Values{100, 200, 300, 400, 500, 600, 700},
                               Values{6, 8, 10},
                               Values{1, 2, 5, 10, 20, 50, 100},
                               Values{0, 1, 10, 100},
                               Values{25, 50, 60, 70},
                               Values{3, 900},
                               Values{0, 1, 100},
                               Values{1, 10, 100, 1000},
                               Values{0, 0.1, 1, 10, 100},
                               Values{1475, 1500, 2950, 3000},
                               Values{100, 110, 120, 1000, 1010, 1020},
                               Values{1450, 1475, 1500, 2900, 2925, 2950},
                               Values{-1, 0, 1},
                               Values{7},
                               Values{1400, 1550, 1650, 1850, 2000},
                               Values{0.1, 0.2, 0.3, 0.4, 0.5, 5.0},
                               Values{1, 2, 4, 7, 8, 100},
                               Values{},
                               Values{1400, 1500, 1600, 1700, 1800, 1900, 2000},
                               Values{1475, 1500, 2950, 3000, 4400, 4500},
                               Values{-1, 0, 1, 50, 51, 52},
                               Values{-2, -1, 0, 2, 3, 50, 51}}) {
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
           Case{{100.01, 100.02, 100.09, 200.01, 200.02, 200.04, 299.99, 300, 300.01}, 3},  // not one, one and two
           Case{{599, 600, 1200, 1201, 1800, 1801}, 3},
           Case{{99, 100, 102, 199, 201, 202}, 2},
           Case{{10.1, 9.9, 10.02, 20.3, 19.9, 20.1, 1001, 998, 1003.3}, 1 + 2},
       }) {
    EXPECT_EQ(OperatingPoints(c.values).size(), c.points) << ::testing::PrintToString(c.values);
  }
}

TEST(OperatingPoints, SeenIsWithinATenthOfTheSmallestGap) {
  const OperatingPoints settings(Values{700, 100, 300, 100, std::nan("")});
  EXPECT_EQ(settings.tolerance(), 20.0);
  EXPECT_EQ(settings.text(), "100, 300 and 700");
  for (const double v : {100.0, 80.0, 120.0, 319.9, 700.0}) {
    EXPECT_EQ(settings.of(v), seen) << v;
  }
  for (const double v : {79.9, 121.0, 200.0, 500.0, 721.0, -100.0}) {
    EXPECT_EQ(settings.of(v), unseen) << v;
  }
  EXPECT_EQ(settings.of(std::nan("")), unknown);

  const OperatingPoints readings(Values{98.8, 98.01, 99.63, 200.63, 201.7, 200.16, 299.17, 298.82, 301.12});
  EXPECT_NEAR(readings.tolerance(), 9.9, 0.3);
  for (const double v : {102.45, 100.41, 98.01, 195.0, 305.0}) {
    EXPECT_EQ(readings.of(v), seen) << v;
  }
  for (const double v : {148.15, 148.56, 252.4, 250.3, 60.0}) {
    EXPECT_EQ(readings.of(v), unseen) << v;
  }
  EXPECT_EQ(readings.nearest(190.0), 1U);
}

TEST(OperatingPoints, PlainSettingsAreNotMerged) {
  struct Case {
    Values values, unseen;
  };
  for (const Case& c : {
           Case{{10.5, 22.3, 37.1, 51, 900}, {16, 30, 60, 137}},
           Case{{0.1, 0.25, 0.7, 1.3, 100}, {0.5, 1, 5}},
           // Steps all alike and 2 % wide: settings read back precisely rather than scatter.
           Case{{1000.5, 1012.9, 1025.1, 1500.3, 1512.6, 1525}, {1006, 1018, 1506}},
           Case{{18.2, 19.7, 21.1, 22.6, 25.1, 80.1, 80.4}, {20.4, 24, 30, 50, 77}},
       }) {
    const OperatingPoints points(c.values);
    EXPECT_EQ(points.size(), c.values.size()) << ::testing::PrintToString(c.values);
    for (const double v : c.values) {
      EXPECT_EQ(points.of(v), seen) << v;
    }
    for (const double v : c.unseen) {
      EXPECT_EQ(points.of(v), unseen) << v;
    }
  }
}

TEST(OperatingPoints, ReadingsOfACoarseTachometerAreSeen) {
  const OperatingPoints rpm(Values{598, 600, 602, 1201, 1202, 1204, 1796, 1800});
  EXPECT_EQ(rpm.text(), "598 to 602, 1201 to 1204 and 1796 to 1800");
  for (const double v : {597.0, 599.0, 604.0, 1199.0, 1803.0}) {
    EXPECT_EQ(rpm.of(v), seen) << v;
  }
  for (const double v : {500.0, 700.0, 900.0, 1500.0, 1900.0}) {
    EXPECT_EQ(rpm.of(v), unseen) << v;
  }
  const OperatingPoints fine(Values{100.01, 100.02, 100.05, 200.01, 200.02, 299.99, 300, 300.01});
  for (const double v : {99.98, 200.0, 300.05}) {
    EXPECT_EQ(fine.of(v), seen) << v;
  }
  for (const double v : {80.0, 150.0, 250.0}) {
    EXPECT_EQ(fine.of(v), unseen) << v;
  }
}

TEST(OperatingPoints, DistinctValuesPrintApart) {
  EXPECT_EQ(OperatingPoints(Values{1e9 + 0.25, 1e9 + 0.5}).text(), "1000000000.25 and 1000000000.5");
  EXPECT_EQ(OperatingPoints(Values{1000001, 1000002, 1000004, 2000001, 2000003}).text(),
            "1000001 to 1000004 and 2000001 to 2000003");
  EXPECT_EQ(OperatingPoints(Values{0.1 + 0.2, 33.0}).text(), "0.3 and 33");
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
  for (int i = 0; i < 20000; ++i) {
    values.push_back(100.0 * (1 + i % 5) + 2.0 * std::sin(0.7 * i));
  }
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

TEST(OperatingPoints, OfACategoryAreItsNames) {
  // Codes that would be two groups of readings.
  Values codes;
  for (const int first : {0, 300}) {
    codes.insert(codes.end(), {first + 0.0, first + 1.0, first + 2.0});
  }
  std::vector<std::string> names;
  names.reserve(400);
  for (int i = 0; i < 400; ++i) {
    names.push_back(std::to_string(i) + "x");
  }
  const OperatingPoints points(codes, names);
  ASSERT_EQ(points.size(), 6U);
  EXPECT_EQ(to_text(points[5]), "302x");
  EXPECT_EQ(points.text(), "0x, 1x, 2x, 300x, 301x and 302x");
  EXPECT_EQ(points.tolerance(), 0.0);
  EXPECT_EQ(points.of(301), seen);
  EXPECT_EQ(points.of(303), unseen);
  EXPECT_EQ(points.of(std::nan("")), unknown);
  EXPECT_EQ(to_text(points.of_others({7, 300})[0]), "7x");
  EXPECT_FALSE(OperatingPoints(codes, {}).are_categories());
}

TEST(Combinations, AreUnseenWhereEachValueIsSeenButNeverTogether) {
  const double nan = std::nan("");
  const std::vector<std::string> names = {"speed", "tool", "untrained"};
  const TrainingPoints training = {{"speed", OperatingPoints(Values{100, 200})},
                                   {"tool", OperatingPoints(Values{0, 1}, {"A", "B", "C"})}};
  const std::vector<Values> rows = {{100, 0, 1}, {200, 0, 2}, {100, 1, 3}, {200, nan, 4}};
  const Combinations combinations(rows, names, training);
  EXPECT_EQ(combinations.of(Values{100, 1, 9}), seen);
  EXPECT_EQ(combinations.of(Values{200, 1, 9}), unseen);
  EXPECT_EQ(combinations.of(Values{201, 1, 9}), unseen) << "within the tolerance of a seen value";
  EXPECT_EQ(combinations.of(Values{150, 1, 9}), unknown) << "a value that is unseen by itself";
  EXPECT_EQ(combinations.of(Values{100, 2, 9}), unknown);
  EXPECT_EQ(combinations.of(Values{200, nan, 9}), unknown) << "one known value is no combination";
  EXPECT_EQ(Combinations().of(Values{100, 1, 9}), unknown);
}

}  // namespace
}  // namespace evenflow::train
