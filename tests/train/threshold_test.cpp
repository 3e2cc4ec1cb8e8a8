// The gamma fit against SciPy, its quantile against 40 digits (tests/golden/metrics), and the degenerate cases.
#include "train/detect/threshold.h"

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
#include "train/statistics/gamma_fit.h"
#include "train/statistics/metrics.h"
#include "train/statistics/random.h"

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

std::string fit_error(const Doubles& scores, io::ThresholdMethod method = io::ThresholdMethod::gamma) {
  io::ScoreSettings settings;
  settings.threshold = method;
  try {
    fit_threshold({scores, {}}, settings, "score_zc");
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
    if (!(std::abs(got / x - 1.0) <= 1e-12)) {
      ADD_FAILURE() << c << " got " << got << ", off by " << got / x - 1.0;
    }
  }
}

TEST(GammaFit, QuantileAgreesWithSciPy) {
  int compared = 0;
  for (const auto& c : golden_fits("fits")) {
    const auto kind = c.at("kind").get<std::string>();
    if (kind == "fails") {
      continue;
    }
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
    if (!(std::abs(excess) <= 1e-3)) {
      ADD_FAILURE() << c.at("name") << ": " << excess << " nats from SciPy's";
    }
  }
  EXPECT_GE(compared, 10);
}

TEST(GammaFit, MendsWhereSciPyGivesUp) {
  int mended = 0;
  for (const auto& c : golden_fits("fits")) {
    if (c.at("kind").get<std::string>() != "fails") {
      continue;
    }
    ++mended;
    const auto name = c.at("name").get<std::string>();
    const auto data = c.at("data").get<Doubles>();
    const GammaFit fit = fit_gamma(data);
    const double nll = negative_log_likelihood(fit, data);
    if (!(nll < c.at("nll").get<double>() - 1.0)) {
      ADD_FAILURE() << name << ": " << nll << ", SciPy " << c.at("nll");
    }
    // The best gamma of left-skewed scores is its limit, the normal distribution.
    double mean = 0.0, variance = 0.0;
    for (const double value : data) {
      mean += value / static_cast<double>(data.size());
    }
    for (const double value : data) {
      variance += (value - mean) * (value - mean) / static_cast<double>(data.size());
    }
    const double normal_nll =
        0.5 * static_cast<double>(data.size()) * (std::log(2.0 * std::numbers::pi * variance) + 1.0);
    if (!(std::abs(nll - normal_nll) <= 0.5)) {
      ADD_FAILURE() << name << ": " << nll << ", normal " << normal_nll;
    }
    const double at_90 = mean + 1.2815515655446004 * std::sqrt(variance), got = gamma_quantile(fit, 0.9);
    if (!(std::abs(got - at_90) <= 0.01 * std::sqrt(variance))) {
      ADD_FAILURE() << name << ": " << got << ", " << at_90;
    }
  }
  EXPECT_GE(mended, 3);
}

TEST(Threshold, RecordsWhatItIs) {
  const auto data = golden_fits("fits").at(0).at("data").get<Doubles>();
  io::ScoreSettings settings;
  const auto gamma = fit_threshold({data, {}}, settings, "nll").data;
  EXPECT_EQ(gamma.score, "nll");
  EXPECT_EQ(gamma.method, "gamma");
  EXPECT_EQ(gamma.quantile, 0.9);
  ASSERT_EQ(gamma.gamma.size(), 3u);
  EXPECT_EQ(gamma.value, gamma_quantile({gamma.gamma[0], gamma.gamma[1], gamma.gamma[2]}, 0.9));
  settings.threshold = io::ThresholdMethod::quantile;
  settings.threshold_quantile = 0.75;
  const auto plain = fit_threshold({data, {}}, settings, "nll").data;
  EXPECT_EQ(plain.method, "quantile");
  EXPECT_EQ(plain.value, quantile(data, 0.75));
  EXPECT_TRUE(plain.gamma.empty());
}

