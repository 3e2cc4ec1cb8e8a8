// A threshold from normal recordings after training, and what is decided by it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "io/model_file.h"
#include "tests/experiments/small_world.h"
#include "train/detect/score_table.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

/// A copy of the small world's model, and normal recordings that are new to it.
class Calibrate : public ::testing::Test {
 protected:
  Calibrate() {
    fs::copy_file(SmallWorld::get().model(), model());
    const Outcome made =
        run({"synth", at("normals"), "--train-clips", "0", "--test-velocities", "100,300", "--test-distances", "100",
             "--normal-clips", "14", "--anomaly-clips", "2", "--duration", "0.4", "--seed", "5"});
    EXPECT_EQ(made.code, 0) << made.err;
  }
  std::string at(const std::string& name) const { return folder_ / name; }
  std::string model() const { return at("m.h5"); }
  std::string normals() const { return at("normals/manifest.csv"); }
  Outcome calibrate(const Words& more, const std::string& on) const {
    return run(Words{"calibrate", model(), "--on", on, "--threads", "1"} + more);
  }
  Outcome calibrate(const Words& more) const { return calibrate(more, normals()); }
  Outcome score(const std::string& what, const Words& more = {}) const {
    return run(Words{"score", "--model", model(), what, "--out", at("s.csv"), "--threads", "1"} + more);
  }
  train::ScoreTable scores() const { return train::read_scores(at("s.csv")); }

  Folder folder_;
};

int64_t normal_alarms(const train::ScoreTable& table) {
  return std::count_if(table.clips.begin(), table.clips.end(),
                       [](const auto& clip) { return clip.clip.label == 0 && clip.decision == 1; });
}

TEST_F(Calibrate, WhatAShiftIsStaysWhereNoOperatingPointIsKnown) {
  expect_done(calibrate({"--false-alarms", "0.2"}));
  const auto before = io::read_model(model()).conformal;
  ASSERT_FALSE(before->estimate_distance.empty());
  fs::create_directory(at("bare"));
  for (const auto& entry : fs::directory_iterator(at("normals/test"))) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("normal")) {
      fs::copy_file(entry.path(), at("bare/clip" + name.substr(name.find('_'))));
    }
  }
  const Outcome outcome = calibrate({"--false-alarms", "0.2"}, at("bare"));
  expect_done(outcome);
  EXPECT_THAT(outcome.out + outcome.err, HasSubstr("what monitor calls a shift stays as it was"));
  const auto after = io::read_model(model()).conformal;
  EXPECT_EQ(after->clips, 28);
  EXPECT_EQ(after->source, at("bare"));
  EXPECT_EQ(after->estimate_distance, before->estimate_distance);
}

TEST_F(Calibrate, SetsTheThresholdThatTheRateAsksFor) {
  const io::ModelData before = io::read_model(model());
  const Outcome outcome = calibrate({"--false-alarms", "0.2"});
  expect_done(outcome);
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("left out: 4 clips labelled as anomalies"),
                    HasSubstr("Calibrated on 28 normal clips -> " + model()),
                    HasSubstr("rule conformal, 20 % false alarms asked for; 4 of 28 normal clips lie above"),
                    ContainsRegex("at most 20 % raise a false alarm: with clips of 0\\.[0-9] s, "),
                    ContainsRegex("it may be [0-9.]+ to [0-9.]+ %")));
  const io::ModelData after = io::read_model(model());
  EXPECT_EQ(after.threshold.method, "conformal");
  EXPECT_EQ(after.threshold.clips, 28);
  EXPECT_EQ(after.conformal->clips, 28);
  EXPECT_EQ(after.conformal->source, normals());
  ASSERT_EQ(after.conformal->estimate_distance.size(), after.condition.names.size());
  EXPECT_EQ(after.conformal->estimate_distance.front().size(), 28);  // all at trained speeds
  EXPECT_EQ(after.normal.trained_on, before.normal.trained_on);
  EXPECT_EQ(after.config.score.threshold_quantile, before.config.score.threshold_quantile);
  // What info, score and evaluate say is one and the same.
  EXPECT_THAT(run({"info", model()}).out,
              AllOf(HasSubstr("4 of 28 normal clips lie above"), HasSubstr("p-values       of 28 normal clips of "),
                    HasSubstr(normals())));
  expect_done(score(normals()));
  const train::ScoreTable table = scores();
  EXPECT_EQ(normal_alarms(table), 4);
  for (const train::ClipScore& clip : table.clips) {
    EXPECT_TRUE(clip.p_value > 0.0 && clip.p_value <= 1.0);
    if (clip.clip.label == 0) {
      EXPECT_EQ(clip.decision == 1, clip.p_value <= 0.2) << clip.p_value;
    }
  }
  EXPECT_THAT(run({"evaluate", at("s.csv"), "--model", model()}).out, ContainsRegex("\nall +4 of 28 "));
}

