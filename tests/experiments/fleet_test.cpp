// A model for each machine of a data set, from folders as DCASE has them to the official score; what a model of another
// machine is refused; trainings compared.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "experiments/report/dcase_score.h"
#include "io/manifest.h"
#include "io/shard.h"
#include "tests/experiments/small_world.h"
#include "train/detect/score_table.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// Three machines as DCASE names their recordings, 100 mm/s being the source domain and all else the target; shards,
/// models and scores of them. Made once.
class FleetWorld {
 public:
  static const FleetWorld& get() {
    static const FleetWorld world;
    return world;
  }
  std::string data() const { return folder_ / "dev_data"; }
  std::string shards() const { return folder_ / "shards"; }
  std::string shard(const std::string& machine) const { return folder_ / fmt::format("shards/{}.h5", machine); }
  std::string runs() const { return folder_ / "runs"; }
  std::string model(const std::string& machine) const { return folder_ / fmt::format("runs/{}/model.h5", machine); }
  std::string scores() const { return folder_ / "scores.csv"; }
  const std::string& train_text() const { return train_text_; }

 private:
  FleetWorld() {
    int seed = 1;
    for (const std::string machine : {"fan", "pump", "valve"}) {
      done(SmallWorld::synth_words(folder_ / machine) + Words{"--seed", std::to_string(seed++)});
      copy_as_dcase(machine);
    }
    const std::string config = SmallWorld::get().config();
    done({"prepare", "--each", "machine", data(), "--out", shards(), "--config", config});
    train_text_ = done({"train", "--each", "machine", shards(), "--run", runs(), "--config", config, "--epochs", "1"});
    done({"score", "--each", "machine", "--model", runs(), shards(), "--out", scores()});
  }

  static std::string done(const Words& words) {
    const Outcome outcome = run(words);
    if (outcome.code != 0) {
      throw std::runtime_error(fmt::format("evenflow {}: {}", words.front(), outcome.err));
    }
    return outcome.out;
  }

  void copy_as_dcase(const std::string& machine) const {
    const io::Manifest manifest = io::read_manifest(folder_ / (machine + "/manifest.csv"));
    int number = 0;
    for (const io::Clip& clip : manifest.clips) {
      const std::string split = clip.split == io::Split::train ? "train" : "test";
      const double speed = clip.parameter.front();
      const fs::path to = folder_ / fmt::format("dev_data/{}/{}/section_00_{}_{}_{}_{:04}_vel_{:g}.wav", machine, split,
                                                speed == 100 ? "source" : "target", split,
                                                clip.label == 1 ? "anomaly" : "normal", number++, speed);
      fs::create_directories(to.parent_path());
      fs::copy_file(manifest.root / clip.path, to);
    }
  }

  Folder folder_;
  std::string train_text_;
};

std::vector<double> scores_of(const std::string& table, const std::string& machine) {
  std::vector<double> scores;
  for (const train::ClipScore& clip : train::read_scores(table).clips) {
    if (clip.clip.machine == machine) {
      scores.push_back(clip.score);
    }
  }
  return scores;
}

TEST(Fleet, EachClipIsScoredByItsOwnMachinesModel) {
  const FleetWorld& fleet = FleetWorld::get();
  const Folder folder;
  EXPECT_THAT(fleet.train_text(), HasSubstr("evenflow score --each machine --model"));
  for (const std::string machine : {"fan", "pump", "valve"}) {
    const std::string alone = folder / (machine + ".csv");
    expect_done(run({"score", "--model", fleet.model(machine), fleet.shard(machine), "--out", alone}));
    EXPECT_EQ(scores_of(fleet.scores(), machine), scores_of(alone, machine)) << machine;
    EXPECT_EQ(scores_of(alone, machine).size(), 8U);
  }
  EXPECT_NE(scores_of(fleet.scores(), "fan"), scores_of(fleet.scores(), "pump"));
}

