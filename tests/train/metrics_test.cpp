// Metrics against scikit-learn, NumPy and SciPy (tests/golden/metrics), and what they refuse.
#include "train/statistics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/error.h"

namespace evenflow::train {
namespace {

using Doubles = std::vector<double>;
using Ints = std::vector<int>;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// A list of golden cases; by value, so that a loop may run over it.
std::vector<nlohmann::json> golden(const char* list) {
  std::ifstream file(EVENFLOW_GOLDEN_DIR "/metrics/metrics.json");
  return nlohmann::json::parse(file).at(list).get<std::vector<nlohmann::json>>();
}

void expect_near(double value, double expected, double bound, const std::string& what) {
  if (!(std::abs(value - expected) <= bound)) {
    ADD_FAILURE() << what << ": " << value << ", expected " << expected << " within " << bound;
  }
}

template <class Call>
std::string data_error(Call&& call) {
  try {
    call();
  } catch (const io::DataError& error) {
    return error.what();
  }
  return "no io::DataError";
}

TEST(Auc, AgreesWithScikitLearn) {
  const auto cases = golden("roc");
  ASSERT_GE(cases.size(), 10u);
  for (const auto& c : cases) {
    const auto name = c.at("name").get<std::string>();
    const auto scores = c.at("scores").get<Doubles>();
    const auto labels = c.at("labels").get<Ints>();
    expect_near(auc(scores, labels), c.at("auc"), 1e-12, name);
    for (const auto& [max_fpr, expected] : c.at("pauc").items()) {
      // The standardisation divides by max_fpr, here at least 0.01.
      expect_near(partial_auc(scores, labels, std::stod(max_fpr)), expected, 1e-12, name + " at " + max_fpr);
    }
  }
}

TEST(Auc, TiesCountHalf) {
  EXPECT_EQ(auc(Doubles{1, 1, 1, 1}, Ints{0, 1, 0, 1}), 0.5);
  EXPECT_EQ(partial_auc(Doubles{1, 1, 1, 1}, Ints{0, 1, 0, 1}, 0.1), 0.5);
  EXPECT_EQ(auc(Doubles{0, 1, 1, 2}, Ints{0, 0, 1, 1}), 0.875);
}

TEST(Auc, ExtremesAndOrder) {
  EXPECT_EQ(auc(Doubles{0, 1, 2, 3}, Ints{0, 0, 1, 1}), 1.0);
  EXPECT_EQ(partial_auc(Doubles{0, 1, 2, 3}, Ints{0, 0, 1, 1}), 1.0);
  EXPECT_EQ(auc(Doubles{3, 2, 1, 0}, Ints{0, 0, 1, 1}), 0.0);
  EXPECT_EQ(auc(Doubles{-0.0, 0.0}, Ints{0, 1}), 0.5);
  EXPECT_EQ(auc(Doubles{3, 0, 2, 1}, Ints{1, 0, 1, 0}), 1.0);
}

TEST(Auc, RefusesWhatHasNoArea) {
  EXPECT_THAT(data_error([] { auc(Doubles{1, 2}, Ints{0, 0}); }), testing::HasSubstr("all 2 clips are normal"));
  EXPECT_THAT(data_error([] { partial_auc(Doubles{1, 2}, Ints{1, 1}); }), testing::HasSubstr("anomalous"));
  EXPECT_THAT(data_error([] { auc(Doubles{1, nan}, Ints{0, 1}); }), testing::HasSubstr("score 1 is nan"));
  EXPECT_THAT(data_error([] { auc(Doubles{INFINITY, 1}, Ints{0, 1}); }), testing::HasSubstr("score 0 is inf"));
  EXPECT_THAT(data_error([] { auc(Doubles{1, 2}, Ints{0, -1}); }), testing::HasSubstr("label 1 is -1"));
  EXPECT_THAT(data_error([] { auc(Doubles{1, 2, 3}, Ints{0, 1}); }), testing::HasSubstr("3 values against 2"));
  EXPECT_THAT(data_error([] { auc(Doubles{}, Ints{}); }), testing::HasSubstr("no scores"));
  for (const double bad : {0.0, -0.1, 1.5, nan}) {
    EXPECT_THROW(partial_auc(Doubles{1, 2}, Ints{0, 1}, bad), io::UsageError) << bad;
  }
}

TEST(DecisionQuality, AgreesWithScikitLearn) {
  for (const auto& c : golden("roc")) {
    const auto name = c.at("name").get<std::string>();
    const auto q = decision_quality(c.at("decisions").get<Ints>(), c.at("labels").get<Ints>());
    expect_near(q.precision, c.at("precision"), 1e-15, name);
    expect_near(q.recall, c.at("recall"), 1e-15, name);
    expect_near(q.f1, c.at("f1"), 1e-15, name);
    expect_near(q.accuracy, c.at("accuracy"), 1e-15, name);
  }
}

TEST(DecisionQuality, CountsAndEmptyRatios) {
  const auto q = decision_quality(Ints{1, 1, 0, 0, 1}, Ints{1, 0, 1, 0, 1});
  EXPECT_EQ(q.true_positives, 2);
  EXPECT_EQ(q.false_positives, 1);
  EXPECT_EQ(q.false_negatives, 1);
  EXPECT_EQ(q.true_negatives, 1);
  const auto none = decision_quality(Ints{0, 0}, Ints{0, 0});
  EXPECT_EQ(none.precision, 0.0);
  EXPECT_EQ(none.recall, 0.0);
  EXPECT_EQ(none.f1, 0.0);
  EXPECT_EQ(none.accuracy, 1.0);
  EXPECT_THAT(data_error([] { decision_quality(Ints{-1}, Ints{0}); }), testing::HasSubstr("decision 0 is -1"));
}

TEST(Pairs, AgreeWithSciPy) {
  ASSERT_GE(golden("pairs").size(), 3u);
  for (const auto& c : golden("pairs")) {
    const auto name = c.at("name").get<std::string>();
    const auto x = c.at("x").get<Doubles>();
    const auto y = c.at("y").get<Doubles>();
    // The mean's rounding, eps * 1e6 against a deviation of 1, enters squared.
    expect_near(pearson_correlation(x, y), c.at("pearson"), 1e-12, name);
    expect_near(mean_absolute_error(x, y), c.at("mean_absolute_error"), 1e-9, name);
  }
}

TEST(Pairs, UndefinedAndWrong) {
  EXPECT_TRUE(std::isnan(pearson_correlation(Doubles{1, 2, 3}, Doubles{0.1, 0.1, 0.1})));
  EXPECT_TRUE(std::isnan(pearson_correlation(Doubles{1}, Doubles{2})));
  expect_near(pearson_correlation(Doubles{1, 2, 3}, Doubles{-1, -2, -3}), -1.0, 1e-15, "opposite");
  EXPECT_THAT(data_error([] {
                pearson_correlation(Doubles{1, 2}, Doubles{1, nan});
              }),
              testing::HasSubstr("value 1 is nan"));
  EXPECT_THAT(data_error([] { mean_absolute_error(Doubles{1, 2}, Doubles{1}); }), testing::HasSubstr("against"));
}

TEST(ExpectedCalibrationError, WeighsThePartsByTheirCounts) {
  // Of 0.95 and 0.91, one of two; of 0.3, none; of 1, which is of the last part, one.
  const std::vector<double> p = {0.95, 0.91, 0.3, 1.0};
  const std::vector<int> right = {1, 0, 0, 1};
  expect_near(expected_calibration_error(p, right), (std::abs(0.95 + 0.91 + 1.0 - 2) + 0.3) / 4, 1e-12, "ten parts");
  expect_near(expected_calibration_error(p, right, 1), std::abs(3.16 - 2) / 4, 1e-12, "one part");
  const std::vector<double> sure = {1.0, 0.0};
  const std::vector<int> so = {1, 0}, other = {0, 1};
  EXPECT_EQ(expected_calibration_error(sure, so), 0.0);
  EXPECT_EQ(expected_calibration_error(sure, other), 1.0);
  const std::vector<double> no = {0.5, 1.5};
  EXPECT_THROW(expected_calibration_error(no, so), io::DataError);
  EXPECT_THROW(expected_calibration_error(p, so), io::DataError);
  EXPECT_THROW(expected_calibration_error({}, {}), io::DataError);
}

TEST(HarmonicMean, ZeroNegativeNan) {
  expect_near(harmonic_mean(Doubles{0.5, 1.0, 0.25}), 3.0 / 7.0, 1e-15, "three");
  EXPECT_EQ(harmonic_mean(Doubles{0.5, 0.0}), 0.0);
  EXPECT_THAT(data_error([] { harmonic_mean(Doubles{0.5, -1}); }), testing::HasSubstr("value 1 is -1"));
  EXPECT_THAT(data_error([] { harmonic_mean(Doubles{nan}); }), testing::HasSubstr("nan"));
  EXPECT_THAT(data_error([] { harmonic_mean(Doubles{}); }), testing::HasSubstr("no values"));
}

TEST(Quantile, AgreesWithNumpy) {
  ASSERT_GE(golden("quantiles").size(), 5u);
  for (const auto& c : golden("quantiles")) {
    const auto values = c.at("values").get<Doubles>();
    for (const auto& [q, expected] : c.at("quantile").items()) {
      expect_near(quantile(values, std::stod(q)), expected, 1e-13, std::to_string(values.size()) + " at " + q);
    }
  }
  EXPECT_THROW(quantile(Doubles{1}, 1.1), io::UsageError);
  EXPECT_THROW(quantile(Doubles{1}, nan), io::UsageError);
  EXPECT_THAT(data_error([] { quantile(Doubles{1, nan}, 0.5); }), testing::HasSubstr("value 1 is nan"));
}

}  // namespace
}  // namespace evenflow::train
