// A run folder has one writer, and whatever ends that one leaves the folder free and whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "io/manifest.h"
#include "tests/experiments/small_world.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// A training that goes on until it is ended from outside.
class Runs : public ::testing::Test {
 protected:
  Words long_training() const { return SmallWorld::get().train_words(run_, "1000000"); }
  bool wait_for_epochs(Program& program) const {
    return program.wait_until([&] {
      const std::string metrics = fs::exists(run_ + "/metrics.csv") ? get(run_ + "/metrics.csv") : "";
      return std::count(metrics.begin(), metrics.end(), '\n') > 2;
    });
  }
  static Words column_of(const std::string& run, size_t column) {
    Words cells;
    for (const auto& row : io::read_csv(run + "/metrics.csv")) {
      cells.push_back(row.at(column));
    }
    return cells;
  }
  /// Files of evenflow's that are nobody's result.
  Words leftovers() const {
    Words names;
    for (const std::string& name : folder_.files()) {
      if (name.find(".tmp") != std::string::npos || name.find(".lock") != std::string::npos ||
          name.find(".evenflow-") != std::string::npos) {
        names.push_back(name);
      }
    }
    return names;
  }
  Folder folder_;
  std::string run_ = folder_ / "run";
};

TEST_F(Runs, ASecondTrainingIsRefusedByName) {
  Program first(long_training());
  ASSERT_TRUE(wait_for_epochs(first)) << first.finish().err;
  const std::string config = get(run_ + "/config.toml");
  for (const Words& second :
       {long_training() + Words{"--replace", "--seed", "2"}, Words{"train", "--run", run_, "--resume"}}) {
    const Outcome outcome = run(second);
    EXPECT_EQ(outcome.code, 3) << outcome.err;
    EXPECT_THAT(outcome.err,
                AllOf(HasSubstr(run_), HasSubstr("being trained in"), HasSubstr("process "), HasSubstr("since")));
  }
  EXPECT_EQ(get(run_ + "/config.toml"), config);
  EXPECT_EQ(run({"info", run_}).code, 0);
  first.send(SIGINT);
  EXPECT_EQ(first.finish().code, 130);
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Runs, AKilledOneIsFree) {
  Program first(long_training());
  ASSERT_TRUE(wait_for_epochs(first)) << first.finish().err;
  first.send(SIGKILL);
  first.finish();
  Program second({"train", "--run", run_, "--resume"});
  ASSERT_TRUE(second.wait_until([&] { return get(run_ + "/log.txt").find("resumed") != std::string::npos; }));
  second.send(SIGTERM);
  EXPECT_EQ(second.finish().code, 130);
  EXPECT_THAT(leftovers(), IsEmpty());
  const Outcome replaced = run(SmallWorld::get().train_words(run_, "2") + Words{"--replace"});
  EXPECT_EQ(replaced.code, 0) << replaced.err;
}

TEST_F(Runs, AHangUpSavesAsCtrlCDoes) {
  Program program(long_training());
  ASSERT_TRUE(wait_for_epochs(program)) << program.finish().err;
  program.send(SIGHUP);
  const Outcome outcome = program.finish();
  EXPECT_EQ(outcome.code, 130) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("--resume"));
  EXPECT_THAT(leftovers(), IsEmpty());
  EXPECT_EQ(run({"info", run_ + "/checkpoint.h5"}).code, 0);
}

TEST_F(Runs, AReplacementThatCannotBeginLeavesTheOldRun) {
  const SmallWorld& world = SmallWorld::get();
  ASSERT_EQ(run(world.train_words(run_, "2")).code, 0);
  const Words files = folder_.files();
  const std::string model = get(run_ + "/model.h5");
  put(folder_ / "bad.h5", "no shard");
  const Words replace = {"--run", run_, "--replace"};
  for (const Words& words :
       {Words{"train", world.shard(), "--epochs", "-1"} + replace, Words{"train", folder_ / "bad.h5"} + replace,
        Words{"train", world.shard(), "--machine", "no such machine"} + replace,
        Words{"train", world.shard(), "--condition.parameters", "no_such"} + replace,
        Words{"train", world.shard(), "--device", "cuda:7"} + replace}) {
    EXPECT_NE(run(words).code, 0);
    EXPECT_EQ(get(run_ + "/model.h5"), model);
  }
  fs::remove(folder_ / "bad.h5");
  EXPECT_EQ(folder_.files(), files);
}

