// `evenflow sweep` from the outside: whole sweeps of next to nothing, stopped, killed, refused, and gone on with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "io/config.h"
#include "io/manifest.h"
#include "tests/experiments/small_world.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

/// A model of next to nothing, as SmallWorld's shard takes it.
std::string base(const std::string& epochs) {
  return "[config.window]\nwindow_frames = 8\nwindow_hop_frames = 4\n"
         "[config.model]\nblocks = 1\nsteps = 1\nhidden = 4\n"
         "[config.train]\nbatch = 8\nthreads = 1\nvalidation_fraction = 0.25\nschedule = \"cosine\"\nepochs = " +
         epochs + "\n[config.calibration]\ncopies = 0\n";
}
const std::string four_points =
    "[space]\ntrain.learning_rate = [1e-3, 1e-2]\nmodel.coupling = [\"sigmoid\", \"additive\"]\n";
const std::string grid = "[sweep]\nsampler = \"grid\"\n";

/// An environment variable, put back at the end.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    const char* before = std::getenv(name);
    known_ = before != nullptr;
    before_ = known_ ? before : "";
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() {
    if (known_) {
      ::setenv(name_, before_.c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  bool known_ = false;
  std::string before_;
};

class Sweeps : public ::testing::Test {
 protected:
  Words words(const std::string& space, const std::string& out = "sweep") const {
    put(folder_ / "space.toml", space);
    return {"sweep", folder_ / "space.toml", shard_, "--out", folder_ / out, "--jobs", "2"};
  }
  std::string sweep() const { return folder_ / "sweep"; }

  /// Folders of trials/, one for each trial that was handed over.
  std::vector<fs::path> trials(const std::string& out = "sweep") const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder_ / (out + "/trials"))) {
      found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  /// What a training gave, epoch by epoch, without how fast it was.
  static std::vector<std::string> losses(const fs::path& run) {
    std::vector<std::string> rows;
    for (const auto& row : io::read_csv(run / "metrics.csv")) {
      rows.push_back(fmt::format("{} {} {} {}", row[0], row[2], row[3], row[5]));
    }
    return rows;
  }
  std::map<std::string, std::vector<std::string>> all_losses(const std::string& out = "sweep") const {
    std::map<std::string, std::vector<std::string>> all;
    for (const fs::path& trial : trials(out)) {
      all[trial.filename()] = losses(trial / "seed_1/run");
    }
    return all;
  }
  /// trials.csv as a table: a row per trial, by column.
  std::vector<std::map<std::string, std::string>> table(const std::string& out = "sweep") const {
    const auto rows = io::read_csv(folder_ / (out + "/trials.csv"));
    std::vector<std::map<std::string, std::string>> all;
    for (size_t i = 1; i < rows.size(); ++i) {
      for (size_t c = 0; c < rows[0].size(); ++c) {
        all.resize(i);
        all[i - 1][rows[0][c]] = rows[i][c];
      }
    }
    return all;
  }
  std::vector<std::string> column(const std::string& name) const {
    std::vector<std::string> values;
    for (const auto& row : table()) {
      values.push_back(row.at(name));
    }
    return values;
  }
  /// How often each training was started.
  std::vector<std::string> attempts() const {
    std::vector<std::string> names;
    for (const std::string& name : folder_.files()) {
      if (name.find("/exit.") != std::string::npos) {
        names.push_back(name.substr(name.rfind('/') + 1));
      }
    }
    return names;
  }
  bool wait_for_epochs(Program& program, int epochs) const {
    return program.wait_until([&] {
      for (const std::string& name : folder_.files()) {
        if (name.ends_with("metrics.csv")) {
          const std::string text = get(folder_ / name);
          if (std::count(text.begin(), text.end(), '\n') > epochs) {
            return true;
          }
        }
      }
      return false;
    });
  }
  /// The process of one that is on its way, which its lock names; this one if there is none.
  pid_t a_training() const {
    for (const std::string& name : folder_.files()) {
      std::string word;
      pid_t process = -1;
      if (name.ends_with("run/.evenflow-lock") && std::istringstream(get(folder_ / name)) >> word >> process &&
          process > 1) {
        return process;
      }
    }
    return ::getpid();
  }
  /// Finishes what was interrupted, and compares with a sweep that was not.
  void expect_same_as_undisturbed(const std::string& space) {
    expect_done(run({"sweep", "resume", sweep(), "--jobs", "2"}));
    expect_done(run(words(space, "undisturbed")));
    EXPECT_EQ(all_losses(), all_losses("undisturbed"));
    EXPECT_EQ(io::parse_config(get(sweep() + "/best.toml"), "a"),
              io::parse_config(get(folder_ / "undisturbed/best.toml"), "b"));
  }
  std::vector<std::string> leftovers() const {
    std::vector<std::string> names;
    for (const std::string& name : folder_.files()) {
      if (name.find(".tmp") != std::string::npos || name.find("-lock") != std::string::npos ||
          name.find(".next") != std::string::npos || name.ends_with("/stop")) {
        names.push_back(name);
      }
    }
    return names;
  }

  Folder folder_;
  std::string shard_ = SmallWorld::get().shard();
};

TEST_F(Sweeps, AGridIsTrainedOnceAndItsBestIsAConfiguration) {
  const Words command = words(base("2") + grid + four_points);
  const Outcome first = run(command);
  expect_done(first);
  EXPECT_THAT(first.out, AllOf(HasSubstr("4 of 4 trials: 4 finished"), HasSubstr("held_out_loss"), HasSubstr("Next:")));
  EXPECT_THAT(trials(), SizeIs(4));
  EXPECT_THAT(attempts(), ElementsAre("exit.1", "exit.1", "exit.1", "exit.1"));
  EXPECT_THAT(column("state"), Each("finished"));
  // The best is the trial with the least loss, and is named by it.
  const auto rows = table();
  const auto best = std::min_element(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return std::stod(a.at("held_out_loss")) < std::stod(b.at("held_out_loss"));
  });
  EXPECT_THAT(get(sweep() + "/best.toml"), HasSubstr("trial " + best->at("trial")));
  EXPECT_EQ(io::parse_config(get(sweep() + "/best.toml"), "best"),
            io::read_config(folder_.path() / "sweep/trials" / best->at("trial") / "config.toml"));
  // Again, and nothing is trained.
  const auto trained = all_losses();
  expect_done(run(command));
  EXPECT_THAT(attempts(), SizeIs(4));
  EXPECT_EQ(all_losses(), trained);
  EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(Sweeps, ATrialIsAPlainTraining) {
  expect_done(run(words(base("3") + "[sweep]\ntrials = 1\n" + four_points)));
  const fs::path trial = trials().front();
  expect_done(run({"train", shard_, "--run", folder_ / "plain", "--config", (trial / "config.toml").string()}));
  EXPECT_EQ(losses(folder_.path() / "plain"), losses(trial / "seed_1/run"));
}

TEST_F(Sweeps, MoreTrialsAndRepeatsGoOn) {
  const std::string space = base("1") +
                            "[sweep]\ntrials = 2\nrepeats = 2\n[space]\ntrain.learning_rate = { log_uniform = "
                            "[1e-4, 1e-2] }\n";
  expect_done(run(words(space)));
  expect_done(run(words(space) + Words{"--trials", "3"}));
  ASSERT_THAT(trials(), SizeIs(3));
  for (const fs::path& trial : trials()) {
    EXPECT_TRUE(fs::exists(trial / "seed_1/run/model.h5"));
    EXPECT_EQ(io::read_config(trial / "seed_2/run/config.toml").train.seed, 2U);
  }
  EXPECT_THAT(attempts(), SizeIs(6));
  EXPECT_THAT(run({"sweep", "status", sweep()}).out,
              AllOf(HasSubstr("3 of 3 trials"), HasSubstr("It has all its trials")));
}

TEST_F(Sweeps, CtrlCSavesAndTheSweepGoesOn) {
  const std::string space = base("60") + grid + four_points;
  Program program(words(space));
  ASSERT_TRUE(wait_for_epochs(program, 3)) << program.finish().err;
  EXPECT_THAT(run({"sweep", "status", sweep()}).out, HasSubstr("Led by process"));
  program.send(SIGINT);
  const Outcome outcome = program.finish();
  EXPECT_EQ(outcome.code, 130) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("Stopped"), HasSubstr("evenflow sweep resume")));
  EXPECT_THAT(leftovers(), IsEmpty());
  expect_same_as_undisturbed(space);
}

