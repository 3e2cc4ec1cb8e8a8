// The parts of a sweep by themselves: points of a space, samplers, successive halving, the journal, who is best.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>

#include "experiments/sweep/halving.h"
#include "experiments/sweep/importance.h"
#include "experiments/sweep/journal.h"
#include "experiments/sweep/sampler.h"
#include "experiments/sweep/space.h"
#include "experiments/sweep/standing.h"
#include "experiments/sweep/state.h"
#include "experiments/sweep/sweep.h"
#include "io/error.h"
#include "kernels/random.h"
#include "tests/experiments/program.h"
#include "tests/support/error_message.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;
using io::Domain;
using io::DomainKind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

Domain choice(const std::string& key, const std::vector<std::string>& values) {
  return {key, DomainKind::choice, values, 0, 0, 0, {}};
}
Domain range(const std::string& key, DomainKind kind, double low, double high, int64_t points = 0) {
  return {key, kind, {}, low, high, points, {}};
}
Domain when(Domain domain, const std::string& key, const std::string& value) {
  domain.when.push_back({key, {value}});
  return domain;
}

/// A coupling, and k where it is additive.
std::vector<Domain> conditional_space() {
  return {choice("model.coupling", {"sigmoid", "additive"}),
          when(range("condition.k", DomainKind::log_uniform, 0.001, 0.1, 3), "model.coupling", "additive"),
          range("model.steps", DomainKind::integer, 2, 4)};
}

// -------------------------------------------------------------------------------------------------------- points

TEST(SweepSpace, PointsOfTheUnitCubeCoverEachDomain) {
  const std::vector<Domain> space = {range("train.learning_rate", DomainKind::log_uniform, 1e-4, 1e-2),
                                     range("train.clip_norm", DomainKind::uniform, 0, 10),
                                     range("train.batch", DomainKind::log_integer, 4, 64)};
  EXPECT_THAT(values_at(space, std::vector<double>{0.5, 0.25, 0.0}),
              UnorderedElementsAre(Pair("train.learning_rate", "0.001"), Pair("train.clip_norm", "2.5"),
                                   Pair("train.batch", "4")));
  EXPECT_EQ(values_at(space, std::vector<double>{0, 0, std::nextafter(1.0, 0.0)}).at("train.batch"), "64");
}

TEST(SweepSpace, EveryWholeNumberAndChoiceIsAsLikely) {
  const std::vector<Domain> space = {range("model.steps", DomainKind::integer, 1, 4),
                                     choice("model.blocks", {"1", "3"})};
  std::map<std::string, int> steps, blocks;
  for (int i = 0; i < 1000; ++i) {
    const double u = (i + 0.5) / 1000;
    const Values values = values_at(space, std::vector<double>{u, u});
    ++steps[values.at("model.steps")];
    ++blocks[values.at("model.blocks")];
  }
  EXPECT_THAT(steps, ElementsAre(Pair("1", 250), Pair("2", 250), Pair("3", 250), Pair("4", 250)));
  EXPECT_THAT(blocks, ElementsAre(Pair("1", 500), Pair("3", 500)));
}

TEST(SweepSpace, AKeyWhoseConditionDoesNotHoldIsLeftOut) {
  EXPECT_FALSE(values_at(conditional_space(), std::vector<double>{0.1, 0.5, 0.5}).contains("condition.k"));
  EXPECT_TRUE(values_at(conditional_space(), std::vector<double>{0.9, 0.5, 0.5}).contains("condition.k"));
}

TEST(SweepSpace, AGridCombinesOnlyWhatHolds) {
  const std::vector<Values> grid = grid_of(conditional_space());
  ASSERT_EQ(grid.size(), 3U + 3U * 3U);
  EXPECT_EQ(std::set<Values>(grid.begin(), grid.end()).size(), grid.size());
  EXPECT_THAT(grid.front(), ElementsAre(Pair("model.coupling", "sigmoid"), Pair("model.steps", "2")));
  std::set<std::string> slopes;
  for (const Values& point : grid) {
    if (point.contains("condition.k")) {
      slopes.insert(point.at("condition.k"));
    }
  }
  EXPECT_THAT(slopes, ElementsAre("0.001", "0.01", "0.1"));
}

