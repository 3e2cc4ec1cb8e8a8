// DCASE's official score, a fleet's table and the comparison of trainings, against figures written out here.
#include "experiments/report/comparison.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "experiments/report/dcase_score.h"
#include "experiments/report/fleet_table.h"
#include "io/error.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr double none = std::numeric_limits<double>::quiet_NaN();

train::ClipScore clip_of(const std::string& machine, const std::string& domain, int label, double score, int number) {
  train::ClipScore clip;
  clip.clip.path = machine + "_" + std::to_string(number) + ".wav";
  clip.clip.machine = machine;
  clip.clip.domain = domain;
  clip.clip.section = "00";
  clip.clip.label = label;
  clip.score = score;
  clip.scores = {score, -score};
  clip.decision = score > 0.5 ? 1 : 0;
  return clip;
}

/// Three machines with 24 normal and 16 anomalous clips in each domain; some scores are tied.
std::vector<train::ClipScore> three_machines() {
  std::mt19937_64 random(3);
  std::normal_distribution<double> noise;
  std::vector<train::ClipScore> clips;
  double shift = 0.4;
  for (const std::string machine : {"fan", "pump", "valve"}) {
    int number = 0;
    for (const std::string domain : {"source", "target"}) {
      for (int i = 0; i < 40; ++i) {
        const int label = i < 24 ? 0 : 1;
        const double score = noise(random) + shift * label + (domain == "target" ? 0.3 : 0.0);
        clips.push_back(clip_of(machine, domain, label, std::round(10 * score) / 10, number++));
      }
    }
    shift += 0.5;
  }
  return clips;
}

struct Scored {
  std::vector<double> normal, anomalous;
};

/// Won pairs, a tie counting half.
double plain_auc(const Scored& scored) {
  double won = 0;
  for (const double a : scored.anomalous) {
    for (const double n : scored.normal) {
      won += a > n ? 1.0 : a == n ? 0.5 : 0.0;
    }
  }
  return won / static_cast<double>(scored.anomalous.size() * scored.normal.size());
}

/// The area under the ROC curve up to a tenth of false alarms, at every threshold, then McClish's standard.
double plain_pauc(const Scored& scored) {
  std::vector<double> thresholds = scored.normal;
  thresholds.insert(thresholds.end(), scored.anomalous.begin(), scored.anomalous.end());
  std::sort(thresholds.begin(), thresholds.end(), std::greater<>());
  const auto share_from = [](const std::vector<double>& scores, double threshold) {
    const auto count = std::count_if(scores.begin(), scores.end(), [=](double score) { return score >= threshold; });
    return static_cast<double>(count) / static_cast<double>(scores.size());
  };
  double area = 0, x = 0, y = 0;
  for (const double threshold : thresholds) {
    const double x1 = share_from(scored.normal, threshold), y1 = share_from(scored.anomalous, threshold);
    const double end = std::min(x1, 0.1);
    if (end > x) {
      area += (end - x) * (y + 0.5 * (y1 - y) * (end - x) / (x1 - x));
    }
    x = x1;
    y = y1;
    if (x >= 0.1) {
      break;
    }
  }
  return 0.5 * (1 + (area - 0.005) / (0.1 - 0.005));
}

template <class Wanted>
Scored chosen(const std::vector<train::ClipScore>& clips, const std::string& machine, const Wanted& wanted) {
  Scored scored;
  for (const train::ClipScore& clip : clips) {
    if (clip.clip.machine == machine && wanted(clip.clip)) {
      (clip.clip.label == 1 ? scored.anomalous : scored.normal).push_back(clip.score);
    }
  }
  return scored;
}

double harmonic(const std::vector<double>& figures) {
  double sum = 0;
  for (const double figure : figures) {
    sum += 1 / figure;
  }
  return static_cast<double>(figures.size()) / sum;
}

// -------------------------------------------------------------------------------------------------------------- DCASE