TEST(Threshold, RefusesDegenerateScores) {
  EXPECT_THAT(fit_error({}), testing::AllOf(testing::HasSubstr("score_zc"), testing::HasSubstr("no score")));
  EXPECT_THAT(fit_error({1}), testing::HasSubstr("a single score"));
  EXPECT_THAT(fit_error(Doubles(50, 7.25)), testing::HasSubstr("7.25"));
  EXPECT_THAT(fit_error(Doubles(50, not_a_number)), testing::HasSubstr("score 0 of 50 is nan"));
  EXPECT_THAT(fit_error({1, 2, 3, 4, INFINITY}), testing::HasSubstr("score 4 of 5 is inf"));
  EXPECT_THAT(fit_error({}, io::ThresholdMethod::quantile), testing::HasSubstr("no score"));
  EXPECT_THAT(fit_error({1, not_a_number}, io::ThresholdMethod::quantile), testing::HasSubstr("nan"));
  EXPECT_THAT(fit_error({3}, io::ThresholdMethod::quantile), testing::HasSubstr("a single score"));
}

TEST(Threshold, RefusesWrongSettings) {
  const Doubles data = {1, 2, 3, 4, 5, 7};
  io::ScoreSettings settings;
  for (const double q : {0.0, 1.0, not_a_number}) {
    settings.threshold_quantile = q;
    EXPECT_THROW(fit_threshold({data, {}}, settings, "nll"), io::UsageError);
  }
}

TEST(Threshold, SmallAndTwoValuedSetsGiveAFiniteOne) {
  for (const Doubles& data :
       {Doubles{1, 2, 3, 4}, Doubles{1, 1, 1, 2}, Doubles{0, 0, 0, 0, 1, 1}, Doubles{-4, -3, -2, 5}}) {
    const auto threshold = fit_threshold({data, {}}, {}, "nll").data;
    EXPECT_TRUE(std::isfinite(threshold.value)) << testing::PrintToString(data);
  }
}

TEST(ThresholdByValue, IsThatOfTheScoreItIsOfAndOfNoOther) {
  io::ScoreSettings settings;
  settings.threshold = io::ThresholdMethod::value;
  settings.score = "nll";
  settings.threshold_value = 3.5;
  const FittedThreshold given = fit_threshold({{1, 2, 3, 4}, {90, 91, 92}}, settings, "nll");
  EXPECT_EQ(given.data.method, "value");
  EXPECT_EQ(given.data.value, 3.5);
  EXPECT_EQ(given.data.above, 4);
  EXPECT_EQ(given.data.clips, 7);
  EXPECT_TRUE(given.why.empty());
  EXPECT_EQ(fit_threshold({{1, 2, 3, 4}, {}}, settings, "score_zc").data.value,
            fit_threshold({{1, 2, 3, 4}, {}}, {}, "score_zc").data.value);
}

// ---- few scores, and fits that are not to be trusted

FittedThreshold fitted(const Doubles& training, const Doubles& held_out = {},
                       io::ThresholdMethod method = io::ThresholdMethod::gamma) {
  io::ScoreSettings settings;
  settings.threshold = method;
  return fit_threshold({training, held_out}, settings, "nll");
}

Doubles gamma_scores(size_t n, double shape, double offset) {
  // Quantiles at the plotting positions: a sample that is as a gamma distribution should be.
  Doubles scores;
  for (size_t i = 0; i < n; ++i) {
    scores.push_back(gamma_quantile({shape, offset, 30.0}, (static_cast<double>(i) + 0.5) / static_cast<double>(n)));
  }
  return scores;
}