TEST(SweepSpace, AGridOfARangeWithoutPointsIsRefused) {
  EXPECT_THAT(tests::message_of<io::UsageError>([] { grid_of({range("train.clip_norm", DomainKind::uniform, 0, 1)}); }),
              HasSubstr("points"));
}

TEST(SweepSpace, TheHashIsOfAllSettingsButTheSeed) {
  io::Config config;
  const std::string hash = hash_of(config);
  EXPECT_EQ(hash.size(), 16U);
  config.train.seed = 7;
  EXPECT_EQ(hash_of(config), hash);
  config.train.batch = 64;
  EXPECT_NE(hash_of(config), hash);
}

TEST(SweepSpace, ACombinationIsCheckedAsAWhole) {
  EXPECT_EQ(config_at({}, {{"train.batch", "8"}}).train.batch, 8);
  EXPECT_THROW(config_at({}, {{"model.blocks", "8"}, {"window.window_frames", "8"}}), io::UsageError);
}

// -------------------------------------------------------------------------------------------------------- samplers

io::SweepFile sweep_of(io::SamplerKind sampler, std::vector<Domain> space) {
  io::SweepFile file;
  file.sampler = sampler;
  file.space = std::move(space);
  return file;
}

std::vector<Values> first_points(Sampler& sampler, int count, int64_t after = -1) {
  std::vector<Values> points;
  for (int i = 0; i < count; ++i) {
    const auto point = sampler.ask(after);
    if (!point) {
      break;
    }
    after = point->index;
    points.push_back(point->values);
  }
  return points;
}

TEST(SweepSampler, WhoGoesOnAsksForTheSamePoints) {
  for (const io::SamplerKind kind : {io::SamplerKind::grid, io::SamplerKind::random, io::SamplerKind::sobol}) {
    const io::SweepFile file = sweep_of(kind, conditional_space());
    const std::vector<Values> all = first_points(*make_sampler(file), 11);
    const auto later = make_sampler(file);
    EXPECT_EQ(first_points(*later, 6, 4), std::vector<Values>(all.begin() + 5, all.end())) << io::name_of(kind);
  }
}

TEST(SweepSampler, AGridEnds) {
  const auto grid = make_sampler(sweep_of(io::SamplerKind::grid, conditional_space()));
  EXPECT_EQ(first_points(*grid, 100).size(), 12U);
}

TEST(SweepSampler, SeedsDiffer) {
  for (const io::SamplerKind kind : {io::SamplerKind::random, io::SamplerKind::sobol}) {
    io::SweepFile file = sweep_of(kind, {range("train.clip_norm", DomainKind::uniform, 0, 1)});
    const std::vector<Values> first = first_points(*make_sampler(file), 8);
    file.seed = 2;
    EXPECT_NE(first_points(*make_sampler(file), 8), first) << io::name_of(kind);
  }
}

/// Each of 16 equal parts of an axis has one of Sobol's first 16 points; random points leave a third of them empty.
TEST(SweepSampler, SobolSpreadsItsPoints) {
  io::SweepFile file = sweep_of(io::SamplerKind::sobol, {range("train.clip_norm", DomainKind::uniform, 0, 1),
                                                         range("augment.noise", DomainKind::uniform, 0, 1),
                                                         range("vae.beta", DomainKind::uniform, 0, 1)});
  for (const uint64_t seed : {1U, 2U, 3U}) {
    file.seed = seed;
    const std::vector<Values> points = first_points(*make_sampler(file), 16);
    for (const Domain& domain : file.space) {
      std::set<int> parts;
      for (const Values& values : points) {
        parts.insert(static_cast<int>(16 * std::stod(values.at(domain.key))));
      }
      EXPECT_EQ(parts.size(), 16U) << domain.key << " " << seed;
    }
  }
}