TEST_F(Calibrate, ARateADayIsOneAClip) {
  expect_done(calibrate({"--per-day", "30000"}));
  const io::ModelData model_a_day = io::read_model(model());
  const double seconds = static_cast<double>(model_a_day.conformal->clip_frames) *
                         model_a_day.config.frontend.hop_samples / model_a_day.config.frontend.sample_rate_hz;
  EXPECT_TRUE(std::abs(1.0 - model_a_day.threshold.quantile - 30000.0 * seconds / 86400.0) <= 1e-12);
  expect_refused(calibrate({"--per-day", "0.1"}), 3,
                 {"0.1 false alarms a day", "28 normal clips do not support", "or more", "which take"});
  expect_refused(calibrate({"--per-day", "1e8"}), 2, {"--per-day 1e+08", "in a day"});
  expect_refused(calibrate({"--per-day", "1", "--false-alarms", "0.1"}), 2, {"--per-day", "--false-alarms"});
}

TEST_F(Calibrate, TooFewClipsPromiseNothingAndChangeNothing) {
  const std::string before = get(model());
  expect_refused(calibrate({"--false-alarms", "0.01"}), 3,
                 {"28 normal clips do not support 1 %", "which take 99", "3.45 %"});
  expect_refused(calibrate({"--score", "score_none"}), 2, {"score_none", "it can by"});
  expect_refused(calibrate({}, at("none")), 3, {"none"});
  expect_refused(calibrate({}, model()), 2, {"is a model, not sound"});
  EXPECT_EQ(get(model()), before);
}

TEST_F(Calibrate, ClipsThatWereTrainedOnAreLeftOut) {
  // By their frames, whatever they are called and wherever they lie.
  fs::copy(SmallWorld::get().rails(), at("elsewhere"), fs::copy_options::recursive);
  for (const std::string& trained : {SmallWorld::get().shard(), at("elsewhere/manifest.csv")}) {
    const Outcome outcome = calibrate({"--split", "train", "--false-alarms", "0.6"}, trained);
    EXPECT_THAT(outcome.out + outcome.err, HasSubstr("left out: 7 clips that the model was trained on")) << trained;
  }
  const Outcome mixed =
      run({"calibrate", model(), "--on", at("elsewhere/manifest.csv"), normals(), "--split", "all", "--threads", "1"});
  expect_done(mixed);
  EXPECT_THAT(mixed.out, HasSubstr("7 clips that the model was trained on"));
  EXPECT_EQ(io::read_model(model()).conformal->clips, 28 + 1 + 4);  // one was held out, four are normal test clips
  // A copy is no other clip.
  fs::copy_file(at("normals/test/normal_0100mm_s_100mm_00.wav"), at("copy.wav"));
  const Outcome copied = run({"calibrate", model(), "--on", normals(), at("copy.wav"), "--threads", "1"});
  expect_done(copied);
  EXPECT_THAT(copied.out, HasSubstr("left out: 1 clip with the sound of another"));
  expect_refused(
      run({"calibrate", model(), "--on", normals(), at("copy.wav"), "--threads", "1", "--false-alarms", "0.001"}), 3,
      {"28 normal clips do not support", "left out: 1 clip with the sound of another"});
}

TEST_F(Calibrate, OutLeavesTheModelAndACheckpointIsNone) {
  const std::string before = get(model());
  expect_done(calibrate({"--out", at("c.h5")}));
  expect_done(calibrate({"--out", at("c.h5"), "--score", "score_zc"}));
  EXPECT_EQ(get(model()), before);
  EXPECT_EQ(io::read_model(at("c.h5")).threshold.score, "score_zc");
  fs::copy_file(model(), at("other.h5"));
  expect_refused(calibrate({"--out", at("other.h5")}), 2,
                 {"other.h5", "is not a model that was calibrated", "--force"});
  expect_done(calibrate({"--out", at("other.h5"), "--force"}));
  expect_refused(calibrate({"--out", model()}), 2, {"which is read"});
  expect_refused(run({"calibrate", SmallWorld::get().run() + "/checkpoint.h5", "--on", normals(), "--threads", "1"}), 2,
                 {"is a checkpoint", "model.h5"});
}

