// evenflow choose: its candidates, its probes, and the whole of it on a small shard.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <numeric>
#include <set>

#include "experiments/choose/candidates.h"
#include "experiments/choose/choice.h"
#include "experiments/choose/probes.h"
#include "io/error.h"
#include "io/model_file.h"
#include "tests/train/train_fixture.h"
#include "train/detect/score_table.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using train::testing::bands;
using train::testing::message_of;
using train::testing::TempFolder;
using train::testing::tiny_config;

// ---- candidates

std::vector<Candidate> parse_candidates(const std::vector<std::string>& texts, const io::Config& base) {
  std::vector<std::vector<KeyFlag>> settings;
  std::transform(texts.begin(), texts.end(), std::back_inserter(settings), parse_settings);
  return make_candidates(settings, base);
}

TEST(Candidates, AreTheBaseWithTheirSettings) {
  const std::vector<Candidate> candidates =
      parse_candidates({"", "model.coupling=tanh condition.k=0.01", "condition.k=[0.01,0.1]"}, tiny_config());
  ASSERT_EQ(candidates.size(), 3U);
  EXPECT_EQ(candidates[0].name, "base");
  EXPECT_EQ(candidates[0].config, tiny_config());
  EXPECT_EQ(candidates[1].name, "coupling_tanh.k_0.01");
  EXPECT_EQ(candidates[1].config.model.coupling, io::CouplingKind::tanh);
  EXPECT_EQ(candidates[1].config.condition.k, (std::vector<double>{0.01}));
  EXPECT_EQ(candidates[2].config.condition.k, (std::vector<double>{0.01, 0.1}));
  EXPECT_EQ(candidates[2].name, "k__0.01_0.1_");
}

TEST(Candidates, ThatCannotBeAreRefusedWithASentence) {
  const auto refusal = [](const std::vector<std::string>& texts) {
    return message_of<io::UsageError>([&] { parse_candidates(texts, tiny_config()); });
  };
  EXPECT_THAT(refusal({"model.coupling"}), HasSubstr("'model.coupling', which is no key and value"));
  EXPECT_THAT(refusal({"model.couplign=tanh"}), HasSubstr("did you mean 'model.coupling'"));
  EXPECT_THAT(refusal({"model.coupling=wide"}), HasSubstr("model.coupling = \"wide\" is not allowed"));
  EXPECT_THAT(refusal({"model.blocks=4"}), HasSubstr("window.window_frames = 8 does not fit model.blocks = 4"));
  EXPECT_THAT(refusal({"score.score=nll"}), HasSubstr("every score of a candidate is tried"));
  EXPECT_THAT(refusal({"train.seed=2"}), HasSubstr("the same seed"));
  EXPECT_THAT(refusal({"train.leave_out=velocity_mm_s=100"}), HasSubstr("one by one"));
  EXPECT_THAT(refusal({"condition.k=0.01", "condition.k=0.010"}), HasSubstr("are the same"));
  EXPECT_THAT(refusal({"condition.parameters=" + std::string(300, 'x')}), HasSubstr("too long"));
  EXPECT_THAT(refusal({"train.machine=a"}), HasSubstr("judged by the same clips"));
}

TEST(Candidates, HaveNamesThatTellThemApart) {
  const std::vector<Candidate> candidates =
      parse_candidates({"model.hidden=4", "vae.hidden=4", "train.steps=20"}, tiny_config());
  EXPECT_EQ(candidates[0].name, "model.hidden_4");
  EXPECT_EQ(candidates[1].name, "vae.hidden_4");
  EXPECT_EQ(candidates[2].config.train.epochs, 0) << "steps take the place of the base's epochs";
}

