// Figures of merit by group, DCASE's files, pictures, and how things are put in words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "experiments/console.h"
#include "experiments/recordings.h"
#include "experiments/report/dcase_files.h"
#include "experiments/report/evaluation.h"
#include "experiments/report/explanation.h"
#include "experiments/report/gnuplot.h"
#include "experiments/report/heat_map.h"
#include "experiments/report/page.h"
#include "experiments/report/score_notes.h"
#include "experiments/report/training_seen.h"
#include "io/error.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

struct Row {
  int label = 0;
  double score = 0, speed = 0, estimate = 0;
  int decision = 0;
  std::string domain = {}, machine = "fan", section = "00";
};

train::ScoreTable table_of(const std::vector<Row>& rows) {
  train::ScoreTable table;
  table.parameter_names = {"speed"};
  table.score_names = {"score_zc", "score_zc_logdet", "score_scatter", "nll", "nll_given_v"};
  table.estimated_names = {"speed"};
  for (size_t i = 0; i < rows.size(); ++i) {
    train::ClipScore clip;
    clip.clip.path = "folder/clip_" + std::to_string(i) + ".wav";
    clip.clip.label = rows[i].label;
    clip.clip.domain = rows[i].domain;
    clip.clip.machine = rows[i].machine;
    clip.clip.section = rows[i].section;
    clip.clip.parameter = {rows[i].speed};
    clip.score = rows[i].score;
    clip.scores = {-rows[i].score, 1.0, 0.0, rows[i].score, nan};
    clip.estimate = {rows[i].estimate};
    clip.decision = rows[i].decision;
    table.clips.push_back(std::move(clip));
  }
  return table;
}

const Group& group_of(const Evaluation& evaluation, const std::string& name) {
  for (const Group& group : evaluation.groups) {
    if (group.name == name) {
      return group;
    }
  }
  throw std::runtime_error("no group " + name);
}

void expect_near(double value, double expected) {
  if (!(std::abs(value - expected) <= 1e-12)) {
    ADD_FAILURE() << value << " instead of " << expected;
  }
}

const std::vector<Row> eight = {{0, 1, 10, 11, 0}, {0, 2, 20, 24, 0}, {0, 3, 10, 9, 1},  {0, 4, 20, 18, 0},
                                {1, 2, 10, 10, 0}, {1, 5, 20, 10, 1}, {1, 3, 10, 30, 1}, {1, 6, 20, 10, 1}};

TEST(Evaluation, GroupsAndTheirFigures) {
  const Evaluation evaluation = evaluate(table_of(eight), {{"speed", {10.0}}});
  EXPECT_EQ(evaluation.decided_by, "nll");
  const Group& all = group_of(evaluation, "all");
  EXPECT_EQ(all.normal, 4);
  EXPECT_EQ(all.anomalous, 4);
  // Pairs won by the anomaly: 2 beats 1 and ties 2; 5 and 6 beat all; 3 beats 1 and 2 and ties 3.
  expect_near(all.scores.at("nll").auc, (1.5 + 4 + 2.5 + 4) / 16.0);
  expect_near(all.scores.at("score_zc").auc, 1.0 - 12.0 / 16.0);
  expect_near(all.scores.at("score_zc_logdet").auc, 0.5);
  EXPECT_TRUE(std::isnan(all.scores.at("nll_given_v").auc));
  expect_near(group_of(evaluation, "seen in training").scores.at("nll").auc, (1 + 1.5) / 4.0);
  expect_near(group_of(evaluation, "unseen in training").scores.at("nll").auc, 1.0);
  expect_near(group_of(evaluation, "speed = 10").scores.at("nll").auc, (1 + 1.5) / 4.0);
  ASSERT_TRUE(all.decisions.has_value());
  EXPECT_EQ(all.decisions->false_positives, 1);
  EXPECT_EQ(all.decisions->false_negatives, 1);
  ASSERT_EQ(evaluation.means.size(), 1U);
  expect_near(evaluation.means[0].scores.at("nll").auc, (2.5 / 4.0 + 1.0) / 2.0);
}