TEST(OfficialScore, IsTheHarmonicMeanOfTheYear) {
  const std::vector<train::ClipScore> clips = three_machines();
  std::vector<double> of_2021, of_2022;
  for (const std::string machine : {"fan", "pump", "valve"}) {
    for (const std::string domain : {"source", "target"}) {
      const Scored own = chosen(clips, machine, [&](const io::Clip& clip) { return clip.domain == domain; });
      of_2021.push_back(plain_auc(own));
      of_2021.push_back(plain_pauc(own));
      of_2022.push_back(plain_auc(
          chosen(clips, machine, [&](const io::Clip& clip) { return clip.label == 1 || clip.domain == domain; })));
    }
    of_2022.push_back(plain_pauc(chosen(clips, machine, [](const io::Clip&) { return true; })));
  }
  const DcaseTable table_2021 = dcase_table(clips, DcaseRule::of_2021);
  const DcaseTable table_2022 = dcase_table(clips, DcaseRule::of_2022);
  EXPECT_NEAR(table_2021.official_score(), harmonic(of_2021), 1e-12);
  EXPECT_NEAR(table_2022.official_score(), harmonic(of_2022), 1e-12);
  EXPECT_EQ(table_2021.ranked_figures(), 12);
  EXPECT_EQ(table_2022.ranked_figures(), 9);
  EXPECT_THAT(table_2022.names, ElementsAre("auc_source", "auc_target", "pauc", "f1_source", "f1_target"));
  EXPECT_NEAR(table_2022.pooled(2), harmonic({of_2022[2], of_2022[5], of_2022[8]}), 1e-12);
  const std::string text = official_scores_text(clips);
  EXPECT_THAT(text, HasSubstr(fmt::format("2022 and later  {:.2f}  of 9 figures", 100 * harmonic(of_2022))));
  EXPECT_THAT(text, HasSubstr(fmt::format("2021            {:.2f}  of 12 figures", 100 * harmonic(of_2021))));
  EXPECT_THAT(text, Not(HasSubstr("left out")));
}

TEST(OfficialScore, WithoutDomainsTheFiguresAreThoseOf2020) {
  std::vector<train::ClipScore> clips = three_machines();
  for (size_t i = 0; i < clips.size(); ++i) {
    clips[i].clip.domain.clear();
    clips[i].clip.section = clips[i].clip.machine == "fan" && i % 2 == 0 ? "02" : "00";
  }
  const auto of_section = [&](const std::string& machine, const std::string& section) {
    return plain_auc(chosen(clips, machine, [&](const io::Clip& clip) { return clip.section == section; }));
  };
  const double fan = (of_section("fan", "00") + of_section("fan", "02")) / 2;
  const DcaseTable table = dcase_table(clips, DcaseRule::of_2020);
  EXPECT_NEAR(table.pooled(0), (fan + of_section("pump", "00") + of_section("valve", "00")) / 3, 1e-12)
      << "a machine counts once, however many sections it has";
  EXPECT_TRUE(std::isnan(table.official_score()));
  EXPECT_THAT(dcase_rules(clips), ElementsAre(DcaseRule::of_2020));
  EXPECT_THAT(official_scores_text(clips), HasSubstr("figures of 2020"));
}

TEST(OfficialScore, LeavesOutWhatTakesAMissingClass) {
  std::vector<train::ClipScore> clips = three_machines();
  std::erase_if(clips, [](const train::ClipScore& clip) {
    return clip.clip.machine == "pump" && clip.clip.domain == "target" && clip.clip.label == 0;
  });
  const DcaseTable table = dcase_table(clips, DcaseRule::of_2022);
  EXPECT_EQ(table.missing_figures(), 1);
  EXPECT_EQ(table.ranked_figures(), 8);
  EXPECT_TRUE(std::isfinite(table.official_score()));
  EXPECT_THAT(official_scores_text(clips), HasSubstr("By the rule of 2022 and later 1 figure takes a class"));
  for (train::ClipScore& clip : clips) {
    clip.clip.label = -1;
  }
  EXPECT_EQ(official_scores_text(clips), "");
  EXPECT_TRUE(std::isnan(dcase_table(clips, DcaseRule::of_2022).official_score()));
}