TEST(Candidates, AreUsuallyWhatTheModelAndTheParameterAllow) {
  const std::vector<double> values = {100, 200, 300};
  io::Config config = tiny_config();
  EXPECT_EQ(usual_settings(config, values, "v", true).size(), 8U);
  EXPECT_EQ(usual_settings(config, values, "", true).size(), 4U) << "no speed";
  EXPECT_EQ(make_candidates(usual_settings(config, values, "rpm, of the spindle", true), config)[1]
                .config.augment.speed_parameter,
            "rpm, of the spindle");
  EXPECT_EQ(usual_settings(config, {0, 100, 200}, "v", true).size(), 4U) << "a speed of 0";
  EXPECT_EQ(usual_settings(config, values, "v", false).size(), 4U) << "k is of several parameters";
  config.condition.k = {0.5};
  const std::vector<std::vector<KeyFlag>> given = usual_settings(config, values, "v", true);
  EXPECT_EQ(given.size(), 4U);
  EXPECT_EQ(make_candidates(given, config).front().config.condition.k, config.condition.k) << "a given k stays";
  config.model.kind = io::ModelKind::vae;
  EXPECT_EQ(usual_settings(config, values, "v", true).size(), 2U);
}

// ---- probes

TEST(Probes, RaiseSomeBandsByOneToEightDecibels) {
  constexpr int64_t frames = 50;
  for (const auto& [kind, most_bands] :
       {std::pair{ProbeKind::tone, 2}, std::pair{ProbeKind::band, bands / 8}, std::pair{ProbeKind::clicks, bands}}) {
    double least = 100, most = 0;
    for (uint64_t number = 0; number < 40; ++number) {
      std::vector<float> clip(frames * bands, -40.0F);
      make_probe(clip, bands, kind, 1, number);
      std::vector<bool> raised_bands(bands), raised_frames(frames);
      for (size_t i = 0; i < clip.size(); ++i) {
        const double gain = clip[i] + 40.0;
        if (gain == 0.0) {
          continue;
        }
        raised_bands[i % bands] = raised_frames[i / bands] = true;
        least = std::min(least, gain);
        most = std::max(most, gain);
      }
      EXPECT_EQ(std::count(raised_bands.begin(), raised_bands.end(), true), most_bands);
      const auto loud = std::count(raised_frames.begin(), raised_frames.end(), true);
      if (kind == ProbeKind::clicks) {
        EXPECT_GE(loud, 2 * (frames / 24));
        EXPECT_LE(loud, 2 * (frames / 8 + 1));
      } else {
        EXPECT_EQ(loud, frames);
      }
    }
    EXPECT_GE(least, 0.9999);
    EXPECT_LE(most, 32.0001);
    EXPECT_LT(least, 2.0) << "forty draws come near the softest";
    EXPECT_GT(most, 4.0) << "and near the loudest";
  }
}

TEST(Probes, AreFunctionsOfSeedAndClipAlone) {
  const auto probe = [](uint64_t seed, uint64_t number) {
    std::vector<float> clip(10 * bands, -40.0F);
    make_probe(clip, bands, ProbeKind::tone, seed, number);
    return clip;
  };
  EXPECT_EQ(probe(1, 5), probe(1, 5));
  EXPECT_NE(probe(1, 5), probe(2, 5));
  EXPECT_NE(probe(1, 5), probe(1, 6));
}

TEST(Probes, AreAShardOfThreePerClip) {
  const TempFolder folder;
  train::testing::write_shard(folder / "a.h5");
  const io::Shard shard(folder / "a.h5");
  write_probes(shard, {1, 4}, 1, folder / "probes.h5");
  const io::Shard probes(folder / "probes.h5");
  ASSERT_EQ(probes.clips().size(), 6U);
  for (size_t i = 0; i < 6; ++i) {
    const io::Clip& clip = probes.clips()[i];
    EXPECT_EQ(clip.label, 1);
    EXPECT_EQ(clip.split, io::Split::test);
    const size_t of = i < 3 ? 1 : 4;
    EXPECT_EQ(clip.parameter, shard.clips()[of].parameter);
    EXPECT_EQ(probes.clip_frames(i).size(), shard.clip_frames(of).size());
    EXPECT_NE(probes.clip_frames(i), shard.clip_frames(of));
  }
  EXPECT_THAT(probes.clips()[4].path.string(), HasSubstr("with band"));
}

// ---- the whole

