// Intervals against SciPy and a bootstrap in NumPy (tests/golden/metrics), and what must hold exactly.
#include "train/statistics/intervals.h"

#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>

#include "io/error.h"
#include "train/statistics/metrics.h"

namespace evenflow::train {
namespace {

using Scores = std::vector<double>;
using Labels = std::vector<int>;

nlohmann::json golden_intervals() {
  std::ifstream file(std::string(EVENFLOW_GOLDEN_DIR) + "/metrics/intervals.json");
  return nlohmann::json::parse(file);
}

TEST(MeanInterval, IsStudentsT) {
  const nlohmann::json golden = golden_intervals();
  ASSERT_GE(golden.at("means").size(), 12U);
  for (const auto& c : golden.at("means")) {
    const Interval interval = mean_interval(c.at("values").get<Scores>(), c.at("confidence"));
    EXPECT_NEAR(interval.value, c.at("mean"), 1e-11);
    EXPECT_NEAR(interval.low, c.at("low"), 1e-9);
    EXPECT_NEAR(interval.high, c.at("high"), 1e-9);
  }
}

TEST(MeanInterval, OfOneRunIsUnknown) {
  const Interval interval = mean_interval(Scores{7});
  EXPECT_EQ(interval.value, 7);
  EXPECT_TRUE(std::isnan(interval.low));
  EXPECT_TRUE(std::isnan(interval.high));
}

TEST(MeanInterval, SaysWhatIsWrong) {
  EXPECT_THROW(mean_interval(Scores{}), io::DataError);
  EXPECT_THROW(mean_interval(Scores{1, std::nan("")}), io::DataError);
  for (const double confidence : {0.0, 1.0, 95.0, std::nan("")}) {
    EXPECT_THROW(mean_interval(Scores{1, 2}, confidence), io::UsageError) << confidence;
  }
}

TEST(BoundedMeanInterval, IsCutAtTheBounds) {
  const Scores near_one = {0.99, 0.97, 1.0, 0.7, 0.98};
  const Interval free = mean_interval(near_one), cut = bounded_mean_interval(near_one, 0, 1);
  EXPECT_GT(free.high, 1.0);
  EXPECT_EQ(cut.high, 1.0);
  EXPECT_EQ(cut.low, free.low);
  EXPECT_EQ(cut.value, free.value);
  EXPECT_EQ(bounded_mean_interval(Scores{0.01, 0.3, 0.0}, 0, 1).low, 0.0);
  EXPECT_EQ(bounded_mean_interval(Scores{1, 1}, 0, 1).low, 1.0);
  EXPECT_TRUE(std::isnan(bounded_mean_interval(Scores{0.5}, 0, 1).low));
  EXPECT_THROW(bounded_mean_interval(Scores{0.5, 1.1}, 0, 1), io::DataError);
}

// A percentile of 4000 resamples has a standard error of a few per cent of the interval's half width.
TEST(Bootstrap, FindsTheIntervalsOfManyResamples) {
  const nlohmann::json golden = golden_intervals();
  ASSERT_EQ(golden.at("bootstrap").size(), 3U);
  for (const auto& c : golden.at("bootstrap")) {
    const Scores a = c.at("a"), b = c.at("b");
    const Labels labels = c.at("labels");
    const BootstrapSettings settings{.resamples = 4000};
    const auto expect_near = [&](const Interval& interval, const nlohmann::json& expected) {
      const double low = expected.at("low");
      const double high = expected.at("high");
      const double tolerance = 0.08 * (high - low);
      EXPECT_NEAR(interval.low, low, tolerance) << c.at("name");
      EXPECT_NEAR(interval.high, high, tolerance) << c.at("name");
    };
    const Interval single = auc_interval({a}, labels, settings);
    EXPECT_DOUBLE_EQ(single.value, auc(a, labels));
    expect_near(single, c.at("auc"));
    const Interval difference = auc_difference({a}, {b}, labels, settings);
    EXPECT_NEAR(difference.value, c.at("difference").at("value"), 1e-12);
    expect_near(difference, c.at("difference"));
  }
}

TEST(Bootstrap, ASystemDoesNotDifferFromItself) {
  const nlohmann::json c = golden_intervals().at("bootstrap").at(0);
  const Scores a = c.at("a"), b = c.at("b");
  const Labels labels = c.at("labels");
  for (const RunScores& runs : {RunScores{a}, RunScores{a, b, b}}) {
    const Interval difference = auc_difference(runs, runs, labels, {.resamples = 50});
    EXPECT_EQ(difference.value, 0);
    EXPECT_EQ(difference.low, 0);
    EXPECT_EQ(difference.high, 0);
  }
}

TEST(Bootstrap, DoesNotDependOnTheScale) {
  const nlohmann::json c = golden_intervals().at("bootstrap").at(2);  // with ties
  const Scores a = c.at("a");
  const Labels labels = c.at("labels");
  Scores moved = a;
  for (double& score : moved) {
    score = 7600 + 50 * score;
  }
  const Interval one = auc_interval({a}, labels, {.resamples = 50});
  const Interval other = auc_interval({moved}, labels, {.resamples = 50});
  EXPECT_EQ(one.low, other.low);
  EXPECT_EQ(one.high, other.high);
}

TEST(Bootstrap, RunsThatDifferWidenTheInterval) {
  const nlohmann::json c = golden_intervals().at("bootstrap").at(0);
  const Scores good = c.at("a");
  const Labels labels = c.at("labels");
  Scores poor = good;
  for (size_t i = 0; i < poor.size(); ++i) {
    poor[i] = static_cast<double>(i % 7);
  }
  const Interval alike = auc_interval({good, good, good}, labels, {});
  const Interval mixed = auc_interval({good, good, poor}, labels, {});
  EXPECT_DOUBLE_EQ(mixed.value, (2 * auc(good, labels) + auc(poor, labels)) / 3);
  EXPECT_GT(mixed.high - mixed.low, 2 * (alike.high - alike.low));
}

TEST(Bootstrap, IsAFunctionOfItsSeed) {
  const nlohmann::json c = golden_intervals().at("bootstrap").at(1);
  const RunScores runs = {c.at("a").get<Scores>()};
  const Labels labels = c.at("labels");
  const Interval first = auc_interval(runs, labels, {.resamples = 100, .seed = 3});
  const Interval again = auc_interval(runs, labels, {.resamples = 100, .seed = 3});
  const Interval other = auc_interval(runs, labels, {.resamples = 100, .seed = 4});
  EXPECT_EQ(first.low, again.low);
  EXPECT_EQ(first.high, again.high);
  EXPECT_NE(first.low, other.low);
}

/// A bootstrap as one would write it down: each label's clips drawn with replacement, the figure of what was drawn.
template <class Figure>
Interval plain_bootstrap(const Labels& labels, const Figure& figure) {
  std::array<std::vector<size_t>, 2> of_label;
  for (size_t i = 0; i < labels.size(); ++i) {
    of_label[static_cast<size_t>(labels[i])].push_back(i);
  }
  std::mt19937_64 random(17);
  std::vector<double> figures;
  for (int resample = 0; resample < 4000; ++resample) {
    std::vector<size_t> drawn;
    for (const std::vector<size_t>& clips : of_label) {
      std::uniform_int_distribution<size_t> any(0, clips.size() - 1);
      for (size_t i = 0; i < clips.size(); ++i) {
        drawn.push_back(clips[any(random)]);
      }
    }
    figures.push_back(figure(drawn));
  }
  return {0, quantile(figures, 0.025), quantile(figures, 0.975)};
}

TEST(Bootstrap, OfThePartialAucIsThatOfMetrics) {
  const nlohmann::json golden = golden_intervals();
  for (const auto& c : golden.at("bootstrap")) {
    const Scores a = c.at("a"), b = c.at("b");
    const Labels labels = c.at("labels");
    const auto partial = [&](const Scores& scores, const std::vector<size_t>& drawn) {
      Scores drawn_scores;
      Labels drawn_labels;
      for (const size_t i : drawn) {
        drawn_scores.push_back(scores[i]);
        drawn_labels.push_back(labels[i]);
      }
      return partial_auc(drawn_scores, drawn_labels, 0.1);
    };
    const Interval expected = plain_bootstrap(
        labels, [&](const std::vector<size_t>& drawn) { return partial(a, drawn) - partial(b, drawn); });
    const Interval difference = auc_difference({a}, {b}, labels, {.resamples = 4000, .max_fpr = 0.1});
    EXPECT_NEAR(difference.value, partial_auc(a, labels, 0.1) - partial_auc(b, labels, 0.1), 1e-12) << c.at("name");
    const double tolerance = 0.1 * (expected.high - expected.low);
    EXPECT_NEAR(difference.low, expected.low, tolerance) << c.at("name");
    EXPECT_NEAR(difference.high, expected.high, tolerance) << c.at("name");
    // A resample's figure is exact: of one resample, both bounds are it.
    const Interval one = auc_interval({a}, labels, {.resamples = 1, .max_fpr = 0.1});
    EXPECT_EQ(one.low, one.high);
    EXPECT_NEAR(auc_interval({a}, labels, {.resamples = 50, .max_fpr = 0.3}).value, partial_auc(a, labels, 0.3), 1e-12);
  }
}

/// P(at least `count` of `all`) for a chance p each.
double at_least(int count, int all, double p) {
  double sum = 0;
  for (int i = count; i <= all; ++i) {
    sum += std::exp(std::lgamma(all + 1) - std::lgamma(i + 1) - std::lgamma(all - i + 1)) * std::pow(p, i) *
           std::pow(1 - p, all - i);
  }
  return sum;
}

TEST(ShareInterval, IsExact) {
  for (const auto& [count, all] : {std::pair(1, 10), {3, 10}, {9, 10}, {7, 120}}) {
    for (const double confidence : {0.9, 0.95}) {
      const Interval share = share_interval(count, all, confidence);
      EXPECT_DOUBLE_EQ(share.value, static_cast<double>(count) / all);
      EXPECT_NEAR(at_least(count, all, share.low), 0.5 * (1 - confidence), 1e-10) << count << " of " << all;
      EXPECT_NEAR(1 - at_least(count + 1, all, share.high), 0.5 * (1 - confidence), 1e-10) << count << " of " << all;
    }
  }
  EXPECT_EQ(share_interval(0, 10).low, 0);
  EXPECT_NEAR(share_interval(0, 10).high, 1 - std::pow(0.025, 0.1), 1e-12);
  EXPECT_EQ(share_interval(10, 10).high, 1);
}

TEST(ShareInterval, SaysWhatIsWrong) {
  EXPECT_THROW(share_interval(0, 0), io::DataError);
  EXPECT_THROW(share_interval(3, 2), io::DataError);
  EXPECT_THROW(share_interval(-1, 2), io::DataError);
  EXPECT_THROW(share_interval(1, 2, 95), io::UsageError);
}

TEST(Bootstrap, SaysWhatIsWrong) {
  const Labels labels = {0, 1};
  EXPECT_THROW(auc_interval({}, labels), io::DataError);
  EXPECT_THROW(auc_interval({{1, std::nan("")}}, labels), io::DataError);
  EXPECT_THROW(auc_interval({{1, 2, 3}}, labels), io::DataError);
  EXPECT_THROW(auc_interval({{1, 2}}, Labels{1, 1}), io::DataError);
  EXPECT_THROW(auc_interval({{1, 2}}, labels, {.resamples = 0}), io::UsageError);
  EXPECT_THROW(auc_interval({{1, 2}}, labels, {.max_fpr = 0}), io::UsageError);
  EXPECT_THROW(auc_difference({{1, 2}}, {{1, 2}}, labels, {.confidence = 95}), io::UsageError);
}

}  // namespace
}  // namespace evenflow::train
