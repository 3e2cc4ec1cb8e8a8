// evenflow experiment study --leave-each-out: the rule of its folds, its tables from made-up scores, and the whole of
// it in miniature.
#include "experiments/study/leave_out.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <map>

#include "experiments/configuration.h"
#include "experiments/study/folds.h"
#include "io/error.h"
#include "tests/experiments/program.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// ---- the rule

constexpr const char* columns = "path,split,label,machine,velocity_mm_s\n";

io::Manifest listing(const std::string& rows) {
  return io::parse_manifest(columns + rows, "list.csv");
}

std::vector<std::string> training_of(const Fold& fold) {
  std::vector<std::string> paths;
  for (const io::Clip& clip : fold.manifest.clips) {
    if (clip.split == io::Split::train) {
      paths.push_back(clip.path.string());
    }
  }
  return paths;
}

TEST(Folds, LeaveEachValueOutOnceAndSeeAllOthers) {
  const Folds folds = make_folds(listing("a100.wav,train,normal,A,100\n"
                                         "b100.wav,test,normal,B,100\n"
                                         "x100.wav,test,anomaly,A,100\n"
                                         "a200.wav,test,normal,A,200\n"
                                         "b200.wav,test,normal,B,200\n"
                                         "a200_2.wav,test,normal,A,200\n"
                                         "b200_2.wav,test,normal,B,200\n"
                                         "a200_3.wav,test,normal,A,200\n"
                                         "x200.wav,test,anomaly,A,200\n"
                                         "a300.wav,train,normal,A,300\n"
                                         "a300_2.wav,train,normal,A,300\n"
                                         "x400.wav,test,anomaly,B,400\n"
                                         "a.wav,train,normal,A,\n"
                                         "x.wav,test,anomaly,A,\n"),
                                 "list.csv");
  ASSERT_EQ(folds.points.size(), 4U);
  ASSERT_EQ(folds.folds.size(), 3U) << "nothing normal was recorded at 400";
  EXPECT_EQ(folds.folds[0].value.centre(), 100);
  EXPECT_THAT(training_of(folds.folds[0]),
              ElementsAre("a200.wav", "b200.wav", "a200_3.wav", "a300.wav", "a300_2.wav", "a.wav"))
      << "every other one of each machine at 200";
  EXPECT_EQ(folds.folds[1].value.centre(), 200);
  EXPECT_THAT(training_of(folds.folds[1]), ElementsAre("a100.wav", "a300.wav", "a300_2.wav", "a.wav"));
  EXPECT_EQ(folds.folds[2].value.centre(), 300);
  EXPECT_THAT(training_of(folds.folds[2]), ElementsAre("a100.wav", "a200.wav", "b200.wav", "a200_3.wav", "a.wav"));
  EXPECT_THAT(folds.notes, ElementsAre(HasSubstr("velocity_mm_s = 400: no fold"),
                                       HasSubstr("velocity_mm_s = 300: false alarms only"),
                                       HasSubstr("velocity_mm_s = 200: no training clip")));
}

TEST(Folds, TakeReadingsOfOneSpeedTogether) {
  std::string rows;
  for (const char* value : {"99.8", "100.1", "199.9", "200.2", "299.7", "300.1"}) {
    rows += fmt::format("n{0}.wav,train,normal,A,{0}\nx{0}.wav,test,anomaly,A,{0}\n", value);
  }
  const Folds folds = make_folds(listing(rows), "list.csv");
  ASSERT_EQ(folds.folds.size(), 3U);
  EXPECT_THAT(training_of(folds.folds[1]), ElementsAre("n99.8.wav", "n100.1.wav", "n299.7.wav", "n300.1.wav"));
  EXPECT_TRUE(folds.notes.empty());
}

TEST(Folds, RefuseWhatHasNone) {
  const auto expect_refused = [](const std::string& text, const std::string& why) {
    try {
      make_folds(io::parse_manifest(text, "list.csv"), "list.csv");
      FAIL() << "no error";
    } catch (const io::DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr(why));
    }
  };
  const std::string normal = "a.wav,train,normal,A,100\nb.wav,train,normal,A,200\nc.wav,test,normal,A,300\n";
  expect_refused("path,split,label,machine\na.wav,train,normal,A\n", "no parameter column");
  expect_refused(columns + normal, "no anomalous clip");
  expect_refused(columns + normal + "x.wav,train,anomaly,A,100\n",
                 "'x.wav' of 'list.csv' is an anomaly in split train");
  expect_refused(std::string(columns) + "a.wav,train,normal,A,100\nb.wav,test,normal,A,200\nx.wav,test,anomaly,A,300\n",
                 "normal clips of 2 values of velocity_mm_s");
}