// -------------------------------------------------------------------------------------------------------------- fleets

TEST(FleetTable, JudgesEachMachineByItself) {
  std::vector<train::ClipScore> clips = three_machines();
  // Scores of another model lie elsewhere; that must not count.
  for (train::ClipScore& clip : clips) {
    clip.score += clip.clip.machine == "pump" ? 1000.0 : 0.0;
  }
  const FleetTable table = fleet_table(clips);
  ASSERT_EQ(table.machines.size(), 3U);
  std::vector<double> auc;
  int64_t alarms = 0;
  for (const FleetRow& row : table.machines) {
    const Scored own = chosen(clips, row.machine, [](const io::Clip&) { return true; });
    EXPECT_NEAR(row.auc, plain_auc(own), 1e-12) << row.machine;
    EXPECT_NEAR(row.pauc, plain_pauc(own), 1e-12) << row.machine;
    EXPECT_EQ(row.normal, 48);
    EXPECT_EQ(row.anomalous, 32);
    auc.push_back(plain_auc(own));
    alarms += row.false_alarms;
  }
  EXPECT_NEAR(table.mean_auc, (auc[0] + auc[1] + auc[2]) / 3, 1e-12);
  EXPECT_NEAR(table.harmonic_auc, harmonic(auc), 1e-12);
  const auto expected = std::count_if(clips.begin(), clips.end(), [](const train::ClipScore& clip) {
    return clip.clip.label == 0 && clip.decision == 1;
  });
  EXPECT_EQ(alarms, expected);
  EXPECT_THAT(to_text(table), HasSubstr(fmt::format("{} of 144", expected)));
  EXPECT_TRUE(to_csv(table).starts_with("machine,normal,anomalous,auc,pauc,decided,false_alarms,found\nfan,48,32,"));
}

TEST(FleetTable, SaysWhatIsMissing) {
  std::vector<train::ClipScore> clips = three_machines();
  std::erase_if(clips, [](const auto& clip) { return clip.clip.machine == "fan" && clip.clip.label == 1; });
  clips.back().score = none;
  const FleetTable table = fleet_table(clips);
  EXPECT_TRUE(std::isnan(table.machines[0].auc));
  EXPECT_NEAR(table.mean_auc, (table.machines[1].auc + table.machines[2].auc) / 2, 1e-15);
  EXPECT_THAT(to_text(table), HasSubstr("1 machine has test clips of one class only"));
  EXPECT_THAT(to_text(table), HasSubstr("not finite: 1 clip"));
  clips.front().clip.machine.clear();
  EXPECT_THROW(fleet_table(clips), io::DataError);
  EXPECT_THROW(fleet_table({}), io::DataError);
}

// --------------------------------------------------------------------------------------------------------- comparisons

ComparedRun table_of(const std::string& name, std::vector<train::ClipScore> clips) {
  ComparedRun run{.name = name};
  run.scores = train::ScoreTable{{}, {"nll", "score_zc"}, {}, std::move(clips)};
  return run;
}

/// The same clips, scored a little worse, in another order.
std::vector<train::ClipScore> noisier(std::vector<train::ClipScore> clips) {
  std::mt19937_64 random(5);
  std::normal_distribution<double> noise;
  for (train::ClipScore& clip : clips) {
    clip.score += noise(random);
    clip.scores = {clip.score, -clip.score};
  }
  std::reverse(clips.begin(), clips.end());
  return clips;
}

std::string refusal_of(const std::vector<ComparedRun>& runs, const CompareOptions& options = {}) {
  try {
    compare(runs, options);
  } catch (const io::DataError& error) {
    return error.what();
  }
  return "nothing";
}

