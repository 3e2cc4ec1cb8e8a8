// What the program decides, and what it says of it: few recordings, scores that are not finite, seen and unseen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "io/config.h"
#include "io/model_file.h"
#include "io/shard.h"
#include "tests/experiments/program.h"
#include "tests/train/train_fixture.h"
#include "train/detect/score.h"

namespace evenflow::experiments::test {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using train::testing::write_shard;

/// The smallest flow over the fixture's windows.
const Words shape = {"--frontend.mel_bands",
                     "16",
                     "--window.window_frames",
                     "8",
                     "--window.window_hop_frames",
                     "4",
                     "--model.blocks",
                     "1",
                     "--model.steps",
                     "1",
                     "--model.hidden",
                     "2",
                     "--batch",
                     "8",
                     "--threads",
                     "1"};
const Words small = shape + Words{"--learning-rate", "1e-3"};

class Decisions : public ::testing::Test {
 protected:
  std::string shard() const { return folder_ / "f.h5"; }
  std::string model() const { return folder_ / "run/model.h5"; }
  std::string scores() const { return folder_ / "s.csv"; }

  /// A training of the shard in the folder; what it said.
  std::string train(const Words& more = {"--epochs", "2"}) {
    const Outcome outcome = run(Words{"train", shard(), "--run", folder_ / "run", "--replace"} + more + small);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out;
  }
  Outcome score(const Words& more = {}) {
    return run(Words{"score", "--model", model(), shard(), "--out", scores(), "--threads", "1"} + more);
  }
  Outcome evaluate() { return run({"evaluate", scores(), "--model", model()}); }

  /// Clip by clip the given values of the parameter, train clips first; every second test clip is an anomaly.
  void write(const std::vector<double>& train_values, const std::vector<double>& test_values) {
    std::vector<double> all = train_values;
    all.insert(all.end(), test_values.begin(), test_values.end());
    write_shard(shard(), {.train_clips = static_cast<int>(train_values.size()),
                          .test_clips = static_cast<int>(test_values.size()),
                          .change_clip = [&](size_t i, io::Clip& clip) {
                            clip.parameter[0] = all[i];
                            if (i >= train_values.size()) {
                              clip.label = (i - train_values.size()) % 2;
                            }
                          }});
  }
  Folder folder_;
};

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

TEST_F(Decisions, UnknownIsNeitherSeenNorUnseen) {
  write({100, 100, 200, 200, 300, 300}, {unknown, unknown, unknown, unknown});
  train();
  ASSERT_EQ(score().code, 0);
  const Outcome outcome = evaluate();
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(Not(HasSubstr("\nseen in training")), Not(HasSubstr("\nunseen in training")),
                                 HasSubstr("4 clips of unknown value are neither")));
}

TEST_F(Decisions, ATachometersReadingsAreSeenBesideTrainedOnes) {
  write({98.8, 98.01, 99.63, 200.63, 201.7, 200.16, 299.17, 298.82, 301.12},
        {102.45, 100.41, 148.15, 148.56, 252.4, 250.3});
  train();
  ASSERT_EQ(score().code, 0);
  const Outcome outcome = evaluate();
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(ContainsRegex("\nseen in training +1 +1 "), ContainsRegex("\nunseen in training +2 +2 "),
                    ContainsRegex("velocity_mm_s = 148.15 to 148.56 +1 +1 "),
                    HasSubstr("Seen in training: velocity_mm_s within")));
}

TEST_F(Decisions, AHeldOutClipTakesNoSpeedAlongUnsaid) {
  write({100, 200, 300, 400, 500}, {100, 100});
  for (const char* seed : {"1", "3", "5"}) {
    const std::string said = train({"--epochs", "2", "--seed", seed});
    const std::vector<double> trained = io::read_model(model()).condition.training_values[0];
    for (const double speed : {100.0, 200.0, 300.0, 400.0, 500.0}) {
      const bool learnt = std::find(trained.begin(), trained.end(), speed) != trained.end();
      EXPECT_EQ(
          said.find("the only clip at velocity_mm_s = " + std::to_string(static_cast<int>(speed))) == std::string::npos,
          learnt)
          << said;
    }
  }
}