TEST(FewScores, NineTakeTheLargest) {
  const Doubles nine = {9, 1, 5, 3, 7, 2, 8, 4, 6};
  const FittedThreshold threshold = fitted(nine);
  EXPECT_EQ(threshold.data.method, "rank");
  EXPECT_EQ(threshold.data.value, 9.0);
  EXPECT_EQ(threshold.data.clips, 9);
  EXPECT_EQ(threshold.data.above, 0);
  EXPECT_TRUE(threshold.data.gamma.empty());
  EXPECT_THAT(threshold.why, testing::HasSubstr("9 scores are too few for a gamma fit"));
  Doubles nineteen;
  for (int i = 1; i <= 19; ++i) {
    nineteen.push_back(i);
  }
  EXPECT_EQ(fitted(nineteen).data.value, 18.0);
}

TEST(FewScores, FewerTakeThePredictionBoundOfANormalSpread) {
  // t at 0.9 of 1, 2 and 7 degrees of freedom (tables): 3.0776835, 1.8856181, 1.4149239.
  const FittedThreshold two = fitted({1, 3});
  EXPECT_EQ(two.data.method, "normal");
  EXPECT_NEAR(two.data.value, 2 + 3.0776835 * std::sqrt(2.0) * std::sqrt(1.5), 1e-6);
  EXPECT_NEAR(fitted({1, 2, 3}).data.value, 2 + 1.8856181 * std::sqrt(4.0 / 3), 1e-6);
  const Doubles eight = {1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_NEAR(fitted(eight).data.value, 4.5 + 1.4149239 * std::sqrt(6.0) * std::sqrt(1.125), 1e-6);
}

// What the rules promise: of new clips, a tenth above at most (rank), a tenth (normal, where scores are normal).
TEST(FewScores, KeepsItsPromiseToNewClips) {
  for (const int n : {2, 4, 8, 9, 14, 19}) {
    int above = 0;
    constexpr int trials = 20000;
    for (int trial = 0; trial < trials; ++trial) {
      Doubles scores;
      for (int i = 0; i <= n; ++i) {
        scores.push_back(
            random_normal(static_cast<uint64_t>(n), static_cast<uint64_t>(trial), static_cast<uint64_t>(i)));
      }
      const double next = scores.back();
      scores.pop_back();
      above += next > fitted(scores).data.value ? 1 : 0;
    }
    // held_out_higher never applies; four standard errors of a share of 0.1.
    EXPECT_LE(above, 0.1 * trials + 4 * std::sqrt(0.09 * trials)) << n;
    EXPECT_GE(above, (n == 14 ? 0.06 : 0.09) * trials) << n;
  }
}

TEST(GammaThreshold, IsUsedWhereItHolds) {
  const FittedThreshold threshold = fitted(gamma_scores(84, 6.0, 8000.0));
  EXPECT_EQ(threshold.data.method, "gamma");
  EXPECT_EQ(threshold.why, "");
  EXPECT_EQ(threshold.data.clips, 84);
  EXPECT_NEAR(static_cast<double>(threshold.data.above), 8.4, 1.5);
}

TEST(GammaThreshold, GivesWayWhereItHasCollapsed) {
  const FittedThreshold threshold = fitted(gamma_scores(60, 0.3, 100.0));
  EXPECT_NE(threshold.data.method, "gamma");
  EXPECT_THAT(threshold.why, testing::HasSubstr("collapsed onto the smallest score"));
  EXPECT_EQ(threshold.data.method, "rank");
  EXPECT_EQ(threshold.data.above, 60 - 55);
}

TEST(GammaThreshold, GivesWayWhereScoresAreSkewedToTheLeft) {
  Doubles scores = gamma_scores(84, 4.0, 0.0);
  for (double& score : scores) {
    score = 3000.0 - score;
  }
  const FittedThreshold threshold = fitted(scores);
  EXPECT_EQ(threshold.data.method, "rank");
  EXPECT_EQ(threshold.data.above, 84 - 77);
  EXPECT_THAT(threshold.why, testing::HasSubstr("not skewed to the right"));
}

// Whatever the scores: no threshold of 60 or 200 that ever so many of them lie above.
TEST(GammaThreshold, NeverContradictsItsOwnScores) {
  for (const int n : {60, 200}) {
    for (const int share : {2, 3, 5, 7, 8, 15}) {
      Doubles scores;
      for (int i = 0; i < n; ++i) {
        scores.push_back(100.0 + 0.01 * i + (i % share == 0 ? 1000.0 : 0.0));
      }
      const FittedThreshold threshold = fitted(scores);
      EXPECT_LE(static_cast<double>(threshold.data.above), 0.1 * n + 2.5 * std::sqrt(0.09 * n))
          << n << " " << share << " " << threshold.data.method;
    }
  }
}

TEST(GammaThreshold, AMillionthOfNoiseMovesNoThresholdFar) {
  for (const uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    for (const size_t n : {20U, 31U, 84U}) {
      Doubles scores, moved;
      for (size_t i = 0; i < n; ++i) {
        const double normal = random_normal(seed, n, i);
        scores.push_back(7600.0 + 150.0 * (seed % 2 == 0 ? normal : -std::exp(0.6 * normal)));
        moved.push_back(scores.back() * (1.0 + 1e-6 * random_normal(seed + 100, n, i)));
      }
      const FittedThreshold a = fitted(scores), b = fitted(moved);
      EXPECT_TRUE(std::abs(a.data.value - b.data.value) <= 0.05 * 150.0)
          << seed << " " << n << ": " << a.data.method << " " << a.data.value << ", " << b.data.method << " "
          << b.data.value;
    }
  }
}

TEST(HeldOutScores, GiveTheLevelWhereTrainingScoresAreTooLow) {
  const Doubles training = {10, 11, 12, 13, 14, 15, 16};
  const FittedThreshold one = fitted(training, {40});
  EXPECT_EQ(one.data.method, "normal");
  EXPECT_GT(one.data.value, 40.0);
  EXPECT_THAT(one.why, testing::HasSubstr("the held-out clip scores 27 higher than those trained on"));
  EXPECT_EQ(one.data.clips, 8);
  EXPECT_EQ(one.data.above, 0);
  Doubles many, held_out;
  for (int i = 0; i < 90; ++i) {
    many.push_back(100 + 0.1 * i);
  }
  for (int i = 0; i < 10; ++i) {
    held_out.push_back(200 + i);
  }
  const FittedThreshold ranked = fitted(many, held_out);
  EXPECT_EQ(ranked.data.method, "rank");
  EXPECT_TRUE(ranked.of_held_out && one.of_held_out);
  EXPECT_EQ(ranked.rests_on, 10);
  EXPECT_EQ(one.rests_on, 1);
  EXPECT_EQ(ranked.data.value, 209.0);  // the tenth of ten: 11 times 0.9 is 9.9
  const FittedThreshold level = fitted(training, {14, 12});
  EXPECT_EQ(level.why.find("held-out"), std::string::npos) << level.why;
  EXPECT_FALSE(level.of_held_out);
  EXPECT_EQ(level.rests_on, 9);
}

TEST(QuantileThreshold, GivesWayWhereTooFewAreHeldOut) {
  Doubles training, held_out;
  for (int i = 0; i < 40; ++i) {
    training.push_back(i);
  }
  for (int i = 0; i < 9; ++i) {
    held_out.push_back(4 * i);
  }
  EXPECT_EQ(fitted(training, held_out, io::ThresholdMethod::quantile).data.value, quantile(held_out, 0.9));
  EXPECT_EQ(fitted(training, held_out, io::ThresholdMethod::quantile).rests_on, 9);
  held_out.resize(3);
  const FittedThreshold few = fitted(training, held_out, io::ThresholdMethod::quantile);
  EXPECT_EQ(few.data.method, "rank");
  EXPECT_THAT(few.why, testing::HasSubstr("3 held-out clips are too few for a quantile of 0.9"));
}

}  // namespace
}  // namespace evenflow::train