TEST(Fleet, RecordingsAndOneShardOfAllGiveTheSame) {
  const FleetWorld& fleet = FleetWorld::get();
  const Folder folder;
  const std::string config = SmallWorld::get().config();
  expect_done(run({"score", "--each", "machine", "--model", fleet.runs(), fleet.data(), "--out", folder / "s.csv"}));
  expect_done(run({"prepare", fleet.data(), "--out", folder / "all.h5", "--config", config}));
  expect_done(run({"train", "--each", "machine", folder / "all.h5", "--run", folder / "runs", "--config", config,
                   "--epochs", "1"}));
  expect_done(
      run({"score", "--each", "machine", "--model", folder / "runs", folder / "all.h5", "--out", folder / "a.csv"}));
  for (const std::string machine : {"fan", "pump", "valve"}) {
    EXPECT_EQ(scores_of(folder / "s.csv", machine), scores_of(fleet.scores(), machine)) << machine;
    EXPECT_EQ(scores_of(folder / "a.csv", machine), scores_of(fleet.scores(), machine)) << machine;
  }
}

TEST(Fleet, TheOfficialScoreIsPrintedAndWritten) {
  const FleetWorld& fleet = FleetWorld::get();
  const Folder folder;
  const Outcome outcome =
      run({"evaluate", "--each", "machine", fleet.scores(), "--out", folder / "out", "--dcase", folder / "dcase"});
  expect_done(outcome);
  const std::vector<train::ClipScore> clips = train::read_scores(fleet.scores()).clips;
  const double official = dcase_table(clips, DcaseRule::of_2022).official_score();
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("harmonic mean"), HasSubstr("all machines"), HasSubstr("official score"),
                                 HasSubstr(fmt::format("2022 and later  {:.2f}", 100 * official))));
  EXPECT_THAT(get(folder / "dcase/2022/result.csv"), HasSubstr(fmt::format("\nofficial score,,{},,,,\n", official)));
  EXPECT_THAT(get(folder / "dcase/2021/result.csv"), HasSubstr("\nofficial score,,,"));
  EXPECT_THAT(get(folder / "out/fleet.csv"), HasSubstr("\npump,4,4,"));
  expect_done(run({"evaluate", "--each", "machine", fleet.scores(), "--out", folder / "out"}));  // once more
  const Outcome together = run({"evaluate", fleet.scores(), "--dcase", folder / "dcase"});
  expect_done(together);
  EXPECT_THAT(together.out, AllOf(HasSubstr("machine pump"), HasSubstr("official score")));
  expect_refused(run({"evaluate", "--each", "machine", fleet.scores(), "--model", fleet.model("fan")}), 2,
                 {"--each machine", "--model"});
}

TEST(Fleet, MachinesWithoutModelsAndModelsWithoutClips) {
  const FleetWorld& fleet = FleetWorld::get();
  const Folder folder;
  fs::create_directories(folder / "runs");
  fs::copy(fleet.runs() + "/fan", folder / "runs/fan", fs::copy_options::recursive);
  const Words score = {"score", "--each", "machine", "--model", folder / "runs", "--out", folder / "s.csv"};
  expect_refused(run(score + Words{fleet.shards()}), 3, {"8 clips are of machine pump", "no model", "--skip-bad"});
  EXPECT_FALSE(fs::exists(folder / "s.csv"));
  const Outcome skipped = run(score + Words{fleet.shards(), "--skip-bad"});
  expect_done(skipped);
  EXPECT_THAT(skipped.out,
              AllOf(HasSubstr("left out: 8 clips are of machine pump"), HasSubstr("8 clips of 1 machine")));
  const Outcome without =
      run({"score", "--each", "machine", "--model", fleet.runs(), fleet.shard("fan"), "--out", folder / "s.csv"});
  expect_done(without);
  EXPECT_THAT(without.out, HasSubstr("no clip is of machine valve, which has a model"));
  expect_refused(run(score + Words{fleet.shard("pump"), "--skip-bad"}), 3, {"no test clip is of a machine that has"});
  fs::create_directories(folder / "none");
  expect_refused(
      run({"score", "--each", "machine", "--model", folder / "none", fleet.shards(), "--out", folder / "t.csv"}), 3,
      {"none", "train --each machine"});
  expect_refused(
      run({"score", "--each", "machine", "--model", fleet.model("fan"), fleet.shards(), "--out", folder / "t.csv"}), 3,
      {"model.h5", "not a folder of runs"});
  // A model under another machine's name.
  fs::rename(folder / "runs/fan", folder / "runs/pump");
  expect_refused(run(score + Words{fleet.shard("pump")}), 2, {"machine pump", "trained on fan", "--other-machines"});
}