// ---- systems

TEST(LeaveOutSystems, AreFlowsTheirVariantsAndClipStatistics) {
  const auto names_of = [](const std::vector<System>& systems) {
    std::vector<std::string> names;
    std::transform(systems.begin(), systems.end(), std::back_inserter(names),
                   [](const System& system) { return system.name; });
    return names;
  };
  const std::vector<System> all = leave_out_systems(unaugmented(), {100, 150, 250}, "velocity_mm_s");
  EXPECT_THAT(names_of(all), ElementsAre("single_scale_conventional", "single_scale_constrained",
                                         "multi_scale_conventional", "multi_scale_constrained", "multi_scale_augmented",
                                         "multi_scale_additive", "multi_scale_additive_augmented", "clip_statistics"));
  EXPECT_EQ(all[4].config.augment.speed, 30);
  EXPECT_EQ(all[4].config.augment.noise, 0.2);
  EXPECT_EQ(all[5].config.model.coupling, io::CouplingKind::additive);
  EXPECT_FALSE(all[5].config.augment.any());
  io::Config base = unaugmented();
  base.model.coupling = io::CouplingKind::additive;
  EXPECT_EQ(leave_out_systems(base, {100, 150, 250}, "").size(), 5U) << "neither a speed nor another coupling";
  base.model.kind = io::ModelKind::vae;
  base.model.coupling = io::CouplingKind::sigmoid;
  EXPECT_EQ(leave_out_systems(base, {100, 150, 250}, "").size(), 5U) << "an autoencoder has no coupling";
}

// ---- tables

/// Test clips at 100 to 500: two normal ones, 0 and 1, but `raise` more at the value left out; two anomalous ones, 10.
/// None is anomalous at 400; at 500 the two are all there is, 0.5. Twenty training clips of 0 to 0.95.
train::ScoreTable made_up(double left_out, const std::map<std::string, double>& raise) {
  train::ScoreTable table{{"velocity_mm_s"}, {}, {}, {}};
  for (const auto& [score, by] : raise) {
    table.score_names.push_back(score);
  }
  const auto add = [&](io::Split split, int label, double v, double score) {
    train::ClipScore clip;
    clip.clip = {"clip" + std::to_string(table.clips.size()), "rail", split, label, {v}, "", ""};
    const bool raised = split == io::Split::test && label == 0 && v == left_out;
    for (const auto& [name, by] : raise) {
      clip.scores.push_back(score + (raised ? by : 0));
    }
    table.clips.push_back(clip);
  };
  for (const double v : {100.0, 200.0, 300.0, 400.0}) {
    for (const double level : {0.0, 1.0}) {
      add(io::Split::test, 0, v, level);
      if (v != 400) {
        add(io::Split::test, 1, v, 10);
      }
    }
  }
  add(io::Split::test, 1, 500, 0.5);
  add(io::Split::test, 1, 500, 0.5);
  for (int i = 0; i < 20; ++i) {
    add(io::Split::train, 0, left_out == 100 ? 200 : 100, 0.05 * i);
  }
  return table;
}

FoldStudy made_up_fold(double left_out, double flow_1, double flow_2, double mahalanobis, double nearest) {
  const std::vector<System> systems = leave_out_systems({}, {}, "");
  FoldStudy fold{{left_out, left_out}, {}};
  fold.study.seeds = {1, 2};
  for (const double v : {100.0, 200.0, 300.0, 400.0}) {
    if (v != left_out) {
      fold.study.training_values.push_back(v);
    }
  }
  NormalRows normal;
  for (size_t row = 16; row < 36; ++row) {
    normal.training.push_back(row);
  }
  const auto add = [&](System system, std::vector<train::ScoreTable> runs) {
    system.config.score.threshold = io::ThresholdMethod::quantile;
    fold.study.systems.push_back({std::move(system), std::move(runs), {}, {normal, normal}});
  };
  add(systems.front(), {made_up(left_out, {{"nll", flow_1}}), made_up(left_out, {{"nll", flow_2}})});
  const auto simple = made_up(left_out, {{"score_mahalanobis", mahalanobis}, {"score_nearest", nearest}});
  add(systems.back(), {simple, simple});
  return fold;
}