TEST_F(Runs, WhatAKillAtTheStartLeftIsGotOver) {
  put(run_ + "/.writable.tmp4242-0", "");
  const Outcome outcome = run(SmallWorld::get().train_words(run_, "1"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

TEST_F(Runs, LeftoversOfTheSameProcessNumberAreNoObstacle) {
  // evenflow 0.1's names: in a container every start has process number 1.
  const SmallWorld& world = SmallWorld::get();
  for (int pid = 1; pid < 4; ++pid) {
    put(folder_ / ("f.h5.tmp" + std::to_string(pid) + "-0"), "half");
  }
  EXPECT_EQ(run({"prepare", world.manifest(), "--out", folder_ / "f.h5", "--config", world.config()}).code, 0);
}

TEST_F(Runs, UntilAnEpochTheScheduleIsThatOfTheWhole) {
  const SmallWorld& world = SmallWorld::get();
  const auto losses = [](const std::string& folder) {
    std::vector<std::string> rows;
    for (const auto& row : io::read_csv(folder + "/metrics.csv")) {
      rows.push_back(row[0] + " " + row[2] + " " + row[3]);
    }
    return rows;
  };
  const Words cosine = {"--train.schedule", "cosine"};
  const Outcome stopped = run(world.train_words(run_, "5") + cosine + Words{"--until-epoch", "2"});
  EXPECT_EQ(stopped.code, 0) << stopped.err;
  EXPECT_THAT(stopped.out, AllOf(HasSubstr("Stopped after 2 epochs, as asked"), HasSubstr("--resume")));
  EXPECT_EQ(losses(run_).size(), 3U);
  EXPECT_EQ(run({"train", "--run", run_, "--resume", "--until-epoch", "2"}).code, 0);
  EXPECT_EQ(losses(run_).size(), 3U);
  EXPECT_EQ(run({"train", "--run", run_, "--resume"}).code, 0);
  EXPECT_EQ(run(world.train_words(folder_ / "whole", "5") + cosine).code, 0);
  EXPECT_EQ(losses(run_), losses(folder_ / "whole"));
}

TEST_F(Runs, ManyAtOnceAreTheSameAsAlone) {
  const std::string runs = folder_ / "runs";
  expect_done(run(SmallWorld::get().train_words(runs, "3") + Words{"--pack", "3", "--seed", "5"}));
  for (const std::string seed : {"5", "6", "7"}) {
    const std::string alone = folder_ / ("alone_" + seed);
    expect_done(run(SmallWorld::get().train_words(alone, "3") + Words{"--seed", seed}));
    EXPECT_EQ(get(alone + "/config.toml"), get(runs + "/seed_" + seed + "/config.toml"));
    EXPECT_EQ(column_of(alone, 3), column_of(runs + "/seed_" + seed, 3));
  }
  expect_refused(run(SmallWorld::get().train_words(runs + "/seed_5", "3") + Words{"--pack", "2"}), 2,
                 {"seed_5", "is a run itself"});
  expect_refused(run(SmallWorld::get().train_words(runs, "3") + Words{"--pack", "3", "--seed", "7"}), 2,
                 {"seed_7", "--resume"});
  EXPECT_FALSE(fs::exists(runs + "/seed_8"));
  expect_refused(run(SmallWorld::get().train_words(run_, "3") + Words{"--pack", "2", "--seed", "9223372036854775807"}),
                 2, {"no 2 seeds", "--seed"});
  expect_refused(run({"train", folder_ / "none.h5", "--run", run_, "--pack", "3"}), 3, {"none.h5", "does not exist"});
  expect_refused(run({"train", "--run", runs, "--resume"}), 2, {"holds runs", "--pack N", "/seed_"});
  const std::string metrics = get(runs + "/seed_5/metrics.csv");
  expect_refused(run({"train", "--run", runs, "--pack", "3", "--seed", "5", "--resume", "--results",
                      runs + "/seed_5/metrics.csv"}),
                 2, {"metrics.csv"});
  EXPECT_EQ(get(runs + "/seed_5/metrics.csv"), metrics);
  EXPECT_THAT(run({"info", runs}).out, AllOf(HasSubstr("folder of 3 runs"), HasSubstr("seed_6"), HasSubstr("epoch 3")));
}

TEST_F(Runs, AListSaysWhatIsTrainedAtOnce) {
  const auto line = [](const Words& words) {
    std::string text;
    for (size_t i = 1; i < words.size(); ++i) {
      text += "\"" + words[i] + "\" ";
    }
    return text + "\n";
  };
  const std::string list = folder_ / "list.txt", results = folder_ / "results.csv";
  put(list, "# two trainings\n" + line(SmallWorld::get().train_words(folder_ / "with blank", "3")) + "\n" +
                line(SmallWorld::get().train_words(folder_ / "b", "2")));
  expect_done(run({"train", "--list", list, "--results", results}));
  const auto rows = io::read_csv(results);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_THAT(rows[1], AllOf(::testing::Contains(folder_ / "with blank"), ::testing::Contains("3")));
  EXPECT_EQ(rows[1][0] + rows[2][0], "00");
  EXPECT_EQ(column_of(folder_ / "with blank", 0).size(), 4U);

  put(list, line(SmallWorld::get().train_words(folder_ / "with blank", "3")) +
                line(SmallWorld::get().train_words(folder_ / "c", "2")));
  const Outcome outcome = run({"train", "--list", list, "--results", results});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("with blank"), HasSubstr("already")));
  EXPECT_TRUE(fs::exists(folder_ / "c/model.h5"));
  EXPECT_EQ(io::read_csv(results)[1][0], "3");

  put(list, line(SmallWorld::get().train_words(run_, "3")) + line(SmallWorld::get().train_words(run_, "2")));
  expect_refused(run({"train", "--list", list}), 2, {"line 2", "line 1", run_});
  put(list, "features.h5 --run r --epoch 3\n");
  expect_refused(run({"train", "--list", list}), 2, {"line 1", "--epoch"});
  put(list, "\n# nothing\n");
  expect_refused(run({"train", "--list", list}), 2, {"lists no training"});
  expect_refused(run({"train", "--list", list, "--epochs", "3"}), 2, {"--list", "--threads"});
  put(list, line(SmallWorld::get().train_words(run_, "3")));
  expect_refused(run({"train", "--list", list, "--results", list}), 2, {list});
  put(list, line(SmallWorld::get().train_words(run_, "3")) + line(SmallWorld::get().train_words(run_ + "/in/it", "3")));
  expect_refused(run({"train", "--list", list}), 2, {"line 2", "line 1", "in/it"});
  put(list, line(SmallWorld::get().train_words(run_ + "/", "3")) + line(SmallWorld::get().train_words(run_, "3")));
  expect_refused(run({"train", "--list", list}), 2, {"line 2", "line 1"});
  put(list, "features.h5 --run r --train.seed 3 \"--model.hidden 8\n");
  expect_refused(run({"train", "--list", list}), 2, {"line 1", "double quote is not closed"});
  put(list, line({"train", folder_ / "none.h5", "--run", run_}));
  expect_refused(run({"train", "--list", list}), 3, {"line 1", "none.h5", "does not exist"});
  EXPECT_FALSE(fs::exists(run_));
}

TEST_F(Runs, AListThatIsStoppedGoesOn) {
  std::string lines;
  for (const std::string name : {"a", "b", "c"}) {
    for (const std::string& word : SmallWorld::get().train_words(folder_ / name, "2000") + Words{"--seed=\"1\""}) {
      lines += word == "train" ? "" : word + " ";
    }
    lines += "\n";
  }
  const std::string list = folder_ / "list.txt";
  put(list, lines);
  Program program({"train", "--list", list, "--threads", "1"});
  ASSERT_TRUE(program.wait_until([&] { return fs::exists(folder_ / "a/model.h5"); })) << program.finish().err;
  program.send(SIGINT);
  const Outcome outcome = program.finish();
  EXPECT_EQ(outcome.code, 130) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("--resume"));
  EXPECT_FALSE(fs::exists(folder_ / "c"));
  Program again({"train", "--list", list, "--threads", "1", "--resume"});
  ASSERT_TRUE(again.wait_until([&] {
    const std::string log = get(folder_ / "a/log.txt");
    return log.find("resumed after") != std::string::npos;
  })) << again.finish().err;
  again.send(SIGINT);
  EXPECT_EQ(again.finish().code, 130);
}