TEST(Fleet, RunsGoOnAndAreNotOverwritten) {
  const FleetWorld& fleet = FleetWorld::get();
  const Folder folder;
  fs::copy(fleet.runs(), folder / "runs", fs::copy_options::recursive);
  const Words train = {"train", "--each", "machine", fleet.shards(), "--run", folder / "runs"};
  expect_refused(run(train), 2, {"runs/fan", "--resume"});
  fs::remove_all(folder / "runs/valve");
  const Outcome resumed = run(train + Words{"--resume", "--config", SmallWorld::get().config(), "--epochs", "1",
                                            "--results", folder / "results.csv"});
  expect_done(resumed);
  EXPECT_EQ(io::read_csv(folder / "results.csv").size(), 4U);
  EXPECT_TRUE(fs::exists(folder / "runs/valve/model.h5"));
  expect_refused(run(train + Words{"--pack", "2"}), 2, {"--pack", "--each machine"});
  expect_refused(run(train + Words{"--machine", "fan"}), 2, {"train.machine", "--each machine"});
  expect_refused(run({"train", "--each", "machine", fleet.shards(), "--run", folder / "runs/fan"}), 2,
                 {"is a run itself"});
  expect_refused(run({"train", "--each", "machine", fleet.data(), "--run", folder / "r"}), 3,
                 {"dev_data", "no feature shard", "prepare --each machine"});
  expect_refused(run({"train", "--each", "section", fleet.shards(), "--run", folder / "r"}), 2, {"section", "machine"});
}

TEST(Fleet, NamesThatAreNoFileNamesAreRefused) {
  const Folder folder;
  const std::string rails = SmallWorld::get().rails();
  const auto refused = [&](const std::string& a, const std::string& b, const Words& names) {
    std::string manifest = "path,split,label,machine\n";
    int number = 0;
    for (const io::Clip& clip : io::read_manifest(SmallWorld::get().manifest()).clips) {
      manifest += fmt::format("{}/{},train,normal,{}\n", rails, clip.path.string(), number++ % 2 == 0 ? a : b);
    }
    put(folder / "m.csv", manifest);
    expect_refused(run({"prepare", "--each", "machine", folder / "m.csv", "--out", folder / "shards"}), 2, names);
    EXPECT_FALSE(fs::exists(folder / "shards"));
  };
  refused("fan", "a/b", {"a/b", "holds a slash"});
  refused("fan", "a\\b", {"a\\b", "holds a backslash"});
  refused("fan", "..", {"'..'", "dot"});
  refused("fan", "Fan", {"'Fan'", "'fan'", "capitals"});
  refused("fan", "", {"8 clips", "do not say the machine"});
}

TEST(Fleet, AScoreThatAModelLacksIsSaidOfItsMachine) {
  const FleetWorld& fleet = FleetWorld::get();
  const Folder folder;
  expect_refused(run({"score", "--each", "machine", "--model", fleet.runs(), fleet.shards(), "--out", folder / "s.csv",
                      "--score", "score_none"}),
                 2, {"machine fan", "score_none", "nll"});
}

TEST(OtherMachines, AreRefusedUnlessAskedFor) {
  const FleetWorld& fleet = FleetWorld::get();
  const Folder folder;
  const std::string model = fleet.model("fan"), pump = fleet.shard("pump");
  std::string recording;
  for (const auto& entry : fs::directory_iterator(fleet.data() + "/pump/test")) {
    recording = entry.path().string();
  }
  const Words words = {"machine pump", "trained on fan", "--other-machines"};
  const std::vector<Words> commands = {
      {"score", "--model", model, pump, "--out", folder / "s.csv"},
      {"score", "--model", model, recording, "--out", folder / "r.csv"},
      {"encode", "--model", model, pump, "--out", folder / "z.h5"},
      {"sample", "--model", model, "--from", recording, "--at", "vel=200", "--out", folder / "w.h5"},
      {"compare", fleet.runs() + "/fan", fleet.runs() + "/pump", "--on", pump, "--out", folder / "c.csv"}};
  for (const Words& command : commands) {
    expect_refused(run(command), 2, words);
  }
  EXPECT_TRUE(folder.files().empty());
  for (const Words& command : commands) {
    const Outcome outcome = run(command + Words{"--other-machines"});
    expect_done(outcome);
    EXPECT_THAT(outcome.out, HasSubstr("of machine pump, but the model was trained on fan")) << command.front();
  }
}