// -------------------------------------------------------------------------------------------------------- halving

TEST(SweepHalving, RungsGrowByTheFactorUpToTheWholeTraining) {
  io::TrainSettings train;
  train.epochs = 30;
  EXPECT_THAT(rung_epochs({3, 3}, train), ElementsAre(3, 9, 0));
  EXPECT_THAT(rung_epochs({1, 2}, train), ElementsAre(1, 2, 4, 8, 0));
  EXPECT_THAT(rung_epochs({20, 3}, train), ElementsAre(20, 0));
  EXPECT_THAT(rung_epochs({0, 3}, train), ElementsAre(0));
  EXPECT_THROW(rung_epochs({30, 3}, train), io::UsageError);
  train.epochs = 0;
  EXPECT_THAT(tests::message_of<io::UsageError>([&] { rung_epochs({3, 3}, train); }), HasSubstr("train.epochs"));
}

TEST(SweepHalving, TheBestThirdGoesOnOnceThereAreThree) {
  EXPECT_EQ(next_to_climb({{{2.0}}, {{1.0}}}, 2, 3), std::nullopt);
  EXPECT_EQ(next_to_climb({{{2.0}}, {{1.0}}, {{3.0}}}, 2, 3), 1U);
  EXPECT_EQ(next_to_climb({{{2.0}}, {{1.0, 0.5}}, {{3.0}}}, 2, 3), std::nullopt);
  EXPECT_EQ(next_to_climb({{{2.0}}, {{1.0}, false}, {{3.0}}}, 2, 3), std::nullopt);
}

TEST(SweepHalving, TheHighestRungComesFirst) {
  const std::vector<Climber> trials = {{{1.0, 1.0}}, {{2.0, 0.5}}, {{3.0, 0.7}}, {{0.5}}, {{9.0}}, {{9.0}}};
  EXPECT_EQ(next_to_climb(trials, 3, 3), 1U);
}

TEST(SweepHalving, NaNNeverGoesOn) {
  EXPECT_EQ(next_to_climb({{{nan}}, {{nan}}, {{nan}}}, 2, 3), std::nullopt);
  EXPECT_EQ(next_to_climb({{{nan}}, {{7.0}}, {{nan}}}, 2, 3), 1U);
}

// -------------------------------------------------------------------------------------------------------- journal

Event trial_event(int64_t trial, const std::string& batch = "8") {
  return {.kind = EventKind::trial,
          .trial = trial,
          .index = trial,
          .hash = fmt::format("{:016x}", trial),
          .values = {{"train.batch", batch}},
          .time = 100.0 + static_cast<double>(trial)};
}
Event start_event(int64_t trial, int64_t rung = 0, int64_t attempt = 1) {
  return {.kind = EventKind::start, .trial = trial, .seed = 1, .rung = rung, .attempt = attempt, .where = "host 1 2"};
}
Event done_event(int64_t trial, std::vector<double> objectives, int64_t rung = 0) {
  return {.kind = EventKind::done, .trial = trial, .seed = 1, .rung = rung, .objectives = std::move(objectives)};
}
Event ended_event(EventKind kind, int64_t trial, const std::string& why) {
  return {.kind = kind, .trial = trial, .seed = 1, .why = why};
}

