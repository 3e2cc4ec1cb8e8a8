#include "train/detect/decision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "io/error.h"
#include "tests/support/error_message.h"

namespace evenflow::train {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// A model of the default kind without its weights, which no decision looks at.
io::ModelData model_with(const std::vector<double>& nll) {
  io::ModelData model;
  model.threshold = {"nll", "gamma", 0.9, 7.0, {2.0, 0.0, 1.0}, 12, 1};
  model.conformal = io::ConformalData{{{"nll", nll}}, static_cast<int64_t>(nll.size()), 313, "test", "", ""};
  return model;
}

std::vector<double> steps(int count) {
  std::vector<double> values;
  values.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    values.push_back(i);
  }
  return values;
}

ClipScore clip_of(std::vector<double> scores, int64_t frames, uint64_t sum) {
  ClipScore clip;
  clip.scores = std::move(scores);
  clip.frames = frames;
  clip.frames_sum = sum;
  return clip;
}

TEST(Decision, ScoresThatAreFiniteOfAllClipsAreKeptInOrder) {
  const double nan = std::nan("");
  const std::vector<ClipScore> clips = {clip_of({3, 1}, 10, 5), clip_of({1, nan}, 30, 9), clip_of({2, 0}, 20, 1)};
  const auto data = conformal_data({"nll", "nll_given_v"}, clips);
  ASSERT_TRUE(data.has_value());
  ASSERT_EQ(data->scores.size(), 1U);
  EXPECT_EQ(data->scores[0].score, "nll");
  EXPECT_EQ(data->scores[0].values, (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(data->clips, 3);
  EXPECT_EQ(data->clip_frames, 20);
  EXPECT_EQ(data->data_hash.size(), 16U);
  const std::vector<ClipScore> shuffled = {clips[2], clips[0], clips[1]};
  EXPECT_EQ(conformal_data({"nll", "nll_given_v"}, shuffled), data);
  EXPECT_FALSE(conformal_data({"nll_given_v"}, std::vector<ClipScore>{clip_of({nan}, 10, 5)}));
  EXPECT_FALSE(conformal_data({"nll"}, {}));
}

TEST(Decision, AConformalRuleCountsWhatItRestsOn) {
  const io::ThresholdData rule = conformal_rule(model_with(steps(99)), "nll", 0.05);
  EXPECT_EQ(rule.score, "nll");
  EXPECT_EQ(rule.method, "conformal");
  EXPECT_EQ(rule.value, 94.0);
  EXPECT_EQ(rule.clips, 99);
  EXPECT_EQ(rule.above, 4);
  EXPECT_EQ(describe(rule), "rule conformal, 5 % false alarms asked for; 4 of 99 normal clips lie above");
}

TEST(Decision, ARateThatTheClipsDoNotSupportIsRefused) {
  EXPECT_THAT(tests::message_of<io::DataError>([] { conformal_rule(model_with(steps(20)), "nll", 0.01); }),
              AllOf(HasSubstr("20 normal clips do not support 1 %"), HasSubstr("which take 99"), HasSubstr("4.76 %")));
  EXPECT_THAT(tests::message_of<io::DataError>([] { conformal_rule(model_with(steps(20)), "score_zc", 0.1); }),
              AllOf(HasSubstr("score_zc"), HasSubstr("evenflow calibrate")));
}

TEST(Decision, ARequestTakesThePlaceOfWhatTheModelSays) {
  const auto decided = [](const DecisionRequest& request) {
    io::ModelData model = model_with(steps(99));
    set_decision(model, request);
    return model.threshold;
  };
  EXPECT_EQ(decided({}).value, 7.0);
  EXPECT_EQ(decided({}).method, "gamma");
  EXPECT_EQ(decided({.score = "nll"}).value, 7.0);
  EXPECT_EQ(decided({.threshold = -3.5}).value, -3.5);
  EXPECT_THAT(describe(decided({.threshold = -3.5})), HasSubstr("as given"));
  EXPECT_EQ(decided({.score = "score_zc", .threshold = 1.0}).score, "score_zc");
  EXPECT_EQ(decided({.false_alarms = 0.05}).value, 94.0);
}

TEST(Decision, AnotherScoreIsDecidedOnAtTheModelsRate) {
  io::ModelData model = model_with(steps(99));
  model.conformal->scores.push_back({"score_zc", steps(99)});
  set_decision(model, {.score = "score_zc"});
  EXPECT_EQ(model.threshold.score, "score_zc");
  EXPECT_EQ(model.threshold.value, 89.0);
  EXPECT_EQ(model.threshold.quantile, 0.9);
}

TEST(Decision, WhatCannotDecideIsRefused) {
  const auto refusal = [](const DecisionRequest& request) {
    return tests::message_of<io::UsageError>([&] {
      io::ModelData model = model_with(steps(99));
      set_decision(model, request);
    });
  };
  EXPECT_THAT(refusal({.score = "score_none"}), AllOf(HasSubstr("'score_none'"), HasSubstr("it can by")));
  EXPECT_THAT(refusal({.score = "nll_given_v"}), HasSubstr("'nll_given_v'"));            // needs the parameter's value
  EXPECT_THAT(refusal({.score = "score_calibrated"}), HasSubstr("'score_calibrated'"));  // the model has no calibration
  EXPECT_THAT(refusal({.threshold = std::numeric_limits<double>::infinity()}), HasSubstr("not a finite number"));
}

}  // namespace
}  // namespace evenflow::train
