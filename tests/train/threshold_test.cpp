// The gamma fit against SciPy, its quantile against 40 digits (tests/golden/metrics), and the degenerate cases.
#include "train/threshold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string>
#include <vector>

#include "io/error.h"
#include "train/metrics.h"

namespace evenflow::train {
namespace {

using Doubles = std::vector<double>;
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// A list of golden cases; by value, so that a loop may run over it.
std::vector<nlohmann::json> golden_fits(const char* list) {
  std::ifstream file(EVENFLOW_GOLDEN_DIR "/metrics/gamma.json");
  return nlohmann::json::parse(file).at(list).get<std::vector<nlohmann::json>>();
}

double negative_log_likelihood(const GammaFit& fit, const Doubles& data) {
  double sum = 0.0;
  for (const double value : data) {
    const double x = (value - fit.location) / fit.scale;
    sum -= (fit.shape - 1.0) * std::log(x) - x - std::lgamma(fit.shape) - std::log(fit.scale);
  }
  return sum;
}

std::string fit_error(const Doubles& scores, const std::string& method = "gamma") {
  io::ScoreSettings settings;
  settings.threshold = method;
  try {
    fit_threshold(scores, settings, "score_zc");
  } catch (const io::DataError& error) {
    return error.what();
  }
  return "no io::DataError";
}

TEST(GammaQuantile, AgreesWithFortyDigits) {
  const auto cases = golden_fits("inverse");
  ASSERT_GE(cases.size(), 30u);
  for (const auto& c : cases) {
    const double x = c.at("x");
    const double got = gamma_quantile({c.at("shape"), 0.0, 1.0}, c.at("q"));
    if (!(std::abs(got / x - 1.0) <= 1e-12)) ADD_FAILURE() << c << " got " << got << ", off by " << got / x - 1.0;
  }
}

TEST(GammaFit, QuantileAgreesWithSciPy) {
  int compared = 0;
  for (const auto& c : golden_fits("fits")) {
    const auto kind = c.at("kind").get<std::string>();
    if (kind == "fails") continue;
    ++compared;
    const auto data = c.at("data").get<Doubles>();
    const GammaFit fit = fit_gamma(data);
    for (const auto& [q, expected] : c.at("quantile").items()) {
      const double got = gamma_quantile(fit, std::stod(q)), want = expected;
      // Relative to the scores' spread too, where SciPy's search is sharp: an offset must not hide an error.
      const double spread = quantile(data, 0.9) - quantile(data, 0.1);
      const double bound = 1e-4 * (kind == "ridge" ? std::abs(want) : std::min(std::abs(want), spread));
      if (!(std::abs(got - want) <= bound)) {
        ADD_FAILURE() << c.at("name") << " at " << q << ": " << got << ", SciPy " << want;
      }
    }
    // The search's own tolerance is 1e-4 nats per simplex vertex.
    const double excess = negative_log_likelihood(fit, data) - c.at("nll").get<double>();
    if (!(std::abs(excess) <= 1e-3)) ADD_FAILURE() << c.at("name") << ": " << excess << " nats from SciPy's";
  }
  EXPECT_GE(compared, 10);
}

TEST(GammaFit, MendsWhereSciPyGivesUp) {
  int mended = 0;
  for (const auto& c : golden_fits("fits")) {
    if (c.at("kind").get<std::string>() != "fails") continue;
    ++mended;
    const auto name = c.at("name").get<std::string>();
    const auto data = c.at("data").get<Doubles>();
    const GammaFit fit = fit_gamma(data);
    const double nll = negative_log_likelihood(fit, data);
    if (!(nll < c.at("nll").get<double>() - 1.0)) ADD_FAILURE() << name << ": " << nll << ", SciPy " << c.at("nll");
    // The best gamma of left-skewed scores is its limit, the normal distribution.
    double mean = 0.0, variance = 0.0;
    for (const double value : data) mean += value / static_cast<double>(data.size());
    for (const double value : data) variance += (value - mean) * (value - mean) / static_cast<double>(data.size());
    const double normal_nll =
        0.5 * static_cast<double>(data.size()) * (std::log(2.0 * std::numbers::pi * variance) + 1.0);
    if (!(std::abs(nll - normal_nll) <= 0.5)) ADD_FAILURE() << name << ": " << nll << ", normal " << normal_nll;
    const double at_90 = mean + 1.2815515655446004 * std::sqrt(variance), got = gamma_quantile(fit, 0.9);
    if (!(std::abs(got - at_90) <= 0.01 * std::sqrt(variance))) ADD_FAILURE() << name << ": " << got << ", " << at_90;
  }
  EXPECT_GE(mended, 3);
}

TEST(Threshold, RecordsWhatItIs) {
  const auto data = golden_fits("fits").at(0).at("data").get<Doubles>();
  io::ScoreSettings settings;
  const auto gamma = fit_threshold(data, settings, "nll");
  EXPECT_EQ(gamma.score, "nll");
  EXPECT_EQ(gamma.method, "gamma");
  EXPECT_EQ(gamma.quantile, 0.9);
  ASSERT_EQ(gamma.gamma.size(), 3u);
  EXPECT_EQ(gamma.value, gamma_quantile({gamma.gamma[0], gamma.gamma[1], gamma.gamma[2]}, 0.9));
  settings.threshold = "quantile";
  settings.threshold_quantile = 0.75;
  const auto plain = fit_threshold(data, settings, "nll");
  EXPECT_EQ(plain.method, "quantile");
  EXPECT_EQ(plain.value, quantile(data, 0.75));
  EXPECT_TRUE(plain.gamma.empty());
}

TEST(Threshold, RefusesDegenerateScores) {
  EXPECT_THAT(fit_error({}), testing::AllOf(testing::HasSubstr("score_zc"), testing::HasSubstr("0 scores")));
  EXPECT_THAT(fit_error({1, 2, 3}), testing::HasSubstr("3 scores"));
  EXPECT_THAT(fit_error(Doubles(50, 7.25)), testing::HasSubstr("7.25"));
  EXPECT_THAT(fit_error(Doubles(50, not_a_number)), testing::HasSubstr("score 0 of 50 is nan"));
  EXPECT_THAT(fit_error({1, 2, 3, 4, INFINITY}), testing::HasSubstr("score 4 of 5 is inf"));
  EXPECT_THAT(fit_error({}, "quantile"), testing::HasSubstr("no values"));
  EXPECT_THAT(fit_error({1, not_a_number}, "quantile"), testing::HasSubstr("nan"));
  EXPECT_EQ(fit_error({3}, "quantile"), "no io::DataError");
}

TEST(Threshold, RefusesWrongSettings) {
  const Doubles data = {1, 2, 3, 4, 5, 7};
  io::ScoreSettings settings;
  settings.threshold = "guess";
  EXPECT_THROW(fit_threshold(data, settings, "nll"), io::UsageError);
  settings.threshold = "gamma";
  for (const double q : {0.0, 1.0, not_a_number}) {
    settings.threshold_quantile = q;
    EXPECT_THROW(fit_threshold(data, settings, "nll"), io::UsageError);
  }
}

TEST(Threshold, SmallAndTwoValuedSetsGiveAFiniteOne) {
  for (const Doubles& data :
       {Doubles{1, 2, 3, 4}, Doubles{1, 1, 1, 2}, Doubles{0, 0, 0, 0, 1, 1}, Doubles{-4, -3, -2, 5}}) {
    const auto threshold = fit_threshold(data, {}, "nll");
    EXPECT_TRUE(std::isfinite(threshold.value)) << testing::PrintToString(data);
  }
}

}  // namespace
}  // namespace evenflow::train