TEST(SweepJournal, GivesBackWhatWasAdded) {
  const test::Folder folder;
  Journal journal(folder.path() / "journal");
  journal.add(trial_event(0));
  journal.add(start_event(0, 0, 3));
  journal.flush();
  journal.add(done_event(0, {0.5, nan}));
  journal.add(ended_event(EventKind::failed, 0, "a \"quote\", \xff and a\nline"));
  journal.flush();
  journal.flush();
  EXPECT_THAT(folder.files(), ElementsAre("journal/00000001.jsonl", "journal/00000002.jsonl"));
  const std::vector<Event> events = Journal(folder.path() / "journal").read();
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[0].hash, trial_event(0).hash);
  EXPECT_EQ(events[0].values, trial_event(0).values);
  EXPECT_EQ(events[0].time, 100.0);
  EXPECT_EQ(events[1].where, "host 1 2");
  EXPECT_EQ(events[1].attempt, 3);
  EXPECT_EQ(events[2].objectives[0], 0.5);
  EXPECT_TRUE(std::isnan(events[2].objectives[1]));
  EXPECT_THAT(events[3].why, HasSubstr("a \"quote\""));
}

TEST(SweepJournal, AReaderHearsOnlyWhatIsNew) {
  const test::Folder folder;
  Journal writer(folder.path()), reader(folder.path());
  writer.add(trial_event(0));
  writer.flush();
  EXPECT_EQ(reader.read().size(), 1U);
  EXPECT_THAT(reader.read(), IsEmpty());
  writer.add(trial_event(1));
  writer.flush();
  EXPECT_EQ(reader.read().front().trial, 1);
  // Who takes over goes on behind the last file.
  reader.add(trial_event(2));
  reader.flush();
  EXPECT_EQ(Journal(folder.path()).read().size(), 3U);
}

TEST(SweepJournal, WhatACrashCutShortIsReadAsFarAsItIsWhole) {
  const test::Folder folder;
  Journal journal(folder.path());
  journal.add(trial_event(0));
  journal.add(trial_event(1));
  journal.flush();
  const std::string text = test::get(folder / "00000001.jsonl");
  test::put(folder / "00000001.jsonl", text.substr(0, text.size() - 5));
  test::put(folder / "00000002.jsonl", "");
  test::put(folder / "00000003.jsonl", std::string(100, '\0'));
  EXPECT_EQ(Journal(folder.path()).read().size(), 1U);
}

TEST(SweepJournal, AForeignFileIsRefusedByName) {
  const test::Folder folder;
  test::put(folder / "00000001.jsonl", "{\"event\": \"party\", \"trial\": 0, \"time\": 0}\n");
  EXPECT_THAT(tests::message_of<io::DataError>([&] { Journal(folder.path()).read(); }), HasSubstr("00000001.jsonl"));
}

TEST(SweepJournal, ReadsTenThousandTrials) {
  const test::Folder folder;
  constexpr int trials = 10000;
  fs::create_directories(folder.path() / "journal");
  for (int i = 0; i < trials; ++i) {
    // A file each, as slow trials have them.
    std::ofstream(folder.path() / "journal" / fmt::format("{:08}.jsonl", i + 1)) << fmt::format(
        "{{\"event\":\"trial\",\"hash\":\"{:016x}\",\"index\":{},\"time\":1.0,\"trial\":{},\"values\":"
        "{{\"model.coupling\":\"additive\",\"train.batch\":\"16\",\"train.learning_rate\":\"0.00123\"}}}}\n"
        "{{\"attempt\":1,\"event\":\"start\",\"rung\":0,\"seed\":1,\"time\":1.0,\"trial\":{},\"where\":"
        "\"evenflow-0123456789abcdef-1_{}\"}}\n"
        "{{\"event\":\"done\",\"objectives\":[{}],\"rung\":0,\"seed\":1,\"time\":2.0,\"trial\":{}}}\n",
        i, i, i, i, i, 1.0 / (i + 1), i);
  }
  SweepState state(1, 1, 1);
  for (const Event& event : Journal(folder.path() / "journal").read()) {
    state.apply(event);
  }
  EXPECT_EQ(state.counts()[TrialState::finished], trials);
}

// -------------------------------------------------------------------------------------------------------- states

