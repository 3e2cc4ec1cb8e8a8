// evenflow experiment study: its tables from made-up scores, and the whole of it in miniature.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>

#include "experiments/study/alarms.h"
#include "experiments/study/evidence.h"
#include "experiments/study/figures.h"
#include "experiments/study/paper.h"
#include "experiments/study/tables.h"
#include "io/error.h"
#include "tests/experiments/program.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
// ---- tables

/// Test clips at 100, 200 and 300 (200 unseen), normal and anomalous; training clips at 100 and 300. The estimates are
/// the truth through a straight line.
train::ScoreTable made_up(double gap_of_nll, double gap_of_scatter) {
  train::ScoreTable table{
      {"velocity_mm_s"}, {"score_zc", "score_zc_logdet", "score_scatter", "nll", "nll_given_v"}, {"velocity_mm_s"}, {}};
  int number = 0;
  const auto add = [&](io::Split split, int label, double v) {
    train::ClipScore score;
    score.clip = {"clip" + std::to_string(number), "rail", split, label, {v}, "", ""};
    const double spread = 0.1 * (number * 7 % 10);  // 0 .. 0.9, the same for both labels
    const double nll = spread + gap_of_nll * label;
    score.scores = {-nll, -nll, spread + gap_of_scatter * label, nll, nll};
    score.estimate = {0.5 * v + 40};
    table.clips.push_back(score);
    ++number;
  };
  for (const double v : {100.0, 200.0, 300.0}) {
    for (const int label : {0, 1}) {
      for (int i = 0; i < 10; ++i) {
        add(io::Split::test, label, v);
      }
    }
    if (v != 200) {
      add(io::Split::train, 0, v);
    }
    number = 10 * (number / 10 + 1);
  }
  return table;
}

NormalRows training_rows(const train::ScoreTable& table) {
  NormalRows rows;
  for (size_t i = 0; i < table.clips.size(); ++i) {
    if (table.clips[i].clip.split == io::Split::train) {
      rows.training.push_back(i);
    }
  }
  return rows;
}

Study made_up_study() {
  Study study;
  study.parameter = "velocity_mm_s";
  study.training_values = {100, 300};
  study.seeds = {1, 2};
  for (const System& system : flow_systems({})) {
    const double gap = system.config.condition.enabled ? 0.45 : 0.05;
    const train::ScoreTable run = made_up(gap, 2.0);
    study.systems.push_back({system, {run, run}, {}, {training_rows(run), training_rows(run)}});
  }
  return study;
}

const AucRow& find(const StudyTables& tables, const std::string& system, const std::string& score,
                   const std::string& group) {
  const auto found = std::find_if(tables.auc.begin(), tables.auc.end(), [&](const AucRow& row) {
    return row.system == system && row.score == score && row.group == group;
  });
  if (found == tables.auc.end()) {
    throw std::runtime_error("no row of " + system + ", " + score + ", " + group);
  }
  return *found;
}

TEST(StudyTables, HoldEverySystemScoreAndGroup) {
  const StudyTables tables = study_tables(made_up_study(), {.resamples = 200});
  // Four systems; conventional ones have no nll_given_v; all, seen, unseen and three values.
  EXPECT_EQ(tables.auc.size(), size_t{(2 * 4 + 2 * 5) * 6});
  const AucRow& perfect = find(tables, "multi_scale_constrained", "score_scatter", "unseen");
  EXPECT_EQ(perfect.over_seeds.value, 1.0);
  EXPECT_EQ(perfect.over_clips.low, 1.0);
  EXPECT_EQ(perfect.normal, 10);
  EXPECT_EQ(perfect.anomalous, 10);
  const AucRow& seen = find(tables, "single_scale_conventional", "nll", "seen");
  EXPECT_EQ(seen.normal, 20);
  EXPECT_EQ(seen.over_seeds.low, seen.over_seeds.value) << "both seeds are alike";
  EXPECT_LT(seen.over_clips.low, seen.over_seeds.value);
  EXPECT_GT(seen.over_clips.high, seen.over_seeds.value);
  EXPECT_EQ(find(tables, "multi_scale_conventional", "nll", "velocity_mm_s = 300").anomalous, 10);
  // The negated score has the complementary area.
  EXPECT_NEAR(find(tables, "single_scale_conventional", "score_zc", "all").over_seeds.value,
              1.0 - find(tables, "single_scale_conventional", "nll", "all").over_seeds.value, 1e-12);
}