TEST(Evaluation, ValuesThatDifferLookDifferent) {
  EXPECT_EQ(values_text({100, 300, 300.0001}), "100, 300, 300.0001");
  EXPECT_EQ(values_text({100, 300.5}), "100, 300.5");
  EXPECT_EQ(values_text({0.1 + 0.2, 0.3}), "0.30000000000000004, 0.3");
  std::vector<double> many(20);
  for (size_t i = 0; i < many.size(); ++i) {
    many[i] = 1000.0 + 1e-4 * static_cast<double>(i);
  }
  EXPECT_EQ(values_text(many), "1000, 1000.0001, ..., 1000.0019 (20 values)");
  std::vector<Row> rows;
  for (const double speed : {300.0, 300.0001}) {
    rows.push_back({0, 1.0, speed, speed});
    rows.push_back({1, 2.0, speed, speed});
  }
  const std::string text = to_text(evaluate(table_of(rows), {{"speed", {300.0, 300.0001}}}));
  EXPECT_THAT(text, HasSubstr("speed = 300 "));
  EXPECT_THAT(text, HasSubstr("speed = 300.0001 "));
  EXPECT_THAT(text, HasSubstr("of 300 and 300.0001."));
}

TEST(Evaluation, EstimatesOfNormalClips) {
  const Evaluation evaluation = evaluate(table_of(eight), {{"speed", {10.0}}});
  bool found = false;
  for (const EstimateQuality& estimate : evaluation.estimates) {
    if (estimate.group != "unseen" || estimate.clips != "normal") {
      continue;
    }
    found = true;
    EXPECT_EQ(estimate.count, 2);
    expect_near(estimate.mean_absolute_error, 3.0);
    EXPECT_TRUE(std::isnan(estimate.correlation));
  }
  EXPECT_TRUE(found);
}

TEST(Evaluation, WithoutTrainingValuesNothingIsSeenOrUnseen) {
  for (const Group& group : evaluate(table_of(eight), {}).groups) {
    EXPECT_NE(group.kind, "seen");
    EXPECT_NE(group.kind, "unseen");
  }
}

TEST(Evaluation, AnUnknownValueIsNeitherSeenNorUnseen) {
  std::vector<Row> rows = eight;
  for (Row& row : rows) {
    row.speed = nan;
  }
  const Evaluation none = evaluate(table_of(rows), {{"speed", {10.0, 20.0}}});
  for (const Group& group : none.groups) {
    EXPECT_TRUE(group.kind != "seen" && group.kind != "unseen") << group.name;
  }
  EXPECT_THAT(to_text(none), HasSubstr("8 clips of unknown value are neither seen nor unseen"));
  rows = eight;
  rows[0].speed = nan;
  const Evaluation one = evaluate(table_of(rows), {{"speed", {10.0}}});
  EXPECT_EQ(group_of(one, "seen in training").normal, 1);
  EXPECT_EQ(group_of(one, "unseen in training").normal, 2);
  for (const Group& group : evaluate(table_of(eight), {{"speed", {}}}).groups) {
    EXPECT_NE(group.kind, "unseen");
  }
}