TEST_F(Sweeps, AnotherProcessStopsIt) {
  const std::string space = base("60") + grid + four_points;
  Program program(words(space));
  ASSERT_TRUE(wait_for_epochs(program, 3)) << program.finish().err;
  expect_done(run({"sweep", "stop", sweep()}));
  EXPECT_EQ(program.finish().code, 130);
  EXPECT_THAT(run({"sweep", "stop", sweep()}).out, HasSubstr("Nothing runs"));
  expect_same_as_undisturbed(space);
}

TEST_F(Sweeps, AKilledLeaderLosesNothing) {
  const std::string space = base("60") + grid + four_points;
  for (int epochs = 2; epochs < 40; epochs += 15) {
    Program program(epochs == 2 ? words(space) : Words{"sweep", "resume", sweep(), "--jobs", "2"});
    ASSERT_TRUE(wait_for_epochs(program, epochs)) << program.finish().err;
    program.send(SIGKILL);
    program.finish();
  }
  expect_same_as_undisturbed(space);
}

TEST_F(Sweeps, AKilledTrainingGoesOn) {
  const std::string space = base("40") + grid + four_points;
  Program program(words(space));
  ASSERT_TRUE(wait_for_epochs(program, 3)) << program.finish().err;
  const pid_t training = a_training();
  ASSERT_NE(training, ::getpid());
  ::kill(training, SIGKILL);
  EXPECT_EQ(program.finish().code, 0);
  EXPECT_THAT(attempts(), ::testing::Contains("exit.2"));
  EXPECT_THAT(column("state"), Each("finished"));
  expect_same_as_undisturbed(space);
}