/// The clips at speeds of 100 to 400 in turn, and a table whose training has some of them.
std::vector<train::ClipScore> at_four_speeds(std::vector<train::ClipScore> clips) {
  for (size_t i = 0; i < clips.size(); ++i) {
    clips[i].clip.parameter = {100.0 * static_cast<double>(1 + i % 4)};
  }
  return clips;
}
ComparedRun trained_at(const std::string& name, std::vector<train::ClipScore> clips, std::vector<double> speeds) {
  ComparedRun run = table_of(name, std::move(clips));
  run.scores->parameter_names = {"speed"};
  if (!speeds.empty()) {
    run.training["speed"] = std::move(speeds);
  }
  return run;
}

TEST(Comparison, TellsSeenFromUnseenOperatingPoints) {
  const std::vector<train::ClipScore> a = at_four_speeds(three_machines());
  const std::vector<train::ClipScore> b = noisier(a);
  const auto at = [&](const std::function<bool(double)>& wanted) {
    Scored scored;
    for (const train::ClipScore& clip : a) {
      if (wanted(clip.clip.parameter[0])) {
        (clip.clip.label == 1 ? scored.anomalous : scored.normal).push_back(clip.score);
      }
    }
    return scored;
  };
  // b.csv's model carries no parameter and says nothing of its training.
  const Comparison comparison = compare({trained_at("a.csv", a, {100, 200, 400}), trained_at("b.csv", b, {})});
  ASSERT_EQ(comparison.groups.size(), 3U);
  const ComparedGroup &seen = comparison.groups[1], &unseen = comparison.groups[2];
  EXPECT_EQ(seen.kind, "seen");
  EXPECT_EQ(unseen.kind, "unseen");
  EXPECT_NEAR(seen.detection[0]->auc.value, plain_auc(at([](double v) { return v != 300; })), 1e-12);
  EXPECT_NEAR(unseen.detection[0]->auc.value, plain_auc(at([](double v) { return v == 300; })), 1e-12);
  EXPECT_EQ(unseen.normal + unseen.anomalous, 60);
  ASSERT_TRUE(unseen.detection[1]->delong);
  EXPECT_NEAR(unseen.detection[1]->delong->difference.value,
              unseen.detection[1]->auc.value - unseen.detection[0]->auc.value, 1e-12);
  EXPECT_THAT(to_text(comparison),
              AllOf(HasSubstr("at operating points unseen in training\nOn "),
                    HasSubstr("Seen in training: speed within 10 of 100, 200 and 400."), HasSubstr("p, DeLong")));
  EXPECT_THAT(to_csv(comparison),
              AllOf(HasSubstr("\ndetection_unseen,auc,a.csv,"), HasSubstr("\ndifference,auc_p,b.csv,"),
                    HasSubstr("\ndifference_unseen,auc_delong,b.csv,")));

  // 400 was seen by one of them: those clips are in neither group.
  const Comparison differing = compare({trained_at("a.csv", a, {100, 200, 400}), trained_at("b.csv", b, {100, 200})});
  EXPECT_EQ(differing.groups[1].normal + differing.groups[1].anomalous, 120);
  EXPECT_EQ(differing.groups[2].normal + differing.groups[2].anomalous, 60);
  EXPECT_THAT(to_text(differing), HasSubstr("others do not: 60 clips."));
  EXPECT_EQ(compare({trained_at("a.csv", a, {100, 200, 300, 400}), trained_at("b.csv", b, {})}).groups.size(), 1U);
}

TEST(Comparison, IsJson) {
  const std::vector<train::ClipScore> a = three_machines();
  const Comparison comparison = compare({table_of("a.csv", a), table_of("b\xff.csv", noisier(a))});
  const nlohmann::json json = nlohmann::json::parse(to_json(comparison));
  const DetectionFigures& figures = *comparison.groups[0].detection[1];
  const nlohmann::json& told = json.at("groups").at(0).at("runs").at(1);
  EXPECT_EQ(told.at("auc").at("value"), figures.auc.value);
  EXPECT_EQ(told.at("auc_difference_delong").at("low"), figures.delong->difference.low);
  EXPECT_EQ(told.at("auc_p"), figures.delong->p_value);
  EXPECT_TRUE(json.at("groups").at(0).at("runs").at(0).at("auc_p").is_null());
  EXPECT_EQ(json.at("runs").at(0).at("name"), "a.csv");
}