TEST(Evaluation, CategoriesAndCombinations) {
  train::ScoreTable table = table_of(eight);
  table.parameter_names.emplace_back("tool");
  table.categories = {{}, {"A", "B"}};
  for (size_t i = 0; i < table.clips.size(); ++i) {
    table.clips[i].clip.parameter.push_back(i % 4 < 2 ? 0.0 : 1.0);
    table.clips[i].clip.split = io::Split::test;
  }
  // Speed 10 with A and B, 20 with A alone, by clips of a shard that has the names in another order.
  TrainingSeen training(table);
  std::vector<io::Clip> clips(4);
  const std::vector<std::vector<double>> values = {{1, 10}, {0, 10}, {1, 20}, {2, 20}};
  for (size_t i = 0; i < clips.size(); ++i) {
    clips[i].split = io::Split::train;
    clips[i].label = 0;
    clips[i].parameter = values[i];
  }
  clips[3].label = 1;  // no clip that is trained on
  training.add(clips, {"tool", "speed"}, {{"B", "A", "C"}, {}});

  const Evaluation evaluation = evaluate(table, training.values(), training.rows());
  EXPECT_EQ(group_of(evaluation, "seen in training").rows.size(), 8U);
  EXPECT_THAT(group_of(evaluation, "unseen combination").rows, ::testing::ElementsAre(3U, 7U));
  EXPECT_EQ(group_of(evaluation, "seen combination").rows.size(), 6U);
  EXPECT_EQ(group_of(evaluation, "tool = B").rows.size(), 4U);
  EXPECT_THAT(evaluation.seen_rule, AllOf(HasSubstr("tool A and B"), HasSubstr("A combination is unseen")));
  EXPECT_THAT(to_text(evaluation), HasSubstr("unseen combination"));
  // Of what the model alone says, combinations are not known.
  EXPECT_THROW(group_of(evaluate(table, training.values()), "unseen combination"), std::runtime_error);

  TrainingSeen numbers(table);
  EXPECT_THROW(numbers.add("tool", {1, 2}, {}), io::DataError);
  EXPECT_THROW(numbers.add("speed", {0}, {"fast"}), io::DataError);
}

// The table has its names in another order than the model, and one that the model does not know.
TEST(Evaluation, EstimatesOfNames) {
  train::ScoreTable table = table_of(eight);
  table.parameter_names.emplace_back("tool");
  table.categories = {{}, {"new", "B", "A"}};
  table.estimated_names.emplace_back("tool");
  table.estimated_categories.resize(table.estimated_names.size());
  table.estimated_categories.back() = {"A", "B"};
  const double unknown = nan;
  const std::vector<double> own = {2, 1, 2, 1, 0, unknown, 2, 1}, told = {0, 1, 1, 1, 1, 1, unknown, 0};
  const std::vector<double> probability = {1.0, 0.9, 0.6, 0.7, 1.0, 1.0, unknown, 0.5};
  for (size_t i = 0; i < table.clips.size(); ++i) {
    table.clips[i].clip.parameter.push_back(own[i]);
    table.clips[i].estimate.push_back(told[i]);
    table.clips[i].probability.resize(table.clips[i].estimate.size(), nan);
    table.clips[i].probability.back() = probability[i];
  }
  const Evaluation evaluation = evaluate(table, {});
  const auto both = std::find_if(evaluation.names.begin(), evaluation.names.end(),
                                 [](const NameQuality& name) { return name.clips == "both" && name.group == "all"; });
  ASSERT_NE(both, evaluation.names.end());
  EXPECT_EQ(both->parameter, "tool");
  EXPECT_EQ(both->count, 5);  // 0 to 3, and 7
  expect_near(both->accuracy, 3.0 / 5);
  expect_near(both->mean_probability, (1.0 + 0.9 + 0.6 + 0.7 + 0.5) / 5);
  expect_near(both->calibration_error, (0.1 + 0.6 + 0.3 + 0.5) / 5);
  EXPECT_THAT(to_text(evaluation), HasSubstr("tool, all"));
  EXPECT_THAT(to_csv(evaluation), AllOf(HasSubstr("accuracy,tool,0.6"), HasSubstr("calibration_error,tool,")));
  EXPECT_THAT(to_json(evaluation), HasSubstr("\"accuracy\": 0.6"));
  EXPECT_EQ(evaluation.without_estimate, 1);
  // The clip of the fifth row has a name that no estimate has; with a training that had it, it counts, as wrong.
  ASSERT_EQ(evaluation.names_left_out.size(), 1U);
  EXPECT_EQ(evaluation.names_left_out[0].name, "new");
  EXPECT_THAT(to_text(evaluation), HasSubstr("no estimate has the name (--model tells whether it was trained): tool = "
                                             "new (0 normal, 1 anomalous)"));
  const Evaluation trained = evaluate(table, {{"tool", {0, 1, 2}}});
  EXPECT_TRUE(trained.names_left_out.empty());
  EXPECT_EQ(trained.names[2].count, 6);
  expect_near(trained.names[2].accuracy, 3.0 / 6);
  const Evaluation never = evaluate(table, {{"tool", {1, 2}}});
  EXPECT_EQ(never.names[2].count, 5);
  EXPECT_THAT(to_text(never), HasSubstr("as the name was never trained: tool = new (0 normal, 1 anomalous)"));
  EXPECT_THAT(to_csv(never), HasSubstr("all,all,0,1,clips_of_untrained_name,tool = new,1\n"));
  EXPECT_THAT(to_json(never), HasSubstr("names_left_out"));

  // A clip outside of what was calibrated, for its name or for something else.
  table.clips[4].outside_calibration = table.clips[0].outside_calibration = 1;
  EXPECT_THAT(
      to_text(evaluate(table, {{"tool", {1, 2}}})),
      AllOf(HasSubstr("Note: 1 clip of tool = new, which was never trained (trained: B, A), is scored as if it "
                      "were unknown: folder/clip_4.wav.\n"),
            HasSubstr("Note: 1 clip lies outside of the operating points that were calibrated, or sounds like none "
                      "of the names, and its calibrated scores are those of the nearest one: "
                      "folder/clip_0.wav.\n")));
  EXPECT_THAT(to_text(evaluate(table, {})), Not(HasSubstr("never trained")));
}