TEST_F(Sweeps, ATrainingThatGoesOnThoughItWasTakenForLostDidNotFail) {
  Program program(words(base("100000") + grid + "[space]\ntrain.learning_rate = [1e-3]\n"));
  ASSERT_TRUE(wait_for_epochs(program, 3)) << program.finish().err;
  put(folder_.path() / "bin/sleep", "#!/bin/sh\n");
  ::chmod((folder_.path() / "bin/sleep").c_str(), 0755);
  const Variable path("PATH", (folder_.path() / "bin").string() + ":" + std::getenv("PATH"));
  const fs::path trial = trials().at(0);
  const std::string again = fmt::format("sh {}/trial.sh {} 1 0 2 1 -", sweep(), trial.filename().string());
  EXPECT_NE(std::system(again.c_str()), 0);
  EXPECT_EQ(get(trial / "seed_1/exit.2"), "130\n");
  program.send(SIGTERM);
  EXPECT_EQ(program.finish().code, 130);
}

TEST_F(Sweeps, ATrainingThatIsToldTogetherWithItsShellSaves) {
  const std::string space = base("240") + grid + four_points;
  Program program(words(space));
  ASSERT_TRUE(wait_for_epochs(program, 3)) << program.finish().err;
  // As SLURM ends a task: every process of it hears the signal. A task is a process group here.
  const pid_t training = a_training();
  ASSERT_NE(training, ::getpid());
  const pid_t group = ::getpgid(training);
  ASSERT_GT(group, 1);
  ASSERT_NE(group, ::getpgrp());
  ::kill(-group, SIGTERM);
  EXPECT_EQ(program.finish().code, 0);
  std::string log;
  for (const fs::path& trial : trials()) {
    log += get(trial / "seed_1/log.txt");
  }
  EXPECT_THAT(log, HasSubstr("Interrupted after"));
  EXPECT_THAT(column("state"), Each("finished"));
  expect_same_as_undisturbed(space);
}

TEST_F(Sweeps, TrainingsSideBySideInOneProcessAreTheSame) {
  const Words side_by_side = {"--jobs", "1", "--pack", "3"};
  const std::string space = base("6") + "[sweep]\ntrials = 8\n[halving]\nmin_epochs = 2\n[space]\n" +
                            "train.learning_rate = { log_uniform = [1e-4, 1e-1] }\n";
  Words words = this->words(space);
  words.resize(words.size() - 2);
  expect_done(run(words + side_by_side));
  const Words files = folder_.files();
  EXPECT_TRUE(std::any_of(files.begin(), files.end(),
                          [](const std::string& name) { return name.ends_with("/side_by_side.1.csv"); }));
  EXPECT_THAT(column("state"), Each(::testing::AnyOf("finished", "paused")));
  for (const fs::path& trial : trials()) {
    const fs::path alone = folder_.path() / ("alone_" + trial.filename().string());
    const auto epochs = std::to_string(losses(trial / "seed_1/run").size() - 1);
    expect_done(run({"train", shard_, "--run", alone, "--config", trial / "config.toml", "--until-epoch", epochs}));
    EXPECT_EQ(losses(trial / "seed_1/run"), losses(alone));
  }
}