TEST(Comparison, IntervalsAreThoseOfAPlainBootstrap) {
  const std::vector<train::ClipScore> a = three_machines();
  std::vector<train::ClipScore> b = noisier(a);
  const Comparison comparison =
      compare({table_of("a.csv", a), table_of("b.csv", b)}, {.bootstrap = {.resamples = 4000}});
  std::reverse(b.begin(), b.end());  // in the order of a again
  std::array<std::vector<size_t>, 2> of_label;
  for (size_t i = 0; i < a.size(); ++i) {
    of_label[static_cast<size_t>(a[i].clip.label)].push_back(i);
  }
  std::mt19937_64 random(11);
  std::vector<double> auc, differences;
  for (int resample = 0; resample < 1000; ++resample) {
    Scored of_a, of_b;
    for (size_t label = 0; label < 2; ++label) {
      std::uniform_int_distribution<size_t> any(0, of_label[label].size() - 1);
      for (size_t i = 0; i < of_label[label].size(); ++i) {
        const size_t clip = of_label[label][any(random)];
        (label == 1 ? of_a.anomalous : of_a.normal).push_back(a[clip].score);
        (label == 1 ? of_b.anomalous : of_b.normal).push_back(b[clip].score);
      }
    }
    auc.push_back(plain_auc(of_b));
    differences.push_back(plain_auc(of_b) - plain_auc(of_a));
  }
  const auto expect_bounds = [](const train::Interval& interval, const std::vector<double>& figures) {
    const double low = train::quantile(figures, 0.025), high = train::quantile(figures, 0.975);
    EXPECT_NEAR(interval.low, low, 0.12 * (high - low));
    EXPECT_NEAR(interval.high, high, 0.12 * (high - low));
  };
  ASSERT_TRUE(comparison.groups[0].detection[1] && comparison.groups[0].detection[1]->auc_difference);
  EXPECT_EQ(comparison.groups[0].normal, 144);
  EXPECT_EQ(comparison.groups[0].anomalous, 96);
  expect_bounds(comparison.groups[0].detection[1]->auc, auc);
  expect_bounds(*comparison.groups[0].detection[1]->auc_difference, differences);
  EXPECT_FALSE(comparison.groups[0].detection[0]->auc_difference);
  EXPECT_EQ(comparison.groups[0].detection[1]->score, "nll");
}

TEST(Comparison, MeetsTheSameClipsOnly) {
  const std::vector<train::ClipScore> a = three_machines();
  std::vector<train::ClipScore> b = noisier(a);
  b.pop_back();
  b.front().score = none;
  b.push_back(clip_of("fan", "source", 1, 3, 99));
  const std::vector<ComparedRun> tables = {table_of("a.csv", a), table_of("b.csv", b)};
  EXPECT_THAT(refusal_of(tables), HasSubstr("'a.csv' has 1 labelled test clip that 'b.csv' lacks, the first "
                                            "'fan_0.wav'; score the same inputs, or add --common"));
  EXPECT_THAT(refusal_of({tables[1], tables[0], tables[0]}), HasSubstr("'b.csv' has 1 labelled test clip"));
  const Comparison comparison = compare(tables, {.common_only = true});
  EXPECT_EQ(comparison.groups[0].normal + comparison.groups[0].anomalous, 238);
  EXPECT_EQ(comparison.left_out, 3) << "one missing of each side, and one without a score";
  EXPECT_THAT(to_text(comparison), HasSubstr("3 labelled test clips"));
  ASSERT_TRUE(comparison.groups[0].detection[0]->false_alarm_share);
  EXPECT_EQ(comparison.groups[0].detection[0]->false_alarm_share->value,
            static_cast<double>(comparison.groups[0].detection[0]->false_alarms) /
                static_cast<double>(comparison.groups[0].normal));
}