TEST_F(Decisions, FewClipsHaveAThresholdThatTheyDoNotContradict) {
  for (const size_t n : {2U, 4U, 5U, 8U, 12U, 16U}) {
    std::vector<double> values;
    for (size_t i = 0; i < n; ++i) {
      values.push_back(100.0 + 100.0 * static_cast<double>(i % 2));
    }
    write(values, {100, 100});
    const std::string said = train({"--epochs", "2", "--seed", std::to_string(n)});
    EXPECT_THAT(said, AllOf(HasSubstr("threshold by "), HasSubstr("training clips lie above"),
                            ContainsRegex("rests on (" + std::to_string(n) + " clips|[12] held-out clips?),")));
    const Outcome outcome = score({"--split", "train"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    int64_t above = 0;
    for (const train::ClipScore& clip : train::read_scores(scores()).clips) {
      above += clip.decision == 1 ? 1 : 0;
    }
    EXPECT_LE(above, static_cast<int64_t>(n / 8)) << n;
    EXPECT_THAT(outcome.out,
                HasSubstr(std::to_string(above) + " of " + std::to_string(n) + " training clips lie above"));
    EXPECT_THAT(run({"info", model()}).out, HasSubstr(" training clips lie above"));
  }
}

TEST_F(Decisions, ValuesThatNoKCanCarryAreRefused) {
  const std::vector<std::pair<double, double>> bad = {{0, 5e-324}, {-1e308, 1e308}, {1e-310, 2e-310}, {1e300, 2e300}};
  for (const auto& [low, high] : bad) {
    write({low, high, low, high, low, high}, {low, high});
    const Outcome outcome = run(Words{"train", shard(), "--run", folder_ / "bad", "--epochs", "1"} + small);
    EXPECT_EQ(outcome.code, 3) << outcome.out;
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("velocity_mm_s runs from"), HasSubstr("another unit")));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "bad"));
  }
  write({1700000000.1, 1700000000.2, 1700000000.1, 1700000000.2}, {1700000000.1, 1700000000.2});
  train();
  ASSERT_EQ(score().code, 0);
  const train::ScoreTable table = train::read_scores(scores());
  for (const train::ClipScore& clip : table.clips) {
    EXPECT_TRUE(std::isfinite(clip.score) && std::isfinite(clip.estimate[0]));
    EXPECT_TRUE(std::isfinite(table.value(clip, "nll_given_v")));
  }
}

TEST_F(Decisions, AugmentationIsSaidAndWhatItCannotBeIsRefused) {
  write({100, 100, 200, 200, 300, 300}, {100, 200});
  EXPECT_THAT(train({"--epochs", "1", "--augment.speed", "60", "--augment.noise", "0.2"}),
              HasSubstr("changed at random: speed by up to 60 in 100 % of the windows, by spectrum, noise 0.2"));
  EXPECT_THAT(run({"info", model()}).out, HasSubstr("augmented      speed by up to 60, noise 0.2"));
  const auto refused = [&](const Words& more) {
    return run(Words{"train", shard(), "--run", folder_ / "run", "--replace"} + more + small);
  };
  expect_refused(refused({"--augment.speed", "60000"}), 2, {"augment.speed", "velocity_mm_s", "300"});
  expect_refused(refused({"--augment.speed", "60", "--condition.speeds", "rpm"}), 2, {"condition.speeds", "rpm"});
  write({0, 0, 200, 200, 300, 300}, {100, 200});
  expect_refused(refused({"--augment.speed", "60", "--augment.speed_by", "warp"}), 3,
                 {"velocity_mm_s = 0", "augment.speed"});
}

TEST_F(Decisions, StepsOnTheCommandLineTakeThePlaceOfAFilesEpochs) {
  write({100, 200, 300, 100, 200, 300}, {100, 100});
  put(folder_ / "c.toml", "[train]\nepochs = 7\nsteps = 900\n");
  const auto budget = [&](const Words& more) {
    train(Words{"--config", folder_ / "c.toml"} + more);
    const io::Config config = io::read_config(folder_ / "run/config.toml");
    return std::pair(config.train.epochs, config.train.steps);
  };
  EXPECT_EQ(budget({}), std::pair(int64_t{7}, int64_t{900}));
  EXPECT_EQ(budget({"--train.steps", "3"}), std::pair(int64_t{0}, int64_t{3}));
  EXPECT_EQ(budget({"--epochs", "2"}), std::pair(int64_t{2}, int64_t{900}));
  expect_refused(run(Words{"train", shard(), "--run", folder_ / "both", "--epochs", "2", "--train.steps", "3"} + small),
                 2, {"--train.steps", "--train.epochs"});
}