class Choose : public ::testing::Test {
 protected:
  // Six clips at each of three values.
  void SetUp() override {
    train::testing::write_shard(folder_ / "features.h5",
                                {.train_clips = 18, .change_clip = [](size_t i, io::Clip& clip) {
                                   clip.parameter[0] = 100.0 + 200.0 * static_cast<double>(i % 3);
                                 }});
  }

  ChooseOptions options() const {
    ChooseOptions out;
    out.shard = folder_ / "features.h5";
    out.folder = folder_ / "choice";
    out.candidates = {"", "model.coupling=tanh"};
    out.config = tiny_config();
    out.config.train.epochs = 1;
    out.log = [](const std::string&) {};
    out.progress = [](const std::string&, double) {};
    return out;
  }
  fs::path cell(const std::string& name) const { return folder_ / "choice" / "cells" / name; }

  TempFolder folder_;
};

const ChoiceRow& row_of(const Choice& choice, const std::string& candidate, const std::string& score) {
  const auto found = std::find_if(choice.rows.begin(), choice.rows.end(), [&](const ChoiceRow& row) {
    return row.candidate == candidate && row.score == score;
  });
  if (found == choice.rows.end()) {
    throw std::runtime_error("no row of " + candidate + " and " + score);
  }
  return *found;
}

TEST_F(Choose, ComparesEveryCandidateByEveryScore) {
  std::vector<std::string> lines;
  ChooseOptions logged = options();
  logged.log = [&](const std::string& line) { lines.push_back(line); };
  const Choice choice = choose(logged);
  EXPECT_THAT(lines, ::testing::Contains("2 candidates without each of 3 values of velocity_mm_s: 6 trainings"));
  EXPECT_EQ(choice.parameter, "velocity_mm_s");
  EXPECT_THAT(choice.values, ElementsAre("100", "300", "500"));
  const auto rank = [](const ChoiceRow& row) {
    return std::pair(!row.holds, row.holds ? row.missed : row.false_alarms.value);
  };
  for (size_t i = 1; i < choice.rows.size(); ++i) {
    const ChoiceRow &before = choice.rows[i - 1], &row = choice.rows[i];
    EXPECT_LE(rank(choice.rows.front()), rank(row));
    EXPECT_TRUE(before.candidate != row.candidate || rank(before) <= rank(row));
  }
  for (const ChoiceRow& row : choice.rows) {
    EXPECT_NE(row.score, "nll_given_v") << "needs the parameter";
    EXPECT_EQ(row.holds, row.false_alarms.value <= 0.1);
    EXPECT_TRUE(row.false_alarms.value >= 0 && row.false_alarms.value <= row.worst_false_alarms);
    EXPECT_TRUE(row.worst_false_alarms <= 1 && row.missed >= 0 && row.missed <= 1);
    EXPECT_TRUE(std::isfinite(row.estimate_error) && std::isfinite(row.threshold));
  }
  EXPECT_EQ(choice.chosen.score.score, choice.rows.front().score);
  EXPECT_EQ(choice.chosen.model.coupling,
            choice.rows.front().candidate == "base" ? tiny_config().model.coupling : io::CouplingKind::tanh);
  EXPECT_TRUE(choice.chosen.train.leave_out.empty());
  EXPECT_NEAR(choice.chosen.score.threshold_quantile, 0.95, 1e-12);
  EXPECT_EQ(choice.chosen.score.threshold, io::ThresholdMethod::value);
  EXPECT_EQ(choice.chosen.score.threshold_value, choice.rows.front().threshold);
  // Every training lacked the value that its folder names.
  const io::ModelData model = io::read_model(cell("base") / "without_300" / "run" / "model.h5");
  EXPECT_THAT(model.condition.training_values[0], ElementsAre(100, 500));
}