TEST_F(Sweeps, TrainingsSideBySideStopAndGoOn) {
  const std::string space = base("60") + grid + four_points;
  Program program(words(space) + Words{"--pack", "2"});
  ASSERT_TRUE(wait_for_epochs(program, 3)) << program.finish().err;
  program.send(SIGTERM);
  EXPECT_EQ(program.finish().code, 130);
  EXPECT_THAT(run({"sweep", "status", sweep()}).out, HasSubstr("4 waiting"));
  Program again({"sweep", "resume", sweep(), "--jobs", "1", "--pack", "4"});
  ASSERT_TRUE(wait_for_epochs(again, 10)) << again.finish().err;
  const pid_t training = a_training();
  ASSERT_NE(training, ::getpid());
  ::kill(training, SIGKILL);
  EXPECT_EQ(again.finish().code, 0);
  EXPECT_THAT(column("state"), Each("finished"));
  expect_same_as_undisturbed(space);
}

TEST_F(Sweeps, OneOfSeveralSideBySideFailsAlone) {
  const std::string space =
      base("4") + grid + "[space]\ntrain.learning_rate = [1e-3, 1e-2]\n" + "condition.k = [[0.01], [0.01, 0.02]]\n";
  expect_done(run(words(space) + Words{"--pack", "4"}));
  std::map<std::string, int> states;
  for (const auto& row : table()) {
    ++states[row.at("state")];
    EXPECT_EQ(row.at("why").find("condition.k") != std::string::npos, row.at("state") == "failed");
  }
  EXPECT_EQ(states["finished"], 2);
  EXPECT_EQ(states["failed"], 2);
}

TEST_F(Sweeps, HalvingTrainsTheBestToTheEndOnTheScheduleOfTheWhole) {
  expect_done(run(words(base("9") + "[sweep]\ntrials = 6\n[halving]\nmin_epochs = 1\n[space]\ntrain.learning_rate = { "
                                    "log_uniform = [1e-4, 1e-1] }\n")));
  std::map<std::string, int> states;
  for (const auto& row : table()) {
    ++states[row.at("state")];
    const fs::path trial = folder_.path() / "sweep/trials" / row.at("trial");
    const size_t epochs = losses(trial / "seed_1/run").size() - 1;
    EXPECT_EQ(epochs, row.at("epochs") == "all" ? 9U : std::stoul(row.at("epochs"))) << row.at("trial");
    if (row.at("state") == "finished") {
      expect_done(run({"train", shard_, "--run", folder_ / "plain", "--config", (trial / "config.toml").string()}));
      EXPECT_EQ(losses(folder_.path() / "plain"), losses(trial / "seed_1/run"));
    }
  }
  EXPECT_GE(states["paused"], 4);
  EXPECT_LE(states["finished"], 2);
}

TEST_F(Sweeps, SeveralObjectivesGiveAParetoFront) {
  const Outcome outcome =
      run(words(base("2") +
                "[sweep]\nsampler = \"grid\"\nobjectives = [\"auc\", \"estimate_error\", \"windows_per_s\"]\n"
                "labelled = \"" +
                shard_ + "\"\n" + four_points));
  expect_done(outcome);
  for (const auto& row : table()) {
    EXPECT_TRUE(std::stod(row.at("auc")) >= 0 && std::stod(row.at("auc")) <= 1);
    EXPECT_TRUE(std::stod(row.at("estimate_error")) > 0);
    EXPECT_TRUE(std::stod(row.at("windows_per_s")) > 0);
  }
}