const OverFolds& figure_of(const LeaveOutTables& tables, const std::string& score, const std::string& figure) {
  const auto found = std::find_if(tables.over_folds.begin(), tables.over_folds.end(),
                                  [&](const OverFolds& row) { return row.score == score && row.figure == figure; });
  if (found == tables.over_folds.end()) {
    throw std::runtime_error("no " + figure + " of " + score);
  }
  return *found;
}

// A raise by 0, 9.5 and 20 makes an AUC of 1, 0.5 and 0 at the value left out.
LeaveOut made_up_leave_out() {
  LeaveOut study{"velocity_mm_s", train::OperatingPoints({100, 200, 300, 400, 500}), {}};
  study.folds.push_back(made_up_fold(100, 0, 9.5, 9.5, 20));
  study.folds.push_back(made_up_fold(200, 9.5, 9.5, 9.5, 20));
  study.folds.push_back(made_up_fold(300, 20, 20, 9.5, 20));
  study.folds.push_back(made_up_fold(400, 0, 0, 20, 20));
  return study;
}

TEST(LeaveOutTables, AreMeansOverFoldsOfMeansOverSeeds) {
  const LeaveOutTables tables = leave_out_tables(made_up_leave_out());
  ASSERT_EQ(tables.folds.size(), 3U * 4U);
  const FoldRow& second = tables.folds[1];
  EXPECT_EQ(second.left_out, "200");
  EXPECT_EQ(second.normal, 2);
  EXPECT_EQ(second.anomalous, 2);
  EXPECT_EQ(second.auc_unseen, 0.5);
  EXPECT_EQ(second.auc_seen, 1.0) << "500 is never trained on";
  EXPECT_EQ(second.auc_all, 48.0 / 64.0);
  EXPECT_EQ(second.false_alarms, 1.0);
  EXPECT_EQ(second.found, 1.0);
  EXPECT_EQ(tables.folds[0].auc_unseen, 0.75);
  EXPECT_TRUE(std::isnan(tables.folds[3].auc_unseen)) << "nothing anomalous there";
  EXPECT_TRUE(std::isnan(tables.folds[3].found));
  EXPECT_EQ(tables.folds[3].false_alarms, 0.5) << "1 is above what training clips reach, 0 is not";
  const OverFolds& unseen = figure_of(tables, "nll", "auc_unseen");
  EXPECT_EQ(unseen.folds, 3);
  const train::Interval expected = train::bounded_mean_interval(std::vector{0.75, 0.5, 0.0}, 0, 1);
  EXPECT_EQ(unseen.mean.value, expected.value);
  EXPECT_EQ(unseen.mean.low, expected.low);
  EXPECT_EQ(unseen.mean.high, expected.high);
  EXPECT_EQ(figure_of(tables, "nll", "false_alarms").folds, 4);
  EXPECT_EQ(figure_of(tables, "nll", "false_alarms").mean.value, (0.75 + 1 + 1 + 0.5) / 4);
}

TEST(LeaveOutTables, CompareWithTheBestOnClipStatisticsFoldByFold) {
  const LeaveOut study = made_up_leave_out();
  const LeaveOutTables tables = leave_out_tables(study);
  const OverFolds& flow = figure_of(tables, "nll", "auc_unseen");
  EXPECT_EQ(flow.against_system, "clip_statistics");
  EXPECT_EQ(flow.against_score, "score_mahalanobis");
  const train::Interval expected = train::bounded_mean_interval(std::vector{0.25, 0.0, -0.5}, -1, 1);
  EXPECT_EQ(flow.difference.value, expected.value);
  EXPECT_EQ(flow.difference.low, expected.low);
  EXPECT_TRUE(figure_of(tables, "score_mahalanobis", "auc_unseen").against_system.empty());
  EXPECT_EQ(figure_of(tables, "score_nearest", "auc_unseen").difference.value, -0.5);
  EXPECT_TRUE(figure_of(tables, "nll", "false_alarms").against_system.empty());
  const std::string text = to_text(tables, study);
  EXPECT_THAT(text, HasSubstr("41.7 (0.0 to 100.0)"));
  EXPECT_THAT(text, HasSubstr("Not every figure is of all folds"));
}