TEST_F(Choose, MovesSoundTwiceAsFarWhereAValueIsLeftOut) {
  ChooseOptions moved = options();
  moved.candidates = {"augment.speed=40", "augment.speed=20"};
  const Choice choice = choose(moved);
  const auto speed_of = [&](const std::string& candidate) {
    return io::read_model(cell(candidate) / "without_100" / "run" / "model.h5").config.augment.speed;
  };
  EXPECT_EQ(speed_of("speed_40"), 80);
  EXPECT_EQ(speed_of("speed_20"), 40);
  // A range that is found by itself is that of all values: three fifths of 200, and no more than the fastest of the
  // others.
  moved.candidates = {"augment.speed=-1"};
  moved.folder = folder_ / "automatic";
  const Choice automatic = choose(moved);
  EXPECT_EQ(automatic.chosen.augment.speed, 120);
  EXPECT_EQ(io::read_model(folder_ / "automatic/cells/speed_-1/without_100/run/model.h5").config.augment.speed, 240);
  EXPECT_TRUE(choice.chosen.augment.speed == 40 || choice.chosen.augment.speed == 20);
}

TEST_F(Choose, LeavesOutSeveralValuesTogether) {
  train::testing::write_shard(folder_ / "features.h5", {.train_clips = 20, .change_clip = [](size_t i, io::Clip& clip) {
                                                          clip.parameter[0] =
                                                              100.0 + 200.0 * static_cast<double>(i % 5);
                                                        }});
  std::vector<std::string> lines;
  ChooseOptions together = options();
  together.folds = 2;
  together.log = [&](const std::string& line) { lines.push_back(line); };
  const Choice choice = choose(together);
  EXPECT_THAT(lines,
              ::testing::Contains("2 candidates without each of 5 values of velocity_mm_s, in 2 groups: 4 trainings"));
  EXPECT_THAT(choice.values, ElementsAre("100", "300", "500", "700", "900"));
  const auto training_values = [&](const char* without) {
    return io::read_model(cell("base") / without / "run" / "model.h5").condition.training_values[0];
  };
  EXPECT_THAT(training_values("without_100_500_900"), ElementsAre(300, 700));
  EXPECT_THAT(training_values("without_300_700"), ElementsAre(100, 500, 900));
  // Each value is judged by itself: 4 of 4 clips of the five values are 5 shares, of which the table has mean and
  // worst.
  const train::ScoreTable first = train::read_scores(cell("base") / "without_100_500_900" / "scores.csv"),
                          second = train::read_scores(cell("base") / "without_300_700" / "scores.csv");
  std::vector<double> left_out;
  for (const auto& [table, kept] : {std::pair(&first, std::set<double>{300, 700}), {&second, {100, 500, 900}}}) {
    for (const train::ClipScore& clip : table->clips) {
      if (!kept.contains(clip.clip.parameter[0])) {
        left_out.push_back(table->value(clip, "nll"));
      }
    }
  }
  ASSERT_EQ(left_out.size(), 20U);
  EXPECT_EQ(row_of(choice, "base", "nll").threshold, *std::max_element(left_out.begin(), left_out.end()))
      << "20 clips are too few to say 5 %: the highest";
  EXPECT_EQ(row_of(choice, "base", "nll").estimate_error > 0, true);
}

TEST_F(Choose, RefusesFoldsThatLeaveTooLittle) {
  for (const int64_t folds : {1, 2, 4}) {
    ChooseOptions few = options();
    few.folds = folds;
    EXPECT_THAT(
        message_of<io::UsageError>([&] { choose(few); }),
        HasSubstr(fmt::format("--folds must be 3 to 3 for the 3 values of velocity_mm_s, or 0; it is {}", folds)));
  }
  EXPECT_FALSE(fs::exists(folder_ / "choice"));
}