// Of a table that was scored now, clips that fit no name are told from those of an estimate that was never calibrated.
TEST(Evaluation, ReasonsToBeOutsideOfWhatWasCalibrated) {
  train::ScoreTable table = table_of(eight);
  table.clips[0].outside_calibration = table.clips[1].outside_calibration = table.clips[2].outside_calibration = 1;
  table.clips[1].no_category = true;
  table.parameter_names.emplace_back("tool");
  table.categories = {{}, {"A", "Z"}};
  for (size_t i = 0; i < table.clips.size(); ++i) {
    table.clips[i].clip.parameter.push_back(i == 2 ? 1.0 : 0.0);
  }
  const train::OutsideClips outside = train::outside_calibration(table, {{"tool", {"A", "B"}}});
  EXPECT_EQ(outside.estimate, std::vector<std::string>{"folder/clip_0.wav"});
  EXPECT_EQ(outside.unlike, std::vector<std::string>{"folder/clip_1.wav"});
  ASSERT_EQ(outside.untrained.size(), 1U);
  EXPECT_EQ(outside.untrained[0].name, "Z");
  EXPECT_EQ(outside.paths().size(), 3U);
  EXPECT_THAT(outside_calibration_texts(outside),
              ::testing::ElementsAre(HasSubstr("1 clip lies outside of the operating points that were calibrated, and"),
                                     HasSubstr("1 clip sounds like none of the names that were trained"),
                                     HasSubstr("1 clip of tool = Z, which was never trained (trained: A, B)")));
}

TEST(Evaluation, ReadingsBesideTrainedOnesAreSeen) {
  const TrainingValues training = {{"speed", {98.01, 98.8, 99.63, 200.16, 200.63, 201.7, 298.82, 301.12}}};
  const std::vector<Row> rows = {{0, 1, 102.45}, {1, 2, 100.41}, {0, 1, 148.15},
                                 {1, 2, 148.56}, {0, 1, 252.4},  {1, 2, 250.3}};
  const Evaluation evaluation = evaluate(table_of(rows), training);
  EXPECT_EQ(group_of(evaluation, "seen in training").rows.size(), 2U);
  EXPECT_EQ(group_of(evaluation, "unseen in training").rows.size(), 4U);
  for (const char* row : {"speed = 100.41 to 102.45", "speed = 148.15 to 148.56", "speed = 250.3 to 252.4"}) {
    EXPECT_EQ(group_of(evaluation, row).rows.size(), 2U) << row;
  }
  EXPECT_THAT(to_text(evaluation),
              HasSubstr("Seen in training: speed within 9.9 of 98.01 to 99.63, 200.16 to 201.7 and"));
}

