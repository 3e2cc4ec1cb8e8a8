// evenflow train under mpirun, as a person starts it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "experiments/process.h"
#include "io/manifest.h"
#include "tests/train/train_fixture.h"

namespace evenflow::experiments {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;
using Words = std::vector<std::string>;

Words mpirun(int ranks) {
  return {"mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", std::to_string(ranks)};
}
Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::string read(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

int64_t count_of(const std::string& text, const std::string& what) {
  int64_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++count;
  }
  return count;
}

class Mpi : public ::testing::Test {
 protected:
  void SetUp() override {
    if (run_program({"mpirun", "--version"}).code != 0) {
      GTEST_SKIP() << "mpirun is not installed (openmpi-bin)";
    }
    if (!EVENFLOW_BUILT_WITH_MPI) {
      GTEST_SKIP() << "built without MPI (libopenmpi-dev)";
    }
    // Two mpirun that start at once make the same folder in /tmp, and one of them fails.
    ::setenv("OMPI_MCA_orte_tmpdir_base", shard().parent_path().c_str(), 1);
    train::testing::write_shard(shard(), {.train_clips = 12});
    write_config("config.toml", train::testing::tiny_config());
  }
  void write_config(const std::string& name, const io::Config& config) const {
    std::ofstream(folder_ / name) << io::to_toml(config);
  }
  fs::path shard() const { return folder_ / "shard.h5"; }
  fs::path run(const std::string& name) const { return folder_ / name; }
  Words train_words(const std::string& name, const Words& more = {}) const {
    return Words{EVENFLOW_PROGRAM,
                 "train",
                 shard().string(),
                 "--run",
                 run(name).string(),
                 "--config",
                 (folder_ / "config.toml").string()} +
           more;
  }
  void train_alone(const std::string& name, const Words& more = {}) const {
    const ProgramOutput done = run_program(train_words(name, more));
    ASSERT_EQ(done.code, 0) << done.err;
  }
  train::testing::TempFolder folder_;
};

TEST_F(Mpi, ThreeRanksGiveTheBitsOfOneAndOneSpeaks) {
  train_alone("alone");
  const ProgramOutput done = run_program(mpirun(3) + train_words("shared"));
  ASSERT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(count_of(done.out, "Trained 2 epochs"), 1) << done.out;
  EXPECT_THAT(read(run("shared") / "log.txt"), HasSubstr("3 ranks train together"));
  train::testing::expect_same_run(run("alone"), run("shared"));
}

TEST_F(Mpi, AnErrorIsSaidOnceAndIsTheJobsExitCode) {
  const ProgramOutput no_shard =
      run_program(mpirun(3) + Words{EVENFLOW_PROGRAM, "train", "nowhere.h5", "--run", run("run").string()});
  EXPECT_EQ(no_shard.code, 3) << no_shard.err;
  EXPECT_EQ(count_of(no_shard.err, "evenflow: "), 1) << no_shard.err;
  const ProgramOutput no_option = run_program(mpirun(2) + train_words("run", {"--nonsense"}));
  EXPECT_EQ(no_option.code, 2) << no_option.err;
  EXPECT_EQ(count_of(no_option.err, "evenflow: "), 1) << no_option.err;
  EXPECT_FALSE(fs::exists(run("run")));
}

TEST_F(Mpi, AnErrorOfOneRankEndsAll) {
  const std::string other = "[ $OMPI_COMM_WORLD_RANK = 1 ] && set -- \"$@\" --seed 5; exec \"$@\"";
  const ProgramOutput failed = run_program(mpirun(2) + Words{"sh", "-c", other, "sh"} + train_words("run"));
  EXPECT_EQ(failed.code, 2) << failed.err;
  EXPECT_THAT(failed.err, HasSubstr("different settings"));
  EXPECT_FALSE(fs::exists(run("run")));
}

/// Signals the rank of this number once the run has made a step or two, from within its own shell.
Words signalled(int rank, const std::string& signal, const fs::path& run) {
  return {"sh", "-c",
          "if [ $OMPI_COMM_WORLD_RANK = " + std::to_string(rank) + " ]; then (while ! grep -q '^2,' '" +
              (run / "metrics.csv").string() + "' 2>/dev/null; do sleep 0.02; done; kill -" + signal +
              " $$) & fi; exec \"$@\"",
          "sh"};
}

TEST_F(Mpi, AKilledRankEndsTheJobAndTheRunGoesOn) {
  const Words epochs = {"--epochs", "20"};
  train_alone("alone", epochs);
  const ProgramOutput killed = run_program(mpirun(2) + signalled(1, "KILL", run("run")) + train_words("run", epochs));
  EXPECT_NE(killed.code, 0);
  const ProgramOutput resumed =
      run_program(mpirun(3) + Words{EVENFLOW_PROGRAM, "train", "--run", run("run").string(), "--resume"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  train::testing::expect_same_run(run("alone"), run("run"));
}

TEST_F(Mpi, ASignalToOneRankSavesTheRunOfAll) {
  const Words epochs = {"--epochs", "20"};
  train_alone("alone", epochs);
  const ProgramOutput stopped = run_program(mpirun(2) + signalled(1, "TERM", run("run")) + train_words("run", epochs));
  EXPECT_EQ(stopped.code, 130) << stopped.err;
  EXPECT_THAT(stopped.out, HasSubstr("all is saved"));
  const ProgramOutput resumed = run_program({EVENFLOW_PROGRAM, "train", "--run", run("run").string(), "--resume"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  train::testing::expect_same_run(run("alone"), run("run"));
}

/// The training's loss of each epoch.
std::vector<double> losses(const fs::path& run) {
  constexpr size_t train_loss = 3;
  std::vector<double> found;
  for (const std::vector<std::string>& row : io::read_csv(run / "metrics.csv")) {
    if (row[0] != "epoch") {
      found.push_back(std::stod(row[train_loss]));
    }
  }
  return found;
}

TEST_F(Mpi, EmulatedGpusAgreeWithOneToRounding) {
  io::Config config = train::testing::tiny_config();
  config.train.device = "auto";
  write_config("resident.toml", config);
  config.train.resident_mib = 0;
  config.augment.noise = 0.1;
  config.augment.mask_bands = 3;
  config.train.batch = 15;  // 47 windows: of the last batch's two, one of three ranks has none
  write_config("streamed.toml", config);
  const auto train = [&](int ranks, const std::string& settings, const std::string& name) {
    const Words words = {EVENFLOW_EMULATED_TRAINING, shard().string(), run(name).string(),
                         (folder_ / settings).string()};
    const ProgramOutput done = run_program(ranks == 1 ? words : mpirun(ranks) + words);
    EXPECT_EQ(done.code, 0) << done.err;
    return losses(run(name));
  };
  for (const auto& [settings, ranks] : {std::pair{"resident.toml", 2}, {"streamed.toml", 3}}) {
    SCOPED_TRACE(settings);
    const std::vector<double> one = train(1, settings, std::string("one_") + settings);
    const std::vector<double> shared = train(ranks, settings, std::string("shared_") + settings);
    ASSERT_EQ(one.size(), 2U);
    for (size_t epoch = 0; epoch < one.size(); ++epoch) {
      EXPECT_LE(std::abs(shared.at(epoch) - one[epoch]), 1e-6 * std::abs(one[epoch])) << epoch;
    }
  }
  train(2, "resident.toml", "again");
  train::testing::expect_same_run(run("shared_resident.toml"), run("again"));
}

/// As srun starts the second of two tasks, or the first.
Words in_srun(const std::string& number) {
  return {"env", "SLURM_STEP_NUM_TASKS=2", "SLURM_PROCID=" + number};
}

TEST(MpiMissing, TasksOfSrunThatMpiCannotJoinAreToldHow) {
  const ProgramOutput refused =
      run_program(in_srun("0") + Words{EVENFLOW_PROGRAM, "train", "nowhere.h5", "--run", "nowhere"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("2 processes were started together by srun"));
  EXPECT_THAT(refused.err, HasSubstr("srun --mpi=pmix"));
  EXPECT_EQ(count_of(refused.err, "\n"), 1) << refused.err;
}

TEST(MpiMissing, OtherCommandsRunByThemselves) {
  EXPECT_EQ(run_program(in_srun("1") + Words{EVENFLOW_PROGRAM, "--version"}).code, 0);
}

}  // namespace
}  // namespace evenflow::experiments