// Six clips of each of three tools, one of which hums at the lowest bands and one at the highest.
TEST_F(Choose, LeavesOutNamesWhereNoNumberVaries) {
  train::testing::write_shard(folder_ / "tools.h5", {.train_clips = 18,
                                                     .more_parameters = {"tool"},
                                                     .categories = {{}, {"A", "B", "C 3"}},
                                                     .change =
                                                         [](size_t clip, std::vector<float>& frames) {
                                                           for (size_t at = 0; clip % 3 > 0 && at < frames.size();
                                                                at += bands) {
                                                             frames[at + (clip % 3 == 1 ? 0 : bands - 1)] += 25.0F;
                                                           }
                                                         },
                                                     .change_clip =
                                                         [](size_t clip, io::Clip& out) {
                                                           out.parameter = {100.0, static_cast<double>(clip % 3)};
                                                         }});
  ChooseOptions of_names = options();
  of_names.shard = folder_ / "tools.h5";
  of_names.candidates = {};
  of_names.config.model.coupling = io::CouplingKind::sigmoid;
  EXPECT_THAT(message_of<io::UsageError>([&] { choose(of_names); }),
              HasSubstr("cannot be dealt to the names of tool both with all of them and without A"));
  EXPECT_THAT(message_of<io::UsageError>([&] { choose(of_names); }), HasSubstr("set window.window_frames to 12"));
  of_names.config.window.window_frames = 12;
  of_names.candidates = {"condition.k=6", "condition.k=2"};
  const Choice choice = choose(of_names);
  EXPECT_EQ(choice.parameter, "tool");
  EXPECT_THAT(choice.values, ElementsAre("A", "B", "C 3"));
  for (const ChoiceRow& row : choice.rows) {
    EXPECT_TRUE(std::isnan(row.estimate_error)) << "of a name that was never trained there is no estimate";
    EXPECT_TRUE(row.false_alarms.value >= 0 && row.missed >= 0 && row.missed <= 1);
  }
  const ChoiceRow &first = choice.rows.front(), &second = row_of(choice, first.candidate, "score_zc");
  EXPECT_TRUE(first.score == "score_zc" || !first.holds || !second.holds || first.missed <= second.missed);
  const io::ModelData model = io::read_model(cell("k_2") / "without_2_C_3" / "run" / "model.h5");
  EXPECT_EQ(model.condition.categories, (io::Categories{{"A", "B"}}));
  EXPECT_THAT(model.config.train.leave_out, ElementsAre("tool=C 3"));
  EXPECT_THAT(to_text(choice), HasSubstr("Without tool = A, B, C 3 in turn"));
}

// One row again, from the tables in the folder. Twelve clips are too few for one in twenty: the highest is the
// threshold.
TEST_F(Choose, CountsFalseAlarmsAndMissedProbesOfTheValueLeftOut) {
  const Choice choice = choose(options());
  const std::vector<int> values = {100, 300, 500};
  std::vector<std::vector<double>> normal, probes;
  double off = 0;
  for (const int value : values) {
    const fs::path folder = cell("coupling_tanh") / ("without_" + std::to_string(value));
    const train::ScoreTable of_normal = train::read_scores(folder / "scores.csv");
    const train::ScoreTable of_probes = train::read_scores(folder / "probes.csv");
    normal.emplace_back();
    probes.emplace_back();
    for (const train::ClipScore& clip : of_normal.clips) {
      if (clip.clip.parameter[0] == value) {
        normal.back().push_back(of_normal.value(clip, "score_scatter"));
        off += std::abs(clip.estimate[0] - value) / 6.0 / 3.0;
      }
    }
    for (const train::ClipScore& clip : of_probes.clips) {
      EXPECT_EQ(clip.clip.parameter[0], value);
      probes.back().push_back(of_probes.value(clip, "score_scatter"));
    }
    ASSERT_EQ(normal.back().size(), 6U);
    ASSERT_EQ(probes.back().size(), 18U);
  }
  double false_alarms = 0, missed = 0, highest = -1e300;
  for (size_t i = 0; i < 3; ++i) {
    double threshold = -1e300;
    for (const size_t other : {(i + 1) % 3, (i + 2) % 3}) {
      threshold = std::max(threshold, *std::max_element(normal[other].begin(), normal[other].end()));
    }
    highest = std::max(highest, threshold);
    const auto above = [&](double score) { return score > threshold; };
    false_alarms += static_cast<double>(std::count_if(normal[i].begin(), normal[i].end(), above)) / 6.0 / 3.0;
    missed += 1.0 / 3.0 - static_cast<double>(std::count_if(probes[i].begin(), probes[i].end(), above)) / 18.0 / 3.0;
  }
  const ChoiceRow& row = row_of(choice, "coupling_tanh", "score_scatter");
  EXPECT_EQ(row.threshold, highest);
  EXPECT_NEAR(row.false_alarms.value, false_alarms, 1e-12);
  EXPECT_NEAR(row.missed, missed, 1e-12);
  EXPECT_NEAR(row.estimate_error, off, 1e-9);
}