TEST_F(Sweeps, ValuesAreLeftOutAsChooseDoes) {
  const Words three_speeds = {"synth",
                              folder_ / "rails",
                              "--train-velocities",
                              "100,200,300",
                              "--test-velocities",
                              "100",
                              "--train-distances",
                              "100",
                              "--test-distances",
                              "100",
                              "--train-clips",
                              "3",
                              "--normal-clips",
                              "1",
                              "--anomaly-clips",
                              "1",
                              "--duration",
                              "0.4"};
  expect_done(run(three_speeds));
  expect_done(run(
      {"prepare", folder_ / "rails/manifest.csv", "--out", folder_ / "f.h5", "--config", SmallWorld::get().config()}));
  shard_ = folder_ / "f.h5";
  expect_done(run(words(base("1") + "[sweep]\nsampler = \"grid\"\nobjectives = [\"leave_out_estimate_error\", "
                                    "\"leave_out_false_alarms\", \"leave_out_missed\"]\n[space]\nmodel.coupling = "
                                    "[\"sigmoid\", \"additive\"]\n")));
  for (const auto& row : table()) {
    const fs::path trial = folder_.path() / "sweep/trials" / row.at("trial");
    const auto choice = io::read_csv(trial / "seed_1/choice/choice.csv");
    EXPECT_EQ(std::stod(row.at("leave_out_false_alarms")), std::stod(choice[1][3]));
    EXPECT_EQ(std::stod(row.at("leave_out_missed")), std::stod(choice[1][7]));
    EXPECT_EQ(std::stod(row.at("leave_out_estimate_error")), std::stod(choice[1][9]));
    EXPECT_FALSE(fs::exists(trial / "seed_1/run"));
  }
}