TEST_F(Calibrate, ClipsThatAreNotAlikeAreSaid) {
  const auto record = [&](const std::string& name, const Words& more) {
    expect_done(run(Words{"synth", at(name), "--train-clips", "0", "--test-distances", "100", "--anomaly-clips", "0",
                          "--seed", "6"} +
                    more));
    return at(name);
  };
  const std::string quiet = record("quiet", {"--test-velocities", "100", "--normal-clips", "14", "--duration", "0.4"});
  const std::string loud =
      record("loud", {"--test-velocities", "300", "--normal-clips", "14", "--duration", "0.4", "--background", "30"});
  const std::string long_ones =
      record("long", {"--test-velocities", "100", "--normal-clips", "3", "--duration", "0.8"});
  const auto said = [&](const Words& inputs) {
    const Outcome outcome = run(Words{"calibrate", model(), "--threads", "1", "--on"} + inputs);
    expect_done(outcome);
    return outcome.out;
  };
  EXPECT_THAT(said({normals()}), Not(HasSubstr("warning")));
  EXPECT_THAT(said({quiet + "/manifest.csv", loud + "/manifest.csv"}),
              AllOf(ContainsRegex("warning: nll differs between operating points \\(p = .*\\): at velocity_mm_s = 300, "
                                  "1 of 14 clips lie above the threshold, 0 of 14 elsewhere"),
                    Not(HasSubstr("along the recordings"))));
  // Where no speed is known, nothing tells a drift from a change of the operating point.
  EXPECT_THAT(said({quiet + "/test", loud + "/test"}), HasSubstr("warning: nll rises along the recordings"));
  EXPECT_THAT(said({loud + "/test", quiet + "/test"}), HasSubstr("warning: nll falls along the recordings"));
  EXPECT_THAT(said({quiet + "/manifest.csv", long_ones + "/manifest.csv"}),
              HasSubstr("warning: the clips have 2 to 5 windows"));
  expect_done(score(long_ones + "/manifest.csv"));
  const Outcome longer = score(long_ones + "/manifest.csv");
  EXPECT_THAT(longer.out, HasSubstr("p-values rest on clips of 2 windows, and 3 clips have other lengths"));
}

TEST_F(Calibrate, InfoSaysWhenPValuesAreNotOfWhatDecides) {
  io::ModelData one = io::read_model(model());
  ASSERT_TRUE(one.conformal.has_value());
  EXPECT_THAT(run({"info", model()}).out, AllOf(HasSubstr("p-values "), Not(HasSubstr("which decides"))));
  std::erase_if(one.conformal->scores, [&](const auto& score) { return score.score == one.threshold.score; });
  io::write_model(at("other.h5"), one);
  EXPECT_THAT(run({"info", at("other.h5")}).out, HasSubstr("none of " + one.threshold.score + ", which decides"));
}

TEST_F(Calibrate, CalibratedScoresAreLearntAnew) {
  // Two speeds are too few for the training to calibrate by.
  expect_refused(calibrate({"--score", "score_calibrated"}), 2, {"score_calibrated", "it can by"});
  expect_refused(calibrate({"--refit"}), 2, {"--refit", "nll is none", "score_calibrated"});
  const Outcome outcome = calibrate({"--refit", "--score", "score_calibrated", "--false-alarms", "0.2"});
  expect_done(outcome);
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("Calibrated on 14 normal clips"), HasSubstr("2 of 14 normal clips lie above"),
                    HasSubstr("learnt anew from 14 further clips")));
  const io::ModelData model = io::read_model(this->model());
  ASSERT_TRUE(model.normal.calibration.has_value());
  EXPECT_EQ(model.normal.calibration->clips, 14);
  EXPECT_EQ(model.threshold.score, "score_calibrated");
  // What the program then scores is what the threshold was set on.
  expect_done(score(normals()));
  const train::ScoreTable table = scores();
  std::vector<double> found;
  for (const train::ClipScore& clip : table.clips) {
    EXPECT_EQ(clip.score, table.value(clip, "score_calibrated"));
    found.push_back(clip.score);
  }
  std::sort(found.begin(), found.end());
  const auto of_score = std::find_if(model.conformal->scores.begin(), model.conformal->scores.end(),
                                     [](const auto& score) { return score.score == "score_calibrated"; });
  ASSERT_NE(of_score, model.conformal->scores.end());
  EXPECT_EQ(of_score->values.size(), 14U);
  EXPECT_TRUE(std::includes(found.begin(), found.end(), of_score->values.begin(), of_score->values.end()));
}