TEST_F(Choose, GoesOnWhereItWasStoppedToTheSameTable) {
  const std::string whole = to_csv(choose(options()));
  ChooseOptions other = options();
  other.folder = folder_ / "stopped";
  std::atomic<bool> stop = false;
  int done = 0;
  other.stop = &stop;
  other.log = [&](const std::string& line) { stop = line.ends_with("done") && ++done == 3; };
  EXPECT_TRUE(choose(other).interrupted);
  stop = false;
  done = 10;
  EXPECT_EQ(to_csv(choose(other)), whole);
}

// As two choices would: one of all candidates by short trainings, and one of what that chose.
TEST_F(Choose, TrainsWhatIsChosenAsLongAsTheDetector) {
  constexpr int64_t search = 1, whole = 3;
  ChooseOptions both = options();
  both.config.train.epochs = whole;
  both.search_epochs = search;
  const Choice choice = choose(both);

  ChooseOptions apart = options();
  apart.folder = folder_ / "search";
  apart.config.train.epochs = search;
  const Choice by_search = choose(apart);
  const std::string chosen = by_search.rows.front().candidate;
  apart.folder = folder_ / "whole";
  apart.config.train.epochs = whole;
  apart.candidates = {chosen == "base" ? "" : "model.coupling=tanh"};
  const Choice of_whole = choose(apart);
  const auto text_of = [](const std::vector<ChoiceRow>& rows) {
    Choice of_rows;
    of_rows.rows = rows;
    return to_csv(of_rows);
  };
  EXPECT_EQ(text_of(choice.rows), to_csv(by_search));
  EXPECT_EQ(text_of(choice.final_rows), to_csv(of_whole));
  EXPECT_EQ(choice.best().threshold, of_whole.rows.front().threshold);
  EXPECT_EQ(io::to_toml(choice.chosen), io::to_toml(of_whole.chosen));
  ASSERT_EQ(choice.left_out.clips.size(), 18U);
  for (size_t i = 0; i < choice.left_out.clips.size(); ++i) {
    EXPECT_EQ(choice.left_out.value(choice.left_out.clips[i], "nll"),
              of_whole.left_out.value(of_whole.left_out.clips[i], "nll"));
  }
  EXPECT_FALSE(fs::exists(folder_ / "choice" / "final" / (chosen == "base" ? "coupling_tanh" : "base")));

  const std::string table = to_csv(choice);
  EXPECT_THAT(table, HasSubstr("\n" + chosen + ",final," + choice.best().score + ","));
  EXPECT_THAT(table, HasSubstr("\n" + chosen + ",search," + choice.rows.front().score + ","));
  EXPECT_LT(table.find(",final,"), table.find(",search,"));
  EXPECT_THAT(to_csv(by_search), ::testing::Not(HasSubstr(",search,")));
  EXPECT_THAT(to_text(choice), HasSubstr("The chosen settings in trainings of whole length"));

  // It goes on in the trainings of whole length too.
  ChooseOptions stopped = both;
  stopped.folder = folder_ / "stopped";
  std::atomic<bool> stop = false;
  int done = 0;
  stopped.stop = &stop;
  stopped.log = [&](const std::string& line) { stop = line.ends_with("done") && ++done == 8; };
  EXPECT_TRUE(choose(stopped).interrupted);
  stop = false;
  done = 10;
  EXPECT_EQ(to_csv(choose(stopped)), table);

  // Trainings of another length than those in the folder are refused before the first.
  ChooseOptions longer = both;
  longer.config.train.epochs = whole + 1;
  longer.candidates = {"", "model.coupling=tanh", "model.hidden=3"};
  EXPECT_THAT(
      message_of<io::UsageError>([&] { choose(longer); }),
      ::testing::AllOf(HasSubstr("final"), HasSubstr("train.epochs = 3, now it is 4"), HasSubstr("remove that one")));
  EXPECT_FALSE(fs::exists(cell("hidden_3")));

  both.folder = folder_ / "other";
  both.search_epochs = whole;
  EXPECT_THAT(message_of<io::UsageError>([&] { choose(both); }), HasSubstr("a whole training has 3 epochs"));
  both.search_epochs = search;
  both.candidates = {"", "train.epochs=2"};
  EXPECT_THAT(message_of<io::UsageError>([&] { choose(both); }), HasSubstr("sets train.epochs, and --search-epochs"));
  EXPECT_FALSE(fs::exists(folder_ / "other"));
  // One candidate needs no search.
  both.candidates = {""};
  EXPECT_TRUE(choose(both).final_rows.empty());
  EXPECT_EQ(io::read_config(folder_ / "other" / "cells" / "base" / "without_100" / "run" / "config.toml").train.epochs,
            whole);
}