TEST(SweepState, FollowsATrialThroughItsRungs) {
  SweepState state(2, 1, 1);
  const auto now = [&] { return state.state_of(state.trials()[0]); };
  state.apply(trial_event(0));
  EXPECT_EQ(now(), TrialState::waiting);
  state.apply(start_event(0));
  EXPECT_EQ(now(), TrialState::running);
  state.apply(ended_event(EventKind::ended, 0, ""));
  EXPECT_EQ(now(), TrialState::waiting);
  state.apply(start_event(0, 0, 2));
  state.apply(done_event(0, {0.7}));
  EXPECT_EQ(now(), TrialState::paused);
  state.apply(start_event(0, 1, 3));
  EXPECT_EQ(now(), TrialState::running);
  state.apply(ended_event(EventKind::ended, 0, "it was lost"));
  EXPECT_EQ(state.trials()[0].repeats[0].crashes, 1);
  EXPECT_EQ(now(), TrialState::waiting);
  state.apply(start_event(0, 1, 4));
  state.apply(done_event(0, {0.5}, 1));
  EXPECT_EQ(now(), TrialState::finished);
  EXPECT_EQ(state.trials()[0].repeats[0].crashes, 0);
  EXPECT_EQ(values_of(state.trials()[0]), std::vector<double>{0.5});
}

TEST(SweepState, AFailedTrialMayBeTriedAgain) {
  SweepState state(1, 1, 1);
  state.apply(trial_event(0));
  state.apply(start_event(0));
  state.apply(ended_event(EventKind::failed, 0, "no"));
  EXPECT_EQ(state.state_of(state.trials()[0]), TrialState::failed);
  state.apply(ended_event(EventKind::retry, 0, ""));
  EXPECT_EQ(state.state_of(state.trials()[0]), TrialState::waiting);
}

TEST(SweepState, ATrialHasAValueOnceAllItsRepeatsHave) {
  SweepState state(1, 5, 2);
  state.apply(trial_event(0));
  Event first = done_event(0, {1.0}), second = done_event(0, {2.0});
  first.seed = 5;
  second.seed = 6;
  state.apply(first);
  EXPECT_EQ(rung_with_values(state.trials()[0]), -1);
  state.apply(second);
  EXPECT_EQ(values_of(state.trials()[0]), std::vector<double>{1.5});
}

TEST(SweepState, AJournalWithAHoleIsRefused) {
  SweepState state(1, 1, 1);
  EXPECT_THROW(state.apply(trial_event(1)), io::DataError);
  EXPECT_THROW(state.apply(start_event(0)), io::DataError);
  state.apply(trial_event(0));
  EXPECT_THROW(state.apply(start_event(0, 1)), io::DataError);
}

// -------------------------------------------------------------------------------------------------------- standing

Sweep sweep_with(std::vector<io::Objective> objectives, const std::vector<std::vector<double>>& values) {
  Sweep sweep;
  sweep.file.objectives = std::move(objectives);
  sweep.file.space = {choice("train.batch", {"8", "16"})};
  sweep.file.trials = static_cast<int64_t>(values.size());
  sweep.rungs = {0};
  for (size_t i = 0; i < values.size(); ++i) {
    sweep.state.apply(trial_event(static_cast<int64_t>(i), i % 2 == 0 ? "8" : "16"));
    sweep.state.apply(done_event(static_cast<int64_t>(i), values[i]));
  }
  return sweep;
}

TEST(SweepStanding, LessOfALossAndMoreOfAnAucIsBetter) {
  const std::vector<std::vector<double>> values = {{0.3}, {0.1}, {nan}, {0.2}};
  EXPECT_THAT(ranked(sweep_with({io::Objective::held_out_loss}, values)), ElementsAre(1, 3, 0));
  EXPECT_THAT(ranked(sweep_with({io::Objective::auc}, values)), ElementsAre(0, 3, 1));
  EXPECT_THAT(best_of(sweep_with({io::Objective::auc}, values)), ElementsAre(0));
}