TEST(StudyTables, CompareEachConstrainedFlowWithItsConventionalOne) {
  const StudyTables tables = study_tables(made_up_study(), {.resamples = 200});
  EXPECT_EQ(tables.differences.size(), size_t{2 * 5 * 6});
  for (const DifferenceRow& row : tables.differences) {
    EXPECT_EQ(row.against_score, "nll");
    EXPECT_EQ(row.against_system, row.system.substr(0, row.system.find("_scale")) + "_scale_conventional");
    if (row.score != "nll" || row.group != "all") {
      continue;
    }
    const double expected = find(tables, row.system, "nll", "all").over_seeds.value -
                            find(tables, row.against_system, "nll", "all").over_seeds.value;
    EXPECT_NEAR(row.difference.value, expected, 1e-12);
    EXPECT_GT(row.difference.low, 0);
  }
}

TEST(StudyTables, CalibrateEstimatesOnTheTrainingClips) {
  const StudyTables tables = study_tables(made_up_study(), {.resamples = 10});
  // Constrained flows only; one unseen value has no correlation.
  ASSERT_EQ(tables.estimates.size(), size_t{2 * 2});
  for (const EstimateRow& row : tables.estimates) {
    EXPECT_NEAR(row.correlation.value, 1.0, 1e-12);
    EXPECT_NEAR(row.calibrated_error.value, 0.0, 1e-9);
    EXPECT_GT(row.mean_absolute_error.value, 10.0);
    EXPECT_EQ(row.clips, row.group == "all" ? 30 : 20);
  }
}

TEST(StudyTables, ClipsOfUnknownValueAreNeitherSeenNorUnseen) {
  Study study = made_up_study();
  for (SystemScores& system : study.systems) {
    for (train::ScoreTable& run : system.runs) {
      for (train::ClipScore& clip : run.clips) {
        if (clip.clip.parameter.front() == 100 && clip.clip.split == io::Split::test) {
          clip.clip.parameter = {std::nan("")};
        }
      }
    }
  }
  const StudyTables tables = study_tables(study, {.resamples = 10});
  EXPECT_EQ(find(tables, "multi_scale_conventional", "nll", "all").normal, 30);
  EXPECT_EQ(find(tables, "multi_scale_conventional", "nll", "seen").normal, 10);
  EXPECT_EQ(find(tables, "multi_scale_conventional", "nll", "unseen").normal, 10);
}

// Two values, normal clips spread by 1 about 10 and about 20; a fault adds 3 to zc, 1 to zd and takes 2 from the
// log-determinant.
TEST(StudyTables, TellCombinationsThatWereNeverTrained) {
  // Training: 100 with A, 300 with B. Tests have both tools at every speed, in turns.
  Study study = made_up_study();
  for (SystemScores& system : study.systems) {
    for (train::ScoreTable& run : system.runs) {
      run.parameter_names.emplace_back("tool");
      run.categories = {{}, {"A", "B"}};
      for (size_t i = 0; i < run.clips.size(); ++i) {
        io::Clip& clip = run.clips[i].clip;
        const bool trained_with_b = clip.parameter[0] == 300;
        clip.parameter.push_back(clip.split == io::Split::train ? (trained_with_b ? 1.0 : 0.0)
                                                                : static_cast<double>(i % 2));
      }
    }
  }
  const StudyTables tables = study_tables(study, {.resamples = 50});
  for (const char* group : {"seen combination", "unseen combination"}) {
    const AucRow& row = find(tables, "multi_scale_constrained", "score_scatter", group);
    EXPECT_EQ(row.normal, 10) << "200 is an unseen value, and so in neither";
    EXPECT_EQ(row.anomalous, 10);
    EXPECT_EQ(row.over_seeds.value, 1.0);
    EXPECT_NE(find_difference(tables, "multi_scale_constrained", "score_scatter", group), nullptr);
  }
  EXPECT_THAT(to_text(tables, study), AllOf(HasSubstr("unseen %  seen combination %  unseen combination %"),
                                            HasSubstr("score_scatter  unseen combination")));
  EXPECT_THAT(to_text(study_tables(made_up_study(), {.resamples = 50}), study), Not(HasSubstr("seen combination %")));
}