TEST(LeaveOutTables, AScoreThatIsNotFiniteHasNoFiguresOfThatFold) {
  LeaveOut study = made_up_leave_out();
  train::ScoreTable& run = study.folds[0].study.systems[0].runs[1];
  run.clips.front().scores.front() = std::nan("");
  const LeaveOutTables tables = leave_out_tables(study);
  EXPECT_TRUE(std::isnan(tables.folds[0].auc_unseen));
  EXPECT_TRUE(std::isnan(tables.folds[0].false_alarms));
  const OverFolds& unseen = figure_of(tables, "nll", "auc_unseen");
  EXPECT_EQ(unseen.folds, 2);
  EXPECT_EQ(unseen.difference.value, (0.0 - 0.5) / 2) << "of the same two folds";
}

// ---- the program

Words leaving_out(const std::string& manifest, const std::string& out, const Words& more = {}) {
  return Words{"experiment",
               "study",
               manifest,
               "--out",
               out,
               "--leave-each-out",
               "--seeds",
               "1",
               "--epochs",
               "1",
               "--threads",
               "2",
               "--model.blocks",
               "2",
               "--model.steps",
               "1",
               "--model.hidden",
               "2",
               "--batch",
               "4",
               "--window.window_frames",
               "32",
               "--window.window_hop_frames",
               "16"} +
         more;
}

std::string leave_out_of(const std::string& folder) {
  return get(folder + "/leave_out.csv") + get(folder + "/leave_out_folds.csv");
}

TEST(LeaveOutProgram, MakesEverySpeedUnseenOnceAndGoesOn) {
  const Folder folder;
  ASSERT_EQ(run(synth_three_speeds(folder / "rails", {.train = 2, .normal = 2, .anomalous = 1})).code, 0);
  const std::string manifest = folder / "rails/manifest.csv";
  {
    Program program(leaving_out(manifest, folder / "a"));
    EXPECT_TRUE(program.wait_until([&] { return fs::exists(folder / "a/without_200/features.h5"); }));
    program.send(SIGINT);
    EXPECT_EQ(program.finish().code, 130);
  }
  EXPECT_FALSE(fs::exists(folder / "a/leave_out.csv"));
  const fs::path first = folder / "a/without_100/cells/multi_scale_additive_augmented/seed_1/scores.csv";
  const auto made = fs::last_write_time(first);
  const Outcome outcome = run(leaving_out(manifest, folder / "a"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(fs::last_write_time(first), made);
  EXPECT_THAT(outcome.out, HasSubstr("velocity_mm_s = 200: no training clip, so every other normal clip trains"));
  EXPECT_THAT(outcome.out, HasSubstr("without 300: multi-scale, constrained, additive, seed 1: done"));
  const std::string tables = leave_out_of(folder / "a");
  for (const char* row : {"single_scale_conventional,nll,auc_unseen,3,", "clip_statistics,score_pca,auc_all,3,",
                          "multi_scale_additive,score_zc,auc_seen,3,", "200,multi_scale_augmented,nll,2,1,"}) {
    EXPECT_THAT(tables, HasSubstr(row));
  }
  const Outcome again = run(leaving_out(manifest, folder / "a"));
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, Not(HasSubstr(": done"))) << "nothing is trained twice";
  EXPECT_EQ(leave_out_of(folder / "a"), tables);
  // In one go: the same.
  ASSERT_EQ(run(leaving_out(manifest, folder / "b")).code, 0);
  EXPECT_EQ(leave_out_of(folder / "b"), tables);
  // Another question needs another folder.
  expect_refused(run(leaving_out(manifest, folder / "a", {"--k", "0.02"})), 2, {"condition.k", "another folder"});
  put(folder / "rails/fewer.csv", get(manifest).substr(0, get(manifest).rfind('\n', get(manifest).size() - 2) + 1));
  expect_refused(run(leaving_out(folder / "rails/fewer.csv", folder / "a")), 2, {"a study of other recordings"});
  Words plain = leaving_out(manifest, folder / "a");
  std::erase(plain, "--leave-each-out");
  expect_refused(run(plain), 2, {"do not belong to a study", "another folder"});
  expect_refused(run(leaving_out(manifest, folder / "c", {"--train.leave_out", "velocity_mm_s=100"})), 2,
                 {"train.leave_out", "--leave-each-out"});
  EXPECT_FALSE(fs::exists(folder / "c"));
}

}  // namespace
}  // namespace evenflow::experiments::test