TEST_F(Decisions, WhatIsUndefinedIsNoFigure) {
  const std::string header =
      "path,machine,label,speed,mic,score,score_zc,score_zc_logdet,score_scatter,nll,nll_given_v,decision,split,domain,"
      "section\n";
  const auto row = [](const std::string& name, int label, const std::string& values, int decision) {
    return name + ",m," + std::to_string(label) + "," + values + ",1,1,1,1,1,1," + std::to_string(decision) +
           ",test,,\n";
  };
  write({100, 200, 300, 100, 200, 300}, {100, 100});
  train();
  put(scores(), header + row("a", 0, "5,1", 0) + row("b", 1, "5,1", 0));
  const Outcome none = run({"evaluate", scores(), "--out", folder_ / "e"});
  expect_done(none);
  EXPECT_THAT(none.out, ContainsRegex("all +0 of 1 +1 of 1 +- +0.0 +0.0"));
  EXPECT_THAT(none.out, HasSubstr("Of speed, mic no training values are known"));
  EXPECT_THAT(get(folder_ / "e/evaluation.csv"), HasSubstr("precision,decision,\n"));
  EXPECT_THAT(get(folder_ / "e/evaluation.json"), HasSubstr("\"precision\": null"));
  put(scores(), header + row("a", 0, "5,1", 0) + row("b", 1, "inf,1", 0));
  expect_refused(run({"evaluate", scores()}), 3, {"s.csv', line 3: column speed holds 'inf'", "finite"});
}

TEST_F(Decisions, AKThatDrownsTheLikelihoodIsRefused) {
  write({100, 200, 300, 100, 200, 300}, {100, 100});
  for (const char* k : {"1e30", "1000", "1e-9"}) {
    const Outcome outcome = run(Words{"train", shard(), "--run", folder_ / "bad", "--epochs", "1", "--k", k} + small);
    EXPECT_EQ(outcome.code, 3) << k;
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("velocity_mm_s runs from 100 to 300"), HasSubstr("condition.k")));
  }
}

TEST_F(Decisions, AScoreThatIsNotFiniteIsNotNormal) {
  write_shard(shard(), {.train_clips = 10, .test_clips = 8});
  train();
  write_shard(shard(), {.train_clips = 10, .test_clips = 8, .change = [](size_t clip, std::vector<float>& frames) {
                          if (clip == 11 || clip == 12) {
                            frames[7] = std::nanf("");
                          }
                        }});
  const Outcome outcome = score();
  EXPECT_EQ(outcome.code, 3) << outcome.out;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("2 clips have no finite score"), HasSubstr("clip_11.wav"),
                                 HasSubstr("its features hold values that are not finite"), HasSubstr("s.csv")));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1);
  int64_t undecided = 0;
  for (const train::ClipScore& clip : train::read_scores(scores()).clips) {
    const bool spoilt = clip.clip.path == "sound/clip_11.wav" || clip.clip.path == "sound/clip_12.wav";
    EXPECT_EQ(clip.decision == -1, spoilt) << clip.clip.path;
    undecided += clip.decision == -1 ? 1 : 0;
  }
  EXPECT_EQ(undecided, 2);
  const Outcome evaluated = evaluate();
  EXPECT_EQ(evaluated.code, 0) << evaluated.err;
  EXPECT_THAT(evaluated.out, AllOf(HasSubstr("Left out, as the score is not finite: 2 clips (sound/clip_11.wav"),
                                   ContainsRegex("\nall +3 +3 ")));
  const Outcome dcase = run({"evaluate", scores(), "--dcase", folder_ / "dc"});
  EXPECT_EQ(dcase.code, 3);
  EXPECT_THAT(dcase.err, HasSubstr("clip_11.wav"));
  EXPECT_THAT(run({"info", scores()}).out, HasSubstr("2 clips without a finite score"));
}

TEST_F(Decisions, PatienceEndsATrainingAndSaysSo) {
  write_shard(shard());
  const Words words = {"--epochs", "400", "--train.patience", "2", "--learning-rate", "0.1"};
  const Outcome outcome = run(Words{"train", shard(), "--run", folder_ / "run"} + shape + words);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("no lower held-out loss for 2 epochs"));
  const Outcome again = run({"train", "--run", folder_ / "run", "--resume"});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, AllOf(HasSubstr("The run is finished"), HasSubstr("--train.patience 0")));
}

}  // namespace
}  // namespace evenflow::experiments::test