TEST(Evidence, IsGapSpreadAndDriftOfEachPart) {
  train::ScoreTable table{{"velocity_mm_s"}, {"score_zc", "score_zc_logdet", "nll"}, {}, {}};
  for (const double v : {100.0, 200.0}) {
    for (const int label : {0, 1}) {
      for (const double off : {-1.0, 0.0, 1.0}) {
        train::ClipScore clip;
        clip.clip = {"clip", "rail", io::Split::test, label, {v}, "", ""};
        const double zc = v / 10 + off + 3 * label, zd = 5.0 + label, log_det = 40.0 - 2 * label;
        clip.scores = {zc, zc - log_det, zc - log_det + zd};
        table.clips.push_back(clip);
      }
    }
  }
  Study study;
  study.training_values = {100};
  SystemScores flow;
  flow.runs = {table, table};
  const std::vector<EvidenceRow> rows = evidence(study, flow);
  ASSERT_EQ(rows.size(), 4U);
  const auto expect = [&](size_t i, const char* part, double gap, double spread, double drift) {
    EXPECT_EQ(rows[i].part, part);
    EXPECT_TRUE(std::abs(rows[i].gap - gap) <= 1e-12) << part << rows[i].gap;
    EXPECT_TRUE(std::abs(rows[i].spread - spread) <= 1e-12) << part << rows[i].spread;
    EXPECT_TRUE(std::abs(rows[i].drift - drift) <= 1e-12) << part << rows[i].drift;
  };
  expect(0, "zc", 3, 1, std::sqrt(50.0));
  expect(1, "zd", 1, 0, 0);
  expect(2, "log-det", 2, 0, 0);
  expect(3, "nll", 6, 1, std::sqrt(50.0));
  const std::vector<EvidenceRow> by_score = causes(study, flow);
  ASSERT_EQ(by_score.size(), 3U);
  EXPECT_EQ(by_score[0].part, "nll");
  EXPECT_EQ(by_score[1].part, "score_zc");
  EXPECT_TRUE(std::abs(by_score[1].gap - 3) <= 1e-12);
  EXPECT_TRUE(std::abs(by_score[1].inflation - 10) <= 1e-12) << "200 is unseen";
  for (train::ClipScore& clip : table.clips) {
    clip.clip.label = 0;
  }
  flow.runs = {table};
  EXPECT_TRUE(evidence(study, flow).empty());
}

TEST(Causes, TakeReadingsOfOneSpeedTogether) {
  train::ScoreTable table{{"velocity_mm_s"}, {"nll"}, {}, {}};
  const auto add = [&](double v, int label, double nll) {
    train::ClipScore clip;
    clip.clip = {"clip", "rail", io::Split::test, label, {v}, "", ""};
    clip.scores = {nll};
    table.clips.push_back(clip);
  };
  for (const double v : {100.0, 200.0, 300.0}) {
    add(v - 0.4, 0, v / 100);
    add(v + 0.3, 0, v / 100 + 2);
    add(v + 0.1, 1, v / 100 + 5);
  }
  Study study;
  study.training_values = {99.8, 100.2, 199.9, 200.3, 299.7, 300.1};
  SystemScores system;
  system.runs = {table};
  const std::vector<EvidenceRow> rows = causes(study, system);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_TRUE(std::abs(rows[0].gap - 4) <= 1e-12) << rows[0].gap;
  EXPECT_TRUE(std::abs(rows[0].spread - std::sqrt(2.0)) <= 1e-12) << rows[0].spread;
  EXPECT_TRUE(std::abs(rows[0].drift - 1) <= 1e-12) << rows[0].drift;
  std::erase_if(table.clips, [](const train::ClipScore& clip) {
    return clip.clip.label == 0 && std::fmod(clip.clip.parameter[0], 100) < 50;
  });
  system.runs = {table};
  EXPECT_TRUE(std::isnan(causes(study, system).at(0).spread)) << "one clip has no spread";
}