TEST(Comparison, ByAnotherScoreDecisionsDoNotCount) {
  const std::vector<train::ClipScore> a = three_machines();
  const Comparison comparison = compare({table_of("a.csv", a), table_of("b.csv", noisier(a))}, {.score = "score_zc"});
  EXPECT_LT(comparison.groups[0].detection[0]->auc.value, 0.5) << "score_zc is nll turned round";
  EXPECT_FALSE(comparison.groups[0].detection[0]->false_alarm_share);
  EXPECT_THROW(compare({table_of("a.csv", a), table_of("b.csv", a)}, {.score = "score_scatter"}), io::DataError);
}

TEST(Comparison, RefusesWhatCannotBePaired) {
  const std::vector<train::ClipScore> a = three_machines();
  const auto refusal = [&](const std::vector<train::ClipScore>& b) {
    return refusal_of({table_of("a.csv", a), table_of("b.csv", b)}, {.common_only = true});
  };
  std::vector<train::ClipScore> b = a;
  b[3].clip.label = 1 - b[3].clip.label;
  EXPECT_THAT(refusal(b), HasSubstr("'fan_3.wav' is normal in 'a.csv' and anomalous in 'b.csv'"));
  EXPECT_THAT(refusal_of({trained_at("a.csv", at_four_speeds(a), {}), trained_at("b.csv",
                                                                                 [&] {
                                                                                   std::vector<train::ClipScore> other =
                                                                                       at_four_speeds(a);
                                                                                   other[5].clip.parameter = {350};
                                                                                   return other;
                                                                                 }(),
                                                                                 {})}),
              HasSubstr("clip 'fan_5.wav' has speed 200 in 'a.csv' and 350 in 'b.csv'"));
  b = a;
  b.push_back(a[7]);
  EXPECT_THAT(refusal(b), HasSubstr("'fan_7.wav' stands twice in the scores of 'b.csv'"));
  for (train::ClipScore& clip : b = a) {
    clip.clip.path = fmt::format("elsewhere/{}", clip.clip.path.string());
  }
  EXPECT_THAT(refusal(b), HasSubstr("no labelled test clip"));
  std::erase_if(b = a, [](const train::ClipScore& clip) { return clip.clip.label == 1; });
  EXPECT_THAT(refusal(b), HasSubstr("all normal"));
}

TEST(Comparison, ShowsTheSettingsThatDifferAndWarns) {
  ComparedRun first{.name = "runs/a", .config = io::Config(), .end = TrainingEnd{3, 1.5, none, none}};
  first.provenance.emplace();
  first.provenance->data_hash = "11";
  first.provenance->machines = {"fan"};
  ComparedRun second = first;
  second.name = "runs/b";
  second.config->model.hidden += 1;
  second.provenance->data_hash = "22";
  const Comparison comparison = compare({first, second});
  ASSERT_EQ(comparison.settings.size(), 1U);
  EXPECT_EQ(comparison.settings[0].key, "model.hidden");
  EXPECT_NE(comparison.settings[0].values[0], comparison.settings[0].values[1]);
  EXPECT_THAT(comparison.warnings, ElementsAre("the runs were trained on different data: runs/a (11), runs/b (22)"));
  EXPECT_THAT(to_text(comparison), HasSubstr("--on SHARD"));
  EXPECT_THAT(to_csv(comparison), HasSubstr("training,epochs,runs/a,3,,\n"));
  EXPECT_THAT(to_page(comparison), HasSubstr("different data"));
  second = first;
  second.name = "runs/c";
  EXPECT_THAT(to_text(compare({first, second})), HasSubstr("No setting differs."));
}

}  // namespace
}  // namespace evenflow::experiments