TEST_F(Calibrate, WhatIsCombinedOfCalibratedScoresIsLearntAnewWithThem) {
  const Outcome outcome = calibrate({"--refit", "--score", "score_combined", "--false-alarms", "0.2"});
  expect_done(outcome);
  EXPECT_THAT(outcome.out, HasSubstr("learnt anew from 14 further clips"));
  EXPECT_EQ(io::read_model(model()).threshold.score, "score_combined");
  expect_done(score(normals()));
  const train::ScoreTable table = scores();
  for (const train::ClipScore& clip : table.clips) {
    EXPECT_EQ(clip.score, table.value(clip, "score_combined"));
    EXPECT_TRUE(std::isfinite(clip.score));
  }
}

TEST_F(Calibrate, ScoringCanDecideOtherwiseForOneRun) {
  const std::string before = get(model());
  expect_refused(score(normals(), {"--false-alarms", "0.1"}), 3, {"1 normal clip", "evenflow calibrate"});
  expect_refused(score(normals(), {"--score", "score_none"}), 2, {"score_none"});
  expect_refused(score(normals(), {"--score", "nll", "--threshold", "x"}), 2, {"--threshold"});
  expect_refused(score(normals(), {"--false-alarms", "0.1", "--threshold", "1"}), 2, {"--threshold", "--false-alarms"});
  const Outcome given = score(normals(), {"--score", "score_zc", "--threshold", "-1e9"});
  expect_done(given);
  EXPECT_THAT(given.out, HasSubstr("32 clips decided anomalous: score_zc above -1e+09 (as given for this run)"));
  for (const train::ClipScore& clip : scores().clips) {
    EXPECT_EQ(clip.score, scores().value(clip, "score_zc"));
    EXPECT_EQ(clip.decision, 1);
  }
  EXPECT_EQ(get(model()), before);
  expect_done(calibrate({}));
  expect_done(score(normals(), {"--false-alarms", "0.2"}));
  EXPECT_EQ(normal_alarms(scores()), 4);
  const Outcome one = score(at("normals/test/normal_0100mm_s_100mm_00.wav"), {"--score", "score_zc"});
  expect_done(one);
  EXPECT_THAT(one.out, ContainsRegex("score_zc [-0-9.e+]+ \\(p [0-9.]+\\), "));
}

// ---- by clips of values that were left out

/// A choice on recordings at four speeds, and a model with what it chose.
class LeftOut : public ::testing::Test {
 protected:
  LeftOut() {
    expect_done(run({"synth", at("rails"), "--train-velocities", "100,200,300,400", "--test-velocities", "100,250",
                     "--train-distances", "100", "--test-distances", "100", "--train-clips", "6", "--normal-clips", "2",
                     "--anomaly-clips", "2", "--duration", "0.4"}));
    expect_done(run({"prepare", at("rails/manifest.csv"), "--out", at("f.h5"), "--config", config()}));
    const Outcome chosen = run({"choose", at("f.h5"), "--out", at("choice"), "--config", config(), "--folds", "2",
                                "--candidate", "model.coupling=tanh", "--epochs", "1"});
    expect_done(chosen);
    EXPECT_THAT(chosen.out, HasSubstr("evenflow calibrate run/model.h5 --left-out " + at("choice")));
    expect_done(train("run", "1", {}));
  }
  std::string at(const std::string& name) const { return folder_ / name; }
  static std::string config() { return SmallWorld::get().config(); }
  Outcome train(const std::string& name, const std::string& epochs, const Words& more) const {
    return run(Words{"train", at("f.h5"), "--run", at(name), "--config", at("choice/choice.toml"), "--epochs", epochs} +
               more);
  }
  Outcome calibrate(const std::string& name, const Words& more = {}) const {
    return run(Words{"calibrate", at(name) + "/model.h5", "--left-out", at("choice")} + more);
  }