// Normal clips score 0 to 0.9 at every value, and so do the two training clips; anomalous ones 2 more.
TEST(Alarms, AreAtOneThresholdSetOnTrainingClips) {
  Study study = made_up_study();
  for (SystemScores& system : study.systems) {
    for (size_t run = 0; run < system.runs.size(); ++run) {
      train::ScoreTable& table = system.runs[run];
      const size_t scatter = table.column("score_scatter");
      // Twenty training clips: 0 to 0.95, at 100.
      system.normal[run].training.clear();
      for (int i = 0; i < 20; ++i) {
        train::ClipScore clip = table.clips.back();
        clip.clip.split = io::Split::train;
        clip.clip.label = 0;
        clip.clip.parameter = {100};
        clip.scores[scatter] = 0.05 * i;
        system.normal[run].training.push_back(table.clips.size());
        table.clips.push_back(clip);
      }
    }
    system.system.config.score.threshold = io::ThresholdMethod::quantile;
  }
  // Unseen normal clips are shifted upwards by 0.5: half of them and more lie above.
  for (SystemScores& system : study.systems) {
    for (train::ScoreTable& run : system.runs) {
      for (train::ClipScore& clip : run.clips) {
        if (clip.clip.parameter[0] == 200 && clip.clip.label == 0) {
          clip.scores[run.column("score_scatter")] += 0.5;
        }
      }
    }
  }
  const double threshold =
      train::fit_threshold(normal_scores(study.systems[0], 0, "score_scatter"),
                           {.threshold = io::ThresholdMethod::quantile, .threshold_quantile = 0.95}, "score_scatter")
          .data.value;
  ASSERT_TRUE(threshold >= 0.9 && threshold <= 0.95) << threshold;
  const auto find_row = [rows = alarms(study)](const std::string& group) {
    return *std::find_if(rows.begin(), rows.end(), [&](const AlarmRow& row) {
      return row.system == "multi_scale_constrained" && row.score == "score_scatter" && row.group == group;
    });
  };
  EXPECT_EQ(find_row("seen").false_alarms.value, 0.0);
  EXPECT_NEAR(find_row("unseen").false_alarms.value, 0.5, 1e-12) << "0.5 to 1.4 in steps of 0.1";
  EXPECT_NEAR(find_row("all").false_alarms.value, 0.5 / 3, 1e-12);
  EXPECT_EQ(find_row("velocity_mm_s = 200").found.value, 1.0);
  const auto challenge = challenge_figures(study);
  const auto scatter = std::find_if(challenge.begin(), challenge.end(),
                                    [](const ChallengeRow& row) { return row.score == "score_scatter"; });
  ASSERT_NE(scatter, challenge.end());
  EXPECT_EQ(scatter->harmonic_mean.value, 1.0) << "anomalous clips lie above all normal ones";
}

TEST(Alarms, PoolTheChallengesFiguresByTheHarmonicMean) {
  const Study study = made_up_study();
  for (const ChallengeRow& row : challenge_figures(study)) {
    const double expected =
        3.0 / (1.0 / row.source_auc.value + 1.0 / row.target_auc.value + 1.0 / row.partial_auc.value);
    EXPECT_NEAR(row.harmonic_mean.value, expected, 1e-12) << row.score;  // both runs are alike
  }
}

TEST(StudyTables, ScoresOfOtherClipsAreRefused) {
  Study study = made_up_study();
  study.systems[1].runs[1].clips.pop_back();
  EXPECT_THROW(study_tables(study), io::DataError);
}