TEST(Evaluation, SaysWhichClipsLieOutsideOfWhatWasCalibrated) {
  train::ScoreTable table = table_of(eight);
  const std::string without = to_csv(evaluate(table, {}));
  EXPECT_THAT(to_text(evaluate(table, {})), Not(HasSubstr("calibrated")));
  for (train::ClipScore& clip : table.clips) {
    clip.outside_calibration = 0;
  }
  EXPECT_EQ(to_csv(evaluate(table, {})), without);
  table.clips[0].outside_calibration = 1;
  table.clips[3].outside_calibration = 1;
  const Evaluation evaluation = evaluate(table, {});
  EXPECT_THAT(to_text(evaluation),
              HasSubstr("Note: 2 clips lie outside of the operating points that were calibrated, and their calibrated "
                        "scores are those of the nearest one: folder/clip_0.wav, folder/clip_3.wav.\n"));
  EXPECT_EQ(to_csv(evaluation), without + "all,all,,,clips_outside_calibration,,2\n");
  EXPECT_THAT(to_json(evaluation), HasSubstr("clips_outside_calibration"));
}

TEST(Evaluation, LeavesOutScoresThatAreNotFiniteAndSaysSo) {
  std::vector<Row> rows = eight;
  rows.push_back({1, nan, 10, 12, -1});
  rows.push_back({0, std::numeric_limits<double>::infinity(), 20, nan, -1});
  const Evaluation evaluation = evaluate(table_of(rows), {{"speed", {10.0}}});
  EXPECT_EQ(to_csv(evaluate(table_of(eight), {{"speed", {10.0}}})) + "all,all,,,clips_without_finite_score,score,2\n",
            to_csv(evaluation));
  EXPECT_THAT(to_text(evaluation), HasSubstr("Left out, as the score is not finite: 2 clips (folder/clip_8.wav, "));
  EXPECT_THAT(to_json(evaluation), HasSubstr("clips_without_finite_score"));
  EXPECT_EQ(without_value_text({{"nll_given_v", 2}}), "Not finite, and so in no figure: nll_given_v of 2 clips.\n");
  for (Row& row : rows) {
    row.score = nan;
  }
  EXPECT_THROW(evaluate(table_of(rows), {}), io::DataError);
  rows = eight;
  rows[0].estimate = std::numeric_limits<double>::infinity();
  EXPECT_THAT(to_text(evaluate(table_of(rows), {})), HasSubstr("1 estimate is not finite"));
}

TEST(Evaluation, GroupsOfOneClassHaveNoFigures) {
  std::vector<Row> rows = eight;
  for (Row& row : rows) {
    row.speed = row.label == 1 ? 10.0 : 20.0;
  }
  const Evaluation evaluation = evaluate(table_of(rows), {});
  EXPECT_TRUE(std::isnan(group_of(evaluation, "speed = 10").scores.at("nll").auc));
  EXPECT_THAT(to_text(evaluation), ::testing::ContainsRegex("speed = 10 +0 +4 +-"));
  EXPECT_THAT(to_csv(evaluation), HasSubstr("speed = 10,value,0,4,auc,nll,\n"));
}

TEST(Evaluation, OneClassAltogetherIsAnError) {
  std::vector<Row> rows = eight;
  for (Row& row : rows) {
    row.label = 1;
  }
  EXPECT_THROW(evaluate(table_of(rows), {}), io::DataError);
  for (Row& row : rows) {
    row.label = -1;
  }
  EXPECT_THROW(evaluate(table_of(rows), {}), io::DataError);
}

TEST(Evaluation, MachinesDomainsAndSections) {
  std::vector<Row> rows = eight;
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].machine = i % 2 == 0 ? "fan" : "pump";
    rows[i].section = i % 4 < 2 ? "00" : "01";
    rows[i].domain = i % 4 < 2 ? "source" : "target";
  }
  const Evaluation evaluation = evaluate(table_of(rows), {});
  for (const char* name : {"machine fan", "machine pump", "domain source", "domain target", "section fan 01"}) {
    EXPECT_EQ(group_of(evaluation, name).kind, std::string(name).substr(0, std::string(name).find(' ')));
  }
}