TEST(Compare, ShowsRunsSideBySide) {
  const Folder folder;
  const SmallWorld& world = SmallWorld::get();
  expect_done(run(world.train_words(folder / "other", "1") + Words{"--model.hidden", "6"}));
  const Words command = {"compare", world.run(), folder / "other", "--on", world.shard()};
  const Outcome outcome = run(command + Words{"--out", folder / "c.csv", "--page", folder / "c.html"});
  expect_done(outcome);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("model.hidden"), HasSubstr("train.epochs"), HasSubstr("AUC less that of A"),
                                 HasSubstr("held-out loss"), Not(HasSubstr("train.batch")), Not(HasSubstr("warning"))));
  EXPECT_THAT(get(folder / "c.csv"), AllOf(HasSubstr("setting,model.hidden,"), HasSubstr("\ndifference,auc,")));
  EXPECT_THAT(get(folder / "c.html"), HasSubstr("How well they detect"));
  EXPECT_THAT(run({"info", folder / "c.csv"}).out,
              AllOf(HasSubstr("c.csv: comparison\n"), HasSubstr("other"), HasSubstr("model.hidden, train.epochs")));
  put(folder / "short.csv", "part,name,run,value,low,high\nsetting\n");
  expect_refused(run({"info", folder / "short.csv"}), 3, {"short.csv", "1 of 6 cells in row 2"});
  expect_done(run(command + Words{"--out", folder / "c.csv", "--page", folder / "c.html"}));  // over their own
  const Outcome piped = run(command + Words{"--out", "-"});
  expect_done(Outcome{piped.code, piped.out, ""});
  EXPECT_EQ(piped.out, get(folder / "c.csv"));
  const Outcome json = run(command + Words{"--json"});
  EXPECT_EQ(json.code, 0);
  EXPECT_THAT(json.out, AllOf(StartsWith("{\n"), HasSubstr("\"auc_p\": "), HasSubstr("\"kind\": \"unseen\"")));
  EXPECT_THAT(outcome.out, HasSubstr("at operating points unseen in training"));

  expect_done(run({"score", "--model", folder / "other/model.h5", world.shard(), "--out", folder / "other.csv"}));
  const Outcome tables = run({"compare", world.scores(), folder / "other.csv", "--score", "nll"});
  expect_done(tables);
  EXPECT_THAT(tables.out, AllOf(HasSubstr("by score"), HasSubstr("nll"), Not(HasSubstr("Settings"))));
  EXPECT_THAT(run({"compare", world.run(), folder / "other"}).out, HasSubstr("--on SHARD"));
}

TEST(Compare, RefusesWhatCannotBeCompared) {
  const Folder folder;
  const SmallWorld& world = SmallWorld::get();
  expect_refused(run({"compare", world.run()}), 2, {"two or more"});
  expect_refused(run({"compare", world.run(), world.run() + "/"}), 2, {"given twice"});
  expect_refused(run({"compare", world.run(), folder / "none"}), 3, {"none"});
  expect_refused(run({"compare", world.run(), world.scores(), "--score", "score_of_mine"}), 3,
                 {"score_of_mine", "nll"});
  put(folder / "mine.csv", "mine\n");
  expect_refused(run({"compare", world.run(), world.scores(), "--out", folder / "mine.csv"}), 2,
                 {"mine.csv", "--force"});
  expect_refused(run({"compare", world.run(), world.scores(), "--out", world.scores()}), 2, {"which is read"});
}

}  // namespace
}  // namespace evenflow::experiments::test