// ---- the program

Words study(const std::string& manifest, const std::string& out, const Words& more = {}) {
  Words words = {"experiment", "study", manifest, "--out", out, "--seeds", "2", "--epochs", "2", "--threads", "2"};
  for (const char* word : {"--model.blocks", "2", "--model.steps", "1", "--model.hidden", "2", "--batch", "4",
                           "--window.window_frames", "32", "--window.window_hop_frames", "16"}) {
    words.emplace_back(word);
  }
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::string tables_of(const std::string& folder) {
  return get(folder + "/auc.csv") + get(folder + "/differences.csv") + get(folder + "/estimates.csv");
}

std::string without_column(const std::string& csv, const std::string& name) {
  std::istringstream in(csv);
  std::string line, out;
  std::optional<size_t> dropped;
  while (std::getline(in, line)) {
    std::vector<std::string> cells;
    std::istringstream of_line(line);
    for (std::string cell; std::getline(of_line, cell, ',');) {
      cells.push_back(cell);
    }
    if (!dropped) {
      dropped = static_cast<size_t>(std::find(cells.begin(), cells.end(), name) - cells.begin());
    }
    cells.erase(cells.begin() + static_cast<std::ptrdiff_t>(*dropped));
    out += fmt::format("{}\n", fmt::join(cells, ","));
  }
  return out;
}

class StudyProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(run(synth_three_speeds(folder_ / "rails", {.train = 4, .normal = 2, .anomalous = 2})).code, 0);
  }
  std::string manifest() const { return folder_ / "rails/manifest.csv"; }
  void expect_refused(const std::string& text, const std::string& why) {
    put(folder_ / "rails/other.csv", text);
    const Outcome outcome = run(study(folder_ / "rails/other.csv", folder_ / "refused"));
    EXPECT_EQ(outcome.code, 3) << outcome.out;
    EXPECT_THAT(outcome.err, HasSubstr(why));
    EXPECT_FALSE(fs::exists(folder_ / "refused"));
  }
  Folder folder_;
};

TEST_F(StudyProgram, WritesTablesAndDoesFinishedWorkOnce) {
  const Outcome first = run(study(manifest(), folder_ / "a"));
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("multi-scale, constrained"));
  EXPECT_THAT(first.out, HasSubstr("score_scatter"));
  const std::string tables = tables_of(folder_ / "a");
  EXPECT_THAT(tables, HasSubstr("single_scale_conventional,nll,velocity_mm_s = 200,2,2,"));
  const auto trained = fs::last_write_time(folder_ / "a/cells/multi_scale_constrained/seed_2/run/model.h5");
  ASSERT_EQ(run(study(manifest(), folder_ / "a")).code, 0);
  EXPECT_EQ(fs::last_write_time(folder_ / "a/cells/multi_scale_constrained/seed_2/run/model.h5"), trained);
  EXPECT_EQ(tables_of(folder_ / "a"), tables);
  // A cell of an older program, without a score that the others have.
  const std::string old = folder_ / "a/cells/multi_scale_constrained/seed_2/scores.csv", now = get(old);
  put(old, without_column(now, "score_scatter"));
  const Outcome older = run(study(manifest(), folder_ / "a"));
  EXPECT_EQ(older.code, 0) << older.err;
  EXPECT_THAT(older.out + older.err, HasSubstr("multi_scale_constrained/seed_2' has no score_scatter"));
  put(old, now);
  // Stopped in the middle and gone on: the same tables.
  {
    Program program(study(manifest(), folder_ / "b"));
    EXPECT_TRUE(program.wait_until([&] { return fs::exists(folder_ / "b/cells/multi_scale_conventional/seed_1"); }));
    program.send(SIGINT);
    EXPECT_EQ(program.finish().code, 130);
  }
  EXPECT_FALSE(fs::exists(folder_ / "b/auc.csv"));
  ASSERT_EQ(run(study(manifest(), folder_ / "b")).code, 0);
  EXPECT_EQ(tables_of(folder_ / "b"), tables);
  // Another question needs another folder.
  const Outcome other = run(study(manifest(), folder_ / "a", {"--learning-rate", "0.01"}));
  EXPECT_EQ(other.code, 2);
  EXPECT_THAT(other.err, HasSubstr("train.learning_rate"));
  ASSERT_EQ(run(synth_three_speeds(folder_ / "others", {.train = 4, .normal = 2, .anomalous = 2})).code, 0);
  const Outcome data = run(study(folder_ / "others/manifest.csv", folder_ / "a"));
  EXPECT_EQ(data.code, 2);
  EXPECT_THAT(data.err, HasSubstr("a study of other recordings"));
}