TEST(Evaluation, JsonAndCsvSayTheSame) {
  const Evaluation evaluation = evaluate(table_of(eight), {{"speed", {10.0}}});
  const nlohmann::json json = nlohmann::json::parse(to_json(evaluation));
  EXPECT_EQ(json["groups"][0]["scores"]["nll"]["auc"], 0.75);
  EXPECT_TRUE(json["groups"][0]["scores"]["nll_given_v"]["auc"].is_null());
  EXPECT_EQ(json["groups"][0]["decisions"]["false_positives"], 1);
  EXPECT_THAT(to_csv(evaluation), HasSubstr("all,all,4,4,auc,nll,0.75\n"));
}

// -------------------------------------------------------------------------------------------------------------- DCASE

class Dcase : public ::testing::Test {
 protected:
  void write(const std::vector<train::ClipScore>& clips) {
    for (DcaseFile& file : dcase_files(clips, "out")) {
      files_[file.path.lexically_relative("out").string()] = std::move(file.text);
    }
  }
  const std::string& text(const std::string& name) const { return files_.at(name); }
  bool has(const std::string& name) const { return files_.contains(name); }
  std::map<std::string, std::string> files_;
};

// Source: normals 1, 2; anomaly 1.5. Target: normals 3, 4; anomaly 3.5.
const std::vector<Row> domains = {{0, 1, 0, 0, 0, "source"}, {0, 2, 0, 0, 1, "source"}, {1, 1.5, 0, 0, 1, "source"},
                                  {0, 3, 0, 0, 1, "target"}, {0, 4, 0, 0, 1, "target"}, {1, 3.5, 0, 0, 1, "target"}};

TEST_F(Dcase, The2021FilesAreOfOneDomainEach) {
  write(table_of(domains).clips);
  EXPECT_EQ(text("2021/anomaly_score_fan_section_00_source_test.csv"), "clip_0.wav,1\nclip_1.wav,2\nclip_2.wav,1.5\n");
  EXPECT_EQ(text("2021/decision_result_fan_section_00_target_test.csv"), "clip_3.wav,1\nclip_4.wav,1\nclip_5.wav,1\n");
  EXPECT_THAT(text("2021/result.csv"), HasSubstr("machine,section,domain,auc,pauc,f1\nfan,00,source,0.5,"));
  EXPECT_THAT(text("2021/result.csv"), HasSubstr("\nharmonic mean,,,0.5,"));
}

TEST_F(Dcase, From2022OnADomainsNormalsMeetTheAnomaliesOfBoth) {
  write(table_of(domains).clips);
  EXPECT_EQ(text("2022/decision_result_fan_section_00_test.csv"),
            "clip_0.wav,0\nclip_1.wav,1\nclip_2.wav,1\nclip_3.wav,1\nclip_4.wav,1\nclip_5.wav,1\n");
  // Source normals 1, 2 against 1.5, 3.5: three of four pairs; target normals 3, 4: one of four.
  EXPECT_THAT(text("2022/result.csv"), HasSubstr("\nfan,00,0.75,0.25,"));
}

TEST_F(Dcase, NoDomainsNoDecisionsNoLabels) {
  std::vector<Row> rows = domains;
  for (Row& row : rows) {
    row.domain.clear();
    row.machine.clear();
    row.section.clear();
    row.label = row.decision = -1;
  }
  write(table_of(rows).clips);
  EXPECT_FALSE(has("2021/result.csv"));
  EXPECT_FALSE(has("2022/decision_result_machine_section_00_test.csv"));
  EXPECT_THAT(text("2022/anomaly_score_machine_section_00_test.csv"), HasSubstr("clip_5.wav,3.5\n"));
  EXPECT_THAT(text("2022/result.csv"), HasSubstr("\nmachine,00,,,,,\n"));
}