TEST_F(Runs, AModelSaysWhatItWasTrainedWithout) {
  const Outcome trained =
      run(SmallWorld::get().train_words(run_, "1") + Words{"--train.leave_out", "velocity_mm_s=100"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_THAT(trained.out, HasSubstr("trained without velocity_mm_s=100"));
  EXPECT_THAT(run({"info", run_ + "/model.h5"}).out, HasSubstr("left out       velocity_mm_s=100\n"));
  // Of several trainings a note is said once, with those that have it.
  const std::string pack = folder_ / "pack";
  const Outcome packed =
      run(SmallWorld::get().train_words(pack, "1") + Words{"--train.leave_out", "velocity_mm_s=100", "--pack", "2"});
  ASSERT_EQ(packed.code, 0) << packed.err;
  const std::string note = "note: " + pack + "/seed_1, " + pack + "/seed_2: trained without velocity_mm_s=100\n";
  EXPECT_THAT(packed.out, HasSubstr(note));
}

TEST_F(Runs, AValueThatWasLeftOutIsUnseenInItsShardToo) {
  const SmallWorld& world = SmallWorld::get();
  const std::string scores = folder_ / "scores.csv", model = run_ + "/model.h5";
  const auto evaluated = [&](const Words& more) {
    EXPECT_EQ(run(world.train_words(run_, "1") + Words{"--condition.enabled", "false", "--replace"} + more).code, 0);
    EXPECT_EQ(run({"score", "--model", model, world.shard(), "--out", scores}).code, 0);
    return run({"evaluate", scores, "--model", model, "--training", world.shard()}).out;
  };
  EXPECT_THAT(evaluated({}), HasSubstr("Seen in training: velocity_mm_s within 20 of 100 and 300"));
  EXPECT_THAT(evaluated({"--train.leave_out", "velocity_mm_s=100"}),
              AllOf(HasSubstr("Seen in training: velocity_mm_s"), Not(HasSubstr("100 and 300"))));
}

}  // namespace
}  // namespace evenflow::experiments::test