TEST_F(StudyProgram, RefusesRecordingsThatAnswerNothing) {
  const std::string header = "path,split,label,machine,velocity_mm_s\n";
  expect_refused("path,split,label,machine\nx.wav,train,normal,rail\n", "no parameter column");
  expect_refused(header + "x.wav,train,normal,rail,100\ny.wav,test,normal,rail,200\n", "1 value of velocity_mm_s");
  expect_refused(header + "x.wav,train,normal,rail,100\ny.wav,train,normal,rail,200\nz.wav,test,normal,rail,200\n",
                 "was not trained on");
  expect_refused(header + "x.wav,train,normal,rail,100\ny.wav,train,normal,rail,200\nz.wav,test,normal,rail,300\n",
                 "1 normal and 0 anomalous");
  expect_refused(header + "x.wav,train,normal,rail,100\ny.wav,train,normal,rail,200\nw.wav,test,normal,rail,200\n" +
                     "z.wav,test,anomaly,rail,300\n",
                 "0 normal and 1 anomalous test clips at values of velocity_mm_s that were not trained on");
  // A combination that is new is enough, so that what is missed are the recordings.
  const std::string combined =
      "path,split,label,machine,velocity_mm_s,tool\nx.wav,train,normal,rail,100,A\n"
      "y.wav,train,normal,rail,200,B\nz.wav,test,normal,rail,100,B\n";
  expect_refused(combined, "1 normal and 0 anomalous test clips");
  expect_refused(combined + "w.wav,test,anomaly,rail,200,A\n", "x.wav");
}

// ---- a family of rails

TEST(FamilyProgram, ComparesSystemsOnEveryRailAndGoesOn) {
  const Folder folder;
  const Words words = {"experiment", "family",     "--miniature", "--out",     folder / "a", "--severity",
                       "2",          "--tonality", "1,4",         "--threads", "2"};
  const Outcome outcome = run(words);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::string table = get(folder / "a/family.csv");
  for (const char* part :
       {"severity_2.background_1.tonality_1.variation_1", "severity_2.background_1.tonality_4.variation_1",
        "single_scale_conventional,nll", "multi_scale_additive,score_zc", "multi_scale_augmented,nll"}) {
    EXPECT_THAT(table, HasSubstr(part));
  }
  EXPECT_THAT(outcome.out, HasSubstr("Most like the paper's by its conventional rows: severity_2"));
  const Outcome again = run(words);
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(get(folder / "a/family.csv"), table);
  EXPECT_THAT(again.out, Not(HasSubstr(": done"))) << "nothing is trained twice";
  expect_refused(run({"experiment", "family", "--miniature", "--out", folder / "a", "--tonality", "1,1"}), 2,
                 {"listed twice"});
  expect_refused(run({"experiment", "family", "--miniature", "--out", folder / "b", "--tonality", "1,-1"}), 2,
                 {"the tonality is -1"});
}

// ---- the paper's study

std::string files_of(const std::string& folder, const std::vector<const char*>& names) {
  std::string all;
  for (const char* name : names) {
    all += get(folder + "/" + name);
  }
  return all;
}

Outcome miniature(const std::string& folder, const Words& more = {}) {
  Words words = {"experiment", "paper", "--miniature", "--out", folder, "--threads", "2"};
  words.insert(words.end(), more.begin(), more.end());
  return run(words);
}