TEST_F(Dcase, TwoMachinesNeverShareAFile) {
  std::vector<Row> rows = {{0, 1}, {1, 2}};
  rows[0].machine = "a/b";
  rows[1].machine = "a_b";
  try {
    write(table_of(rows).clips);
    FAIL() << "one file for two machines";
  } catch (const io::DataError& error) {
    EXPECT_THAT(error.what(), ::testing::AllOf(HasSubstr("'a/b'"), HasSubstr("'a_b'"), HasSubstr("rename")));
  }
}

// ----------------------------------------------------------------------------------------------------------- pictures

TEST(HeatMap, ColoursRunFromVioletToYellow) {
  std::array<uint8_t, 3> rgb{};
  viridis(-1.0, rgb.data());
  EXPECT_THAT(rgb, ::testing::ElementsAre(68, 1, 84));
  viridis(2.0, rgb.data());
  EXPECT_THAT(rgb, ::testing::ElementsAre(253, 231, 37));
  viridis(nan, rgb.data());
  EXPECT_THAT(rgb, ::testing::ElementsAre(128, 128, 128));
  double brightness = 0;
  for (int i = 0; i <= 100; ++i) {
    viridis(i / 100.0, rgb.data());
    const double next = 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2];
    EXPECT_GE(next, brightness) << i;
    brightness = next;
  }
}

TEST(HeatMap, LowRowsAreAtTheBottom) {
  Image image(4, 4, 255);
  const std::vector<float> values = {1.0F, 0.0F, 0.0F, 0.0F};
  draw_matrix(image, values, 2, 2, 2, 0, 0, 0.0, 1.0);
  EXPECT_EQ(image.rgb[(3 * 4 + 0) * 3], 253);
  EXPECT_EQ(image.rgb[0], 68);
}

// ------------------------------------------------------------------------------------------ pages and pictures

TEST(Page, EscapesTextsAndSetsItsMarkup) {
  Page page("A < B & \"C\"", "lead");
  page.heading("First");
  page.paragraph("x < y, `k <v>` and **bold**, 2 ** 3, a ` alone");
  page.list({"one", "two"});
  page.code("<pre>");
  page.table({{"a", "b"}, {{"1", "`2`"}}, "a caption"});
  const std::string html = page.html();
  EXPECT_THAT(html, HasSubstr("<title>A &lt; B &amp; &quot;C&quot;</title>"));
  EXPECT_THAT(html, HasSubstr("x &lt; y, <code>k &lt;v&gt;</code> and <strong>bold</strong>, 2 ** 3, a ` alone"));
  EXPECT_THAT(html, HasSubstr("<li>two</li>"));
  EXPECT_THAT(html, HasSubstr("<pre>&lt;pre&gt;</pre>"));
  EXPECT_THAT(html, HasSubstr("<td><code>2</code></td>"));
  EXPECT_THAT(html, HasSubstr("<caption>a caption</caption>"));
}

TEST(Page, HoldsPicturesItself) {
  for (const auto& [svg, coded] :
       {std::pair{"<svg/>", "PHN2Zy8+"}, std::pair{"<svg />", "PHN2ZyAvPg=="}, std::pair{"<svg  />", "PHN2ZyAgLz4="}}) {
    Page page("t", "l");
    page.figure(svg, "caption", "what it \"shows\"");
    EXPECT_THAT(
        page.html(),
        HasSubstr(std::string("alt=\"what it &quot;shows&quot;\" src=\"data:image/svg+xml;base64,") + coded + "\""));
  }
}

TEST(Gnuplot, QuotesWhatItWouldRead) {
  EXPECT_EQ(gnuplot_text("a_b"), "\"a\\\\_b\"");
  EXPECT_EQ(gnuplot_text("x^2 {\"y\"}\n"), "\"x\\\\^2 \\\\{\\\"y\\\"\\\\} \"");
  EXPECT_EQ(data_block("d", {{1, 2.5}, {nan, -3}}), "$d << EOD\n1 2.5 \nNaN -3 \nEOD\n");
}