  Folder folder_;
};

TEST_F(LeftOut, ClipsSetTheThresholdAndGivePValues) {
  const io::ModelData before = io::read_model(at("run/model.h5"));
  const Outcome outcome = calibrate("run", {"--score", "nll", "--false-alarms", "0.2"});
  expect_done(outcome);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("Calibrated on 24 normal clips"), HasSubstr("20 % false alarms asked for"),
                                 HasSubstr("Where nothing was recorded about 20 %"), HasSubstr("and no bound")));
  const train::ScoreTable left_out = train::read_scores(at("choice/left_out.csv"));
  std::vector<double> expected;
  for (const train::ClipScore& clip : left_out.clips) {
    EXPECT_EQ(clip.clip.split, io::Split::train);
    expected.push_back(left_out.value(clip, "nll"));
  }
  std::sort(expected.begin(), expected.end());
  ASSERT_EQ(expected.size(), 24U);
  const io::ModelData after = io::read_model(at("run/model.h5"));
  const auto of_nll = std::find_if(after.conformal->scores.begin(), after.conformal->scores.end(),
                                   [](const auto& score) { return score.score == "nll"; });
  ASSERT_NE(of_nll, after.conformal->scores.end());
  EXPECT_EQ(of_nll->values, expected);
  EXPECT_EQ(after.threshold.score, "nll");
  EXPECT_EQ(after.threshold.value, expected[19]) << "5 of 25 may have a p-value of 20 % at most";
  EXPECT_EQ(after.conformal->clip_frames, before.conformal->clip_frames);
  EXPECT_EQ(after.conformal->estimate_distance, before.conformal->estimate_distance);
  EXPECT_THAT(run({"info", at("run/model.h5")}).out, HasSubstr("values left out of " + at("choice")));
  expect_done(run({"score", "--model", at("run/model.h5"), at("f.h5"), "--out", at("s.csv")}));
  for (const train::ClipScore& clip : train::read_scores(at("s.csv")).clips) {
    EXPECT_TRUE(clip.p_value > 0.0 && clip.p_value <= 1.0);
    EXPECT_EQ(clip.decision == 1, clip.p_value <= 0.2);
  }
}

TEST_F(LeftOut, ClipsOfAnotherChoiceAreRefused) {
  const std::string before = get(at("run/model.h5"));
  expect_refused(run({"calibrate", at("run/model.h5")}), 2, {"--on", "--left-out"});
  expect_refused(calibrate("run", {"--on", at("rails")}), 2, {"--left-out", "--on"});
  expect_refused(run({"calibrate", at("run/model.h5"), "--left-out", at("rails")}), 3,
                 {at("rails"), "no finished choice", "evenflow choose"});
  expect_refused(run({"calibrate", SmallWorld::get().model(), "--left-out", at("choice"), "--out", at("o.h5")}), 2,
                 {"other recordings"});
  expect_refused(calibrate("run", {"--false-alarms", "0.001"}), 3, {"999 clips", "there are 24", "choose again"});
  expect_refused(calibrate("run", {"--skip-bad"}), 2, {"--left-out reads no recordings", "--skip-bad"});
  expect_refused(run({"calibrate", at("run/model.h5"), "--left-out", at("nowhere")}), 3,
                 {"there is no folder", at("nowhere"), "evenflow choose"});
  expect_done(train("other", "1", {"--model.hidden", "8"}));
  expect_refused(calibrate("other"), 2,
                 {"model.hidden = 8", "has 4", "train with --config " + at("choice/choice.toml")});
  EXPECT_EQ(get(at("run/model.h5")), before);
  EXPECT_FALSE(fs::exists(at("o.h5")));
  // Another seed is another draw of the same; another length is said.
  expect_done(train("longer", "2", {"--train.seed", "2"}));
  const Outcome longer = calibrate("longer", {"--false-alarms", "0.2"});
  expect_done(longer);
  EXPECT_THAT(longer.out, HasSubstr("warning: the model has train.epochs = 2, and the choice's trainings 1"));
}

}  // namespace
}  // namespace evenflow::experiments::test