TEST(PaperProgram, MakesTheWholeStudyAndTheSameOneAgain) {
  const Folder folder;
  const Outcome outcome = miniature(folder / "a");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("multi-scale Glow, proposed (zc)"));
  const std::string page = get(folder / "a/report.html");
  for (const char* part : {"VAE, loss (1)", "GMM of its errors", "GMM of its embedding", "target-mean adaptation",
                           "Table 1", "Where the gain comes from", "Where the fault shows", "What an operator sees",
                           "by which the fault moves the nll", "Figure 1", "Figure 2", "Figure 3", "Figure 4",
                           "What was chosen, and on what grounds", "own training", "Learning curves",
                           "AUC at each velocity", "evenflow experiment paper --miniature"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
  // Opens without a network: nothing is fetched.
  for (const char* outside : {"src=\"http", "href=\"http", "@import", "<script"}) {
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  }
  for (const char* name : {"figure1_logmel", "figure2_estimates", "figure3_conventional", "figure4_proposed",
                           "figure5_chosen", "auc_by_velocity", "scores_over_epochs", "learning"}) {
    const std::string stem = folder / "a/figures/" + std::string(name);
    EXPECT_THAT(get(stem + ".svg"), HasSubstr("<svg")) << name;
    EXPECT_GT(fs::file_size(stem + ".png"), 1000U) << name;
  }
  for (const char* row : {"GMM of its errors\",score_gmm,,all,0.", "GMM of its embedding\",score_gmm,,unseen,0.",
                          "target-mean adaptation\",nll,,seen,0."}) {
    EXPECT_THAT(get(folder / "a/table1.csv"), HasSubstr(row));
  }
  EXPECT_THAT(get(folder / "a/differences.csv"),
              HasSubstr("\nmulti_scale_additive,score_zc,multi_scale_conventional,nll,"));
  const std::vector<const char*> tables = {"auc.csv",          "differences.csv", "estimates.csv",    "evidence.csv",
                                           "score_curves.csv", "table1.csv",      "choice/choice.csv"};
  fs::create_directory(folder / "b");  // as one that was stopped before it had begun
  ASSERT_EQ(miniature(folder / "b").code, 0);
  EXPECT_EQ(files_of(folder / "a", tables), files_of(folder / "b", tables));
  // Finished work is done once, and one more seed adds to it.
  const fs::path model = folder / "a/cells/single_scale_conventional/seed_1/run/model.h5";
  const auto trained = fs::last_write_time(model);
  ASSERT_EQ(miniature(folder / "a", {"--seeds", "3"}).code, 0);
  EXPECT_EQ(fs::last_write_time(model), trained);
  EXPECT_TRUE(fs::exists(folder / "a/cells/single_scale_conventional/seed_3/scores.csv"));
  EXPECT_THAT(run({"info", folder / "a"}).out, AllOf(HasSubstr("a: study of the paper\n"), HasSubstr("begun, "),
                                                     HasSubstr("choice/choice.csv"), HasSubstr("table1.csv")));
  for (const char* name : {"auc.csv", "alarms.csv", "score_curves.csv", "choice/choice.csv", "evidence.csv"}) {
    EXPECT_THAT(run({"info", (folder / "a/") + name}).out, AllOf(HasSubstr("table of a study"), HasSubstr("columns")));
  }
  // What was chosen is a detector as any other, and thresholds for it can be set at other rates.
  const std::string chosen = folder / "a/cells/chosen/seed_1/run/model.h5";
  const Outcome set = run({"calibrate", chosen, "--left-out", folder / "a/choice", "--false-alarms", "0.2", "--out",
                           folder / "calibrated.h5"});
  EXPECT_EQ(set.code, 0) << set.err;
  EXPECT_THAT(set.out, HasSubstr("false alarms"));
  EXPECT_THAT(get(folder / "a/choice/choice.csv"), HasSubstr(",final,"));
  // A page about one of its trainings.
  const std::string training = folder / "a/cells/multi_scale_conventional/seed_1/run";
  for (const std::string& one : {training, (folder / "a/cells/vae/seed_1/run")}) {
    const Outcome report = run({"report", one, folder / "a/features.h5", "--out", folder / "page", "--threads", "1"});
    ASSERT_EQ(report.code, 0) << report.err;
    const std::string text = get(folder / "page/report.html");
    for (const char* part : {"The model", "How it learnt", "What it makes of the recordings", "Histogram of scores"}) {
      EXPECT_THAT(text, HasSubstr(part));
    }
    EXPECT_THAT(text, HasSubstr(one == training ? "<code>nll</code>" : "Estimated over true value"));
    EXPECT_TRUE(fs::exists(folder / "page/scores.csv"));
  }
  // Without recordings it still tells of the training.
  EXPECT_EQ(run({"report", training}).code, 0);
  EXPECT_THAT(get(training + "/report/report.html"), HasSubstr("no longer where they were"));
  const Outcome other = run({"experiment", "paper", "--quick", "--out", folder / "a"});
  EXPECT_EQ(other.code, 2);
  EXPECT_THAT(other.err, HasSubstr("a study of other recordings"));
  EXPECT_EQ(miniature(folder / "a", {"--tonality", "2"}).code, 2);
  // Trainings as short as those by which settings are compared are not made twice.
  const Outcome brief = miniature(folder / "brief", {"--epochs", "1", "--seeds", "1"});
  EXPECT_EQ(brief.code, 0) << brief.err;
  EXPECT_FALSE(fs::exists(folder / "brief/choice/final"));
  EXPECT_THAT(get(folder / "brief/report.html"), Not(HasSubstr("trained without each velocity once more")));
  EXPECT_THAT(page, HasSubstr("trained without each velocity once more"));
}

TEST(ScoreCurve, TakesAConstantLearningRate) {
  CurveOptions options;
  options.system.config.train.schedule = io::Schedule::cosine;
  EXPECT_THROW(score_curve({}, options), io::UsageError);
}

TEST(ScoreCurve, IsARowForEachStopAndScore) {
  ScoreCurve curve;
  curve.system.name = "single";
  curve.points = {{1, "nll", 0.5, 0.75, 0.25}, {2, "nll", 1, 1, std::nan("")}};
  EXPECT_EQ(to_csv(std::vector{curve}),
            "system,epochs,score,all,seen,unseen\nsingle,1,nll,0.5,0.75,0.25\nsingle,2,nll,1,1,\n");
}

TEST(PaperProgram, WithoutGnuplotItSaysSoBeforeAnyWork) {
  const Folder folder;
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", folder.path().c_str(), 1);
  const Outcome outcome = miniature(folder / "a");
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("gnuplot-nox"));
  EXPECT_FALSE(fs::exists(folder / "a"));
}