TEST_F(Sweeps, AFailureIsOneTrialsOwn) {
  const Outcome outcome =
      run(words(base("1") + grid + "[space]\nmodel.blocks = [1, 2, 4]\ncondition.k = [[0.01], [0.01, 0.02]]\n"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("2 finished, 4 failed"));
  int not_allowed = 0, refused = 0;
  for (const auto& row : table()) {
    not_allowed += row.at("why").find("model.blocks = 4") != std::string::npos ? 1 : 0;
    refused += row.at("why").find("condition.k") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(not_allowed, 2);
  EXPECT_EQ(refused, 2);
}

TEST_F(Sweeps, WhereAllFailItEndsWithTheReason) {
  const Words command = words(base("1") + grid +
                              "[space]\ncondition.k = [[0.01, 0.02]]\ntrain.batch = [2, 4, 8, 16, 32, 64, 128, 256]\n");
  expect_refused(run(command), 3, {"trials failed", "condition.k", "--failed"});
  EXPECT_LE(trials().size(), 5U);
}

TEST_F(Sweeps, AFullDiskStopsItAndLosesNothing) {
  const Words command = words(base("2") + grid + four_points);
  Setting full;
  full.file_limit_bytes = 20000;
  expect_refused(run(command, full), 3, {"free some space", "the same command goes on"});
  const Outcome outcome = run(command);
  expect_done(outcome);
  EXPECT_THAT(outcome.out, HasSubstr("4 of 4 trials: 4 finished"));
}

TEST_F(Sweeps, OneFolderHoldsOneSweep) {
  const std::string space = base("60") + grid + four_points;
  Program program(words(space));
  ASSERT_TRUE(wait_for_epochs(program, 2)) << program.finish().err;
  expect_refused(run({"sweep", "resume", sweep()}), 3, {"another evenflow is writing", "process"});
  program.send(SIGINT);
  program.finish();
  expect_refused(run(words(base("61") + grid + four_points)), 2,
                 {"holds another sweep", "train.epochs = 60", "folder"});
  expect_refused(run(words(base("60") + grid + "[space]\ntrain.batch = [4, 8]\n")), 2, {"another space"});
  expect_refused(run(words(base("60") + "[sweep]\nsampler = \"random\"\n" + four_points)), 2, {"the sampler grid"});
}

TEST_F(Sweeps, RefusesWhatNoTrialCanReport) {
  const auto with = [&](const std::string& sweep, const std::string& space = four_points) {
    return run(words(base("2") + "[sweep]\n" + sweep + "\n" + space));
  };
  expect_refused(with("objectives = [\"auc\"]"), 2, {"no trial can report auc", "labelled"});
  expect_refused(with("objectives = [\"auc\"]\nlabelled = \"none.h5\""), 3, {"none.h5"});
  expect_refused(with("objectives = [\"leave_out_missed\"]"), 2, {"leave_out_missed", "2 values", "three"});
  expect_refused(with("", "[space]\ntrain.validation_fraction = [0.1, 0.2]\n"), 2,
                 {"train.validation_fraction", "held_out_loss", "different clips"});
  expect_refused(with("", "[space]\nmodel.kind = [\"glow\", \"vae\"]\n"), 2, {"model.kind", "loss of its own"});
  expect_refused(with("", "[halving]\nmin_epochs = 2\n" + four_points), 2, {"halving.min_epochs", "2 epochs"});
  expect_refused(
      with("objectives = [\"held_out_loss\", \"windows_per_s\"]", "[halving]\nmin_epochs = 1\n" + four_points), 2,
      {"[halving]", "one objective"});
  expect_refused(
      run(words("[config.window]\nwindow_frames = 8\n[config.train]\nvalidation_fraction = 0.0\n" + four_points)), 2,
      {"held_out_loss", "train.validation_fraction is 0"});
  expect_refused(with("sampler = \"grid\"", "[space]\ntrain.clip_norm = { uniform = [0, 1] }\n"), 2, {"points"});
  EXPECT_FALSE(fs::exists(sweep()));
}

TEST_F(Sweeps, RefusesWithoutItsArguments) {
  expect_refused(run({"sweep"}), 2, {"search space", "--out"});
  expect_refused(run({"sweep", folder_ / "none.toml", shard_, "--out", sweep()}), 2, {"none.toml"});
  expect_refused(run({"sweep", "status"}), 2, {"FOLDER"});
  expect_refused(run({"sweep", "status", folder_.path().string()}), 3, {"holds no sweep"});
  expect_refused(run(words(base("1") + four_points) + Words{"--on", "moon"}), 2, {"'moon'", "slurm"});
  put(folder_ / "taken/notes.txt", "mine");
  expect_refused(run(words(base("1") + four_points, "taken")), 2, {"notes.txt", "another folder"});
}

TEST_F(Sweeps, SaysWhenThereIsNoSlurm) {
  const Words command = words(base("1") + four_points) + Words{"--on", "slurm"};
  const Variable path("PATH", folder_ / "nothing");
  expect_refused(run(command), 2, {"no SLURM on this machine", "sbatch"});
  EXPECT_FALSE(fs::exists(sweep()));
}

TEST_F(Sweeps, SaysWhenThereIsNoOptuna) {
  const Words command = words(base("1") + "[sweep]\nsampler = \"tpe\"\n" + four_points);
  {
    const Variable python("EVENFLOW_PYTHON", "/nothing/python3");
    expect_refused(run(command), 2, {"Optuna", "/nothing/python3", "sobol"});
  }
  const Variable python("EVENFLOW_PYTHON", "false");
  expect_refused(run(command), 2, {"does not have Optuna", "pip install optuna"});
  EXPECT_FALSE(fs::exists(sweep()));
}

/// Enough of SLURM for a sweep: a task is a process in the background, and its number stands in a file.
constexpr const char* fake_sbatch = R"sh(#!/bin/sh
[ "$1" != --version ] || exit 0
echo "$*" >>"$(dirname "$0")/submitted.txt"
for word; do
  case $word in
    --array=0-*) last=${word#--array=0-} ;;
    --job-name=*) name=${word#--job-name=} ;;
  esac
  script=$list list=$word
done
task=0
while [ "$task" -le "$last" ]; do
  SLURM_ARRAY_TASK_ID=$task setsid sh "$script" "$list" >/dev/null 2>&1 </dev/null &
  echo "$! $name" >"$(dirname "$0")/task_${name}_$task"
  task=$((task + 1))
done
echo 1
)sh";
constexpr const char* fake_squeue = R"sh(#!/bin/sh
for file in "$(dirname "$0")"/task_*; do
  read -r process name <"$file" || continue
  ! kill -0 "$process" 2>/dev/null || echo "$process ${name}_${file##*_} RUNNING"
done
)sh";
constexpr const char* fake_scancel = R"sh(#!/bin/sh
for word; do
  case $word in
    -*) ;;
    *) kill -TERM "$word" ;;
  esac
done
)sh";

/// A SLURM on the PATH that runs tasks at once.
class SweepsOnSlurm : public Sweeps {
 protected:
  std::string submitted() const { return get(folder_.path() / "bin/submitted.txt"); }

 private:
  Variable path_{"PATH", programs() + ":" + std::getenv("PATH")};
  std::string programs() const;
};

std::string SweepsOnSlurm::programs() const {
  for (const auto& [name, text] : {std::pair{"sbatch", fake_sbatch}, std::pair{"squeue", fake_squeue},
                                   std::pair{"scancel", fake_scancel}, std::pair{"scontrol", "#!/bin/sh\nexit 1\n"}}) {
    put(folder_.path() / "bin" / name, text);
    ::chmod((folder_.path() / "bin" / name).c_str(), 0755);
  }
  return folder_.path() / "bin";
}