TEST(Gnuplot, DrawsBothKindsOrSaysWhyNot) {
  const fs::path folder = fs::path(::testing::TempDir()) / "evenflow_gnuplot";
  fs::remove_all(folder);
  const std::string svg = draw(
      {400, 300, data_block("d", {{1, 2}, {2, 3}}), "plot $d using 1:2 with lines title " + gnuplot_text("a_b") + "\n"},
      folder / "picture");
  EXPECT_THAT(svg, HasSubstr("<svg"));
  EXPECT_THAT(svg, HasSubstr("a_b"));
  EXPECT_TRUE(fs::exists(folder / "picture.png"));
  EXPECT_TRUE(fs::exists(folder / "picture.gp"));
  try {
    draw({400, 300, "", "plott nothing\n"}, folder / "wrong");
    FAIL() << "not refused";
  } catch (const io::DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("plott"));
  }
  fs::remove_all(folder);
}

// -------------------------------------------------------------------------------------------------------------- words

TEST(Words, ErrorsBecomeOneLine) {
  EXPECT_EQ(one_line("2 bad:\n  a\n  b\nMend them.\n"), "2 bad: a; b; Mend them.");
  EXPECT_EQ(one_line("plain"), "plain");
  const std::string path = std::string(300, 'a') + "ü" + std::string(300, 'b');
  EXPECT_EQ(one_line("no '" + path + "' there"),
            "no '" + std::string(149, 'a') + "..." + std::string(149, 'b') + "' there");
}

TEST(Words, DurationsAndShellWords) {
  EXPECT_EQ(duration_text(0.84), "0.8 s");
  EXPECT_EQ(duration_text(59.6), "1 min 00 s");
  EXPECT_EQ(duration_text(3725), "1 h 02 min");
  EXPECT_EQ(duration_text(nan), "?");
  EXPECT_EQ(shell_word("runs/a-1"), "runs/a-1");
  EXPECT_EQ(shell_word("my run's"), "'my run'\\''s'");
}

TEST(Words, ValuesAreListedOrSummed) {
  EXPECT_EQ(values_text({1, 2.5}), "1, 2.5");
  EXPECT_EQ(values_text({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}), "1, 2, ..., 13 (13 values)");
  EXPECT_EQ(values_text({}), "no known value");
}

TEST(ExplanationText, NamesAreNames) {
  train::Explanation e;
  e.clip.clip.path = "a.wav";
  e.estimates.push_back({.name = "tool",
                         .value = 1,
                         .low = nan,
                         .high = nan,
                         .inside = true,
                         .asked = nan,
                         .categories = {"A", "B"},
                         .probability = 0.75});
  e.nearest.push_back({.path = "near.wav", .distance = 0.5, .v = {1.0}});
  io::ModelData model;
  model.condition.names = {"tool"};
  model.condition.categories = {{"A", "B"}};
  EXPECT_EQ(estimate_text(e.estimates[0]), "tool: estimated B (probability 0.75), among A, B");
  EXPECT_EQ(neighbour_text(e.nearest[0], model.condition), "near.wav (0.50 away, tool = B)");
  const std::string json = explanation_json(e, model);
  EXPECT_THAT(json, AllOf(HasSubstr("\"value\":\"B\""), HasSubstr("\"asked\":null"), HasSubstr("\"low\":null"),
                          HasSubstr("\"probability\":0.75"), HasSubstr("\"parameters\":[\"B\"]")));
  e.estimates[0].inside = false;
  e.estimates[0].asked = 0;
  e.not_moved = "The model gives no finite sound at tool = A; it takes a longer training";
  EXPECT_EQ(
      estimate_text(e.estimates[0]),
      "tool: estimated B (probability 0.75), among A, B; the sound is like none of them, or like several; said to "
      "be A");
  EXPECT_THAT(explanation_text(e, model), HasSubstr("  The model gives no finite sound at tool = A; it takes a longer "
                                                    "training.\n"));
  EXPECT_THAT(explanation_json(e, model), HasSubstr("\"asked\":\"A\""));
}

}  // namespace
}  // namespace evenflow::experiments