TEST(ReportProgram, NeedsARun) {
  const Folder folder;
  const Outcome outcome = run({"report", folder / "nothing"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("nothing"));
  EXPECT_THAT(run({"report", "--help"}).out, HasSubstr("RUN"));
}

TEST(LearningCurve, ARowThatIsCutShortIsNamed) {
  const Folder folder;
  put(folder / "config.toml", "");
  put(folder / "metrics.csv", "epoch,train_loss,validation_loss\n1,0.5,0.6\n2,0.4\n");
  try {
    learning_curve(std::string(folder / ""));
    FAIL() << "no error";
  } catch (const io::DataError& error) {
    EXPECT_THAT(error.what(), ::testing::AllOf(HasSubstr("metrics.csv"), HasSubstr("row 3")));
  }
}

TEST(StudyHelp, IsThere) {
  EXPECT_THAT(run({"experiment", "--help"}).out, HasSubstr("study"));
  EXPECT_THAT(run({"experiment", "study", "--help"}).out, HasSubstr("MANIFEST"));
  EXPECT_EQ(run({"experiment"}).code, 2);
  EXPECT_THAT(run({"experiment", "study", "m.csv", "--outt", "x"}).err, HasSubstr("did you mean '--out'"));
}

}  // namespace
}  // namespace evenflow::experiments::test