TEST_F(SweepsOnSlurm, TrialsAreTasksOfArrays) {
  const std::string space = base("40") + grid + four_points;
  Program program(words(space + "[slurm]\npoll_s = 0.2\npartition = \"cpu\"\n") + Words{"--on", "slurm"});
  ASSERT_TRUE(wait_for_epochs(program, 3)) << program.finish().err;
  expect_done(run({"sweep", "stop", sweep()}));
  EXPECT_EQ(program.finish().code, 130);
  // Nobody leads it while this one is killed, and its trainings, two in a task, go on.
  Program resumed({"sweep", "resume", sweep(), "--jobs", "2", "--pack", "2"});
  ASSERT_TRUE(wait_for_epochs(resumed, 10)) << resumed.finish().err;
  resumed.send(SIGKILL);
  resumed.finish();
  expect_same_as_undisturbed(space);
  EXPECT_THAT(column("state"), Each("finished"));
  EXPECT_THAT(submitted(), AllOf(HasSubstr("--partition=cpu"), Not(HasSubstr("--exclusive"))));
}

TEST_F(SweepsOnSlurm, WhatIsTimedHasANodeToItself) {
  const std::string space = base("2") + "[sweep]\nsampler = \"grid\"\nobjectives = [\"windows_per_s\"]\n" +
                            "[slurm]\npoll_s = 0.2\n[space]\ntrain.batch = [4, 8]\n";
  expect_done(run(words(space) + Words{"--on", "slurm"}));
  EXPECT_THAT(submitted(), HasSubstr("--exclusive"));
}

/// Speaks as optuna_sampler.py does, and notes down what it hears.
constexpr const char* fake_optuna = R"(#!/bin/sh
[ "$1" != -c ] || exit 0
index=0
while read -r line; do
  printf '%s\n' "$line" >>"$(dirname "$1")/heard.txt"
  case $line in
    *'"ask"'*) echo "{\"index\": $index, \"values\": {\"train.batch\": \"$((4 + index))\"}}"; index=$((index + 1)) ;;
    *) echo '{}' ;;
  esac
done
)";

TEST_F(Sweeps, AsksAndTellsOptuna) {
  put(folder_ / "python", fake_optuna);
  ::chmod((folder_ / "python").c_str(), 0755);
  const Variable python("EVENFLOW_PYTHON", folder_ / "python");
  expect_done(
      run(words(base("2") + "[sweep]\nsampler = \"tpe\"\ntrials = 3\n[space]\ntrain.batch = { integer = [4, 8] }\n")));
  EXPECT_THAT(column("train.batch"), ElementsAre("4", "5", "6"));
  const std::string heard = get(sweep() + "/heard.txt");
  EXPECT_THAT(heard,
              AllOf(HasSubstr("\"sampler\":\"tpe\""), HasSubstr("\"kind\":\"integer\""), HasSubstr("optuna.log")));
  for (const std::string index : {"0", "1", "2"}) {
    EXPECT_THAT(heard, HasSubstr("\"tell\":" + index)) << index;
  }
}

TEST_F(Sweeps, TheReportHasEveryPart) {
  expect_done(
      run(words(base("1") + "[sweep]\ntrials = 12\n[space]\ntrain.learning_rate = { log_uniform = [1e-4, 1e-1] }\n"
                            "model.coupling = [\"sigmoid\", \"additive\"]\n")));
  EXPECT_THAT(run({"info", sweep()}).out, AllOf(HasSubstr("sweep"), HasSubstr("12 of 12 trials"), HasSubstr("best ")));
  expect_done(run({"sweep", "report", sweep()}));
  const std::string page = get(sweep() + "/report.html");
  for (const char* part : {"parallel coordinates", "held_out_loss over time", "importance of each key", "[train]",
                           "train.learning_rate", "12 of 12 trials"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
  for (const char* name : {"parallel_coordinates.svg", "over_time_held_out_loss.png", "importance_held_out_loss.gp"}) {
    EXPECT_TRUE(fs::exists(sweep() + "/figures/" + name)) << name;
  }
  EXPECT_THAT(run({"sweep", "best", sweep(), "--most", "2"}).out, HasSubstr("best.toml"));
}

}  // namespace
}  // namespace evenflow::experiments::test