TEST_F(Choose, JudgesByTheClipsOfTheMachineAlone) {
  train::testing::write_shard(folder_ / "two.h5", {.train_clips = 40, .change_clip = [](size_t i, io::Clip& clip) {
                                                     clip.machine = i / 5 % 2 == 0 ? "a" : "b";
                                                   }});
  ChooseOptions of_b = options();
  of_b.shard = folder_ / "two.h5";
  of_b.config.train.machine = "b";
  of_b.candidates = {""};
  const Choice choice = choose(of_b);
  // Four clips of b at each value, so shares are quarters.
  for (const ChoiceRow& row : choice.rows) {
    const double quarters = 4.0 * row.worst_false_alarms;
    EXPECT_NEAR(quarters, std::round(quarters), 1e-9) << row.score;
  }
  of_b.config.train.machine = "a";
  EXPECT_THAT(message_of<io::UsageError>([&] { choose(of_b); }), HasSubstr("other recordings or settings"));
}

TEST_F(Choose, ACellThatIsNotWholeIsNamed) {
  choose(options());
  const fs::path scores = cell("base") / "without_300" / "scores.csv";
  train::ScoreTable table = train::read_scores(scores);
  table.clips.pop_back();
  train::write_scores(scores, table);
  EXPECT_THAT(message_of<io::DataError>([&] { choose(options()); }),
              ::testing::AllOf(HasSubstr("without_300"), HasSubstr("remove that folder")));
}

TEST_F(Choose, RefusesWhatCannotBeChosen) {
  const auto refusal = [&](const std::function<void(ChooseOptions&)>& change) {
    ChooseOptions changed = options();
    change(changed);
    return message_of<io::UsageError>([&] { choose(changed); });
  };
  EXPECT_THAT(refusal([](ChooseOptions& o) { o.parameter = "load"; }), HasSubstr("'load'"));
  // The second candidate's third training alone: 300 is then the highest speed.
  EXPECT_THAT(
      refusal([](ChooseOptions& o) {
        o.candidates = {"", "augment.speed=301"};
      }),
      ::testing::AllOf(HasSubstr("candidate speed_301, without velocity_mm_s = 500: "), HasSubstr("augment.speed")));
  EXPECT_FALSE(fs::exists(folder_ / "choice"));
  {
    std::atomic<bool> stop = true;
    ChooseOptions begun = options();
    begun.stop = &stop;
    EXPECT_TRUE(choose(begun).interrupted);
  }
  EXPECT_THAT(refusal([](ChooseOptions& o) { o.false_alarms = 0.1; }), HasSubstr("choose another folder"));
  train::testing::write_shard(folder_ / "two.h5", {.change_clip = [](size_t i, io::Clip& clip) {
                                clip.parameter[0] = i % 2 == 0 ? 100 : 200;
                              }});
  ChooseOptions two = options();
  two.shard = folder_ / "two.h5";
  EXPECT_THAT(message_of<io::DataError>([&] { choose(two); }), HasSubstr("has 2 values of velocity_mm_s"));
  train::testing::write_shard(folder_ / "none.h5", {.parameter = false});
  two.shard = folder_ / "none.h5";
  EXPECT_THAT(message_of<io::DataError>([&] { choose(two); }), HasSubstr("no parameter that varies"));
}

}  // namespace
}  // namespace evenflow::experiments