TEST(SweepStanding, ATrialThatTrainedLongerComesFirst) {
  Sweep sweep = sweep_with({io::Objective::held_out_loss}, {});
  sweep.rungs = {3, 0};
  sweep.state = SweepState(2, 1, 1);
  sweep.state.apply(trial_event(0));
  sweep.state.apply(trial_event(1));
  sweep.state.apply(done_event(0, {0.1}));
  sweep.state.apply(done_event(1, {0.3}));
  EXPECT_THAT(ranked(sweep), ElementsAre(0, 1));
  sweep.state.apply(done_event(1, {0.2}, 1));
  EXPECT_THAT(ranked(sweep), ElementsAre(1, 0));
}

TEST(SweepStanding, TheParetoFrontIsWhatNoTrialBeats) {
  // A loss and a rate: more of the second is better.
  const Sweep sweep = sweep_with({io::Objective::held_out_loss, io::Objective::windows_per_s},
                                 {{0.1, 10}, {0.2, 30}, {0.3, 20}, {0.4, 40}, {0.2, 30}, {0.5, 5}});
  EXPECT_THAT(best_of(sweep), ElementsAre(0, 1, 4, 3));
  EXPECT_THAT(ranked(sweep), ElementsAre(0, 1, 4, 3, 2, 5));
}

TEST(SweepStanding, TheTableHasARowPerTrial) {
  Sweep sweep = sweep_with({io::Objective::held_out_loss}, {{0.5}, {nan}});
  sweep.state.apply(ended_event(EventKind::failed, 1, "too, far"));
  EXPECT_EQ(to_csv(sweep),
            "trial,state,epochs,held_out_loss,train.batch,begun,ended,why\n"
            "0000000000000000,finished,all,0.5,8,100.000,0.000,\n"
            "0000000000000001,failed,all,,16,101.000,0.000,\"too, far\"\n");
}

// -------------------------------------------------------------------------------------------------------- importance

TEST(SweepImportance, FindsTheKeyThatMatters) {
  Sweep sweep = sweep_with({io::Objective::held_out_loss}, {});
  sweep.file.space = {range("train.clip_norm", DomainKind::uniform, 0, 1),
                      range("train.learning_rate", DomainKind::uniform, 0, 1),
                      range("augment.noise", DomainKind::uniform, 0, 1)};
  sweep.state = SweepState(1, 1, 1);
  for (int64_t i = 0; i < 60; ++i) {
    const auto u = [&](uint64_t stream) {
      return kernels::unit_interval(kernels::random_bits(1, stream, static_cast<uint64_t>(i)));
    };
    Event event = trial_event(i);
    event.values = {{"train.clip_norm", fmt::format("{}", u(0))},
                    {"train.learning_rate", fmt::format("{}", u(1))},
                    {"augment.noise", fmt::format("{}", u(2))}};
    sweep.state.apply(event);
    sweep.state.apply(done_event(i, {std::abs(u(1) - 0.4) + 0.1 * u(0)}));
  }
  const std::vector<KeyImportance> found = importances(sweep, 0);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].key, "train.learning_rate");
  EXPECT_TRUE(found[0].importance.low > 0.2) << found[0].importance.low;
  for (size_t i = 1; i < 3; ++i) {
    EXPECT_TRUE(found[i].importance.value < 0.3 * found[0].importance.value) << found[i].key;
    EXPECT_TRUE(found[i].importance.low <= found[i].importance.value);
    EXPECT_TRUE(found[i].importance.value <= found[i].importance.high);
  }
}

TEST(SweepImportance, SaysNothingOfAHandful) {
  EXPECT_THAT(importances(sweep_with({io::Objective::auc}, {{0.1}, {0.2}, {0.3}}), 0), IsEmpty());
}

}  // namespace
}  // namespace evenflow::experiments
