// What the program writes, and never overwrites: its inputs, and what is not its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "tests/experiments/small_world.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Copies of the small world's files, to be endangered.
class Outputs : public ::testing::Test {
 protected:
  Outputs() {
    const SmallWorld& world = SmallWorld::get();
    fs::copy(world.rails(), folder_.path() / "rails", fs::copy_options::recursive);
    for (const auto& [from, name] :
         {std::pair{world.shard(), "f.h5"}, {world.model(), "m.h5"}, {world.scores(), "s.csv"}}) {
      fs::copy_file(from, at(name));
    }
    recording_ = (fs::directory_iterator(folder_.path() / "rails/train"))->path().string();
  }
  std::string at(const std::string& name) const { return folder_ / name; }
  const std::string& recording() const { return recording_; }
  Words config() const { return {"--config", SmallWorld::get().config()}; }

  Folder folder_;
  std::string recording_;
};

TEST_F(Outputs, NoCommandWritesOverWhatItReads) {
  const std::string manifest = at("rails/manifest.csv"), model = at("m.h5"), shard = at("f.h5"), scores = at("s.csv");
  put(at("config.toml"), get(SmallWorld::get().config()));
  const std::vector<std::pair<Words, std::string>> commands = {
      {{"prepare", manifest, "--out"}, manifest},
      {{"prepare", manifest, "--out"}, recording()},
      {{"prepare", recording(), "--out"}, recording()},
      {{"prepare", at("rails"), "--out"}, recording()},
      {{"prepare", manifest, "--config", at("config.toml"), "--out"}, at("config.toml")},
      {{"score", "--model", model, shard, "--out"}, model},
      {{"score", "--model", model, shard, "--out"}, shard},
      {{"score", "--model", model, recording(), "--out"}, recording()},
      {{"score", "--model", model, manifest, "--out"}, recording()},
      {{"encode", shard, "--model", model, "--out"}, shard},
      {{"encode", shard, "--model", model, "--out"}, model},
      {{"sample", "--model", model, "--out"}, model},
      {{"sample", "--model", model, "--picture"}, model},
      {{"sample", "--model", model, "--at", "velocity_mm_s=200", "--from", recording(), "--picture"}, recording()},
  };
  fs::create_directory(folder_.path() / "links");
  for (size_t i = 0; i < commands.size(); ++i) {
    const auto& [words, input] = commands[i];
    const std::string before = get(input), number = std::to_string(i);
    fs::create_symlink(input, at("links/soft" + number));
    fs::create_hard_link(input, at("links/hard" + number));
    const Words spellings = {input, fs::path(input).parent_path() / "." / fs::path(input).filename(),
                             fs::relative(input).string(), at("links/soft" + number), at("links/hard" + number)};
    for (const std::string& spelling : spellings) {
      for (const bool force : {false, true}) {
        Words whole = words;
        whole.push_back(spelling);
        if (force) {
          whole.emplace_back("--force");
        }
        expect_refused(run(whole), 2, {"'" + spelling + "'", "'" + input + "'", "name another"});
      }
    }
    EXPECT_EQ(get(input), before);
    fs::remove(at("links/soft" + number));
    fs::remove(at("links/hard" + number));
  }
}

TEST_F(Outputs, TwoOutputsAreTwoFiles) {
  expect_refused(run({"sample", "--model", at("m.h5"), "--out", at("x"), "--picture", at("./x")}), 2, {"two outputs"});
  EXPECT_FALSE(fs::exists(at("x")));
}

TEST_F(Outputs, ARunIsNotMadeOverItsConfigurationOrShard) {
  fs::copy(SmallWorld::get().run(), at("run"), fs::copy_options::recursive);
  const std::string before = get(at("run/config.toml"));
  expect_refused(run({"train", at("f.h5"), "--run", at("run"), "--replace", "--config", at("run/config.toml")}), 2,
                 {"config.toml"});
  EXPECT_EQ(get(at("run/config.toml")), before);
}

TEST_F(Outputs, AFileThatIsNotItsOwnIsReplacedOnlyByForce) {
  const Words score = {"score", "--model", at("m.h5"), at("f.h5"), "--out"};
  const Words encode = {"encode", "--model", at("m.h5"), at("f.h5"), "--out"};
  const Words prepare = {"prepare", at("rails/manifest.csv"), "--config", SmallWorld::get().config(), "--out"};
  const Words sample = {"sample", "--model", at("m.h5"), "-n", "2", "--out"};
  const Words picture = {"sample", "--model", at("m.h5"), "-n", "2", "--picture"};
  fs::copy_file(at("m.h5"), at("foreign"));
  put(at("text"), "years of work\n");
  for (const Words& words : {score, encode, prepare, sample, picture}) {
    for (const std::string name : {"foreign", "text"}) {
      Words whole = words;
      whole.push_back(at(name));
      const std::string before = get(at(name));
      expect_refused(run(whole), 2, {at(name), "--force"});
      EXPECT_EQ(get(at(name)), before);
    }
    // Its own, an empty file and a forced one are replaced.
    for (int i = 0; i < 2; ++i) {
      Words whole = words;
      whole.push_back(at("own"));
      if (i == 0) {
        put(at("own"), "");
      }
      expect_done(run(whole));
      EXPECT_NE(get(at("own")), "");
    }
    Words forced = words;
    forced.push_back(at("own2"));
    forced.emplace_back("--force");
    put(at("own2"), "years of work\n");
    expect_done(run(forced));
    EXPECT_NE(get(at("own2")), "years of work\n");
  }
}

TEST_F(Outputs, AnEndingThatSaysAnotherFormatIsRefused) {
  const Words sample = {"sample", "--model", at("m.h5")};
  const auto with = [](Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  expect_refused(run(with(sample, {"--out", at("q.wav")})), 2, {"q.wav", "HDF5", "sound", ".h5"});
  expect_refused(run(with(sample, {"--picture", at("x.h5")})), 2, {"x.h5", "PNG", "HDF5", ".png"});
  expect_refused(run({"score", "--model", at("m.h5"), at("f.h5"), "--out", at("x.h5")}), 2, {"x.h5", "CSV"});
  expect_refused(run({"prepare", at("rails/manifest.csv"), "--out", at("x.csv")}), 2, {"x.csv", "HDF5"});
  expect_refused(run({"encode", "--model", at("m.h5"), at("f.h5"), "--out", at("x.CSV")}), 2, {"x.CSV", "HDF5"});
}

TEST_F(Outputs, ScoresGoToStandardOutputAndMessagesBesideThem) {
  const Words words = {"score", "--model", at("m.h5"), at("f.h5"), "--out"};
  Words to_file = words, to_output = words, to_device = words;
  to_file.push_back(at("t.csv"));
  to_output.emplace_back("-");
  to_device.emplace_back("/dev/stdout");
  expect_done(run(to_file));
  for (const Words& whole : {to_output, to_device}) {
    const Outcome outcome = run(whole);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, get(at("t.csv")));
    EXPECT_THAT(outcome.err, HasSubstr("Scored "));
  }
  EXPECT_FALSE(fs::exists("-"));
  Words nowhere = words;
  nowhere.emplace_back("/dev/null");
  expect_done(run(nowhere));
  for (const Words& binary : {Words{"prepare", at("rails/manifest.csv"), "--out", "-"},
                              Words{"encode", "--model", at("m.h5"), at("f.h5"), "--out", "-"},
                              Words{"sample", "--model", at("m.h5"), "--out", "-"},
                              Words{"sample", "--model", at("m.h5"), "--picture", "-"}}) {
    expect_refused(run(binary), 2, {"standard output", "name a file"});
  }
  expect_refused(run({"explain", at("m.h5"), at("f.h5"), "--page", "-"}), 2,
                 {"standard output, and a report of evenflow's goes to a file; name a file"});
}

TEST_F(Outputs, ALinkIsWrittenThroughOrRefused) {
  const Words words = {"score", "--model", at("m.h5"), at("f.h5"), "--out", at("out.csv")};
  fs::create_symlink("nowhere/x.csv", at("out.csv"));
  expect_refused(run(words), 3, {"nowhere", "create it first"});
  EXPECT_TRUE(fs::is_symlink(at("out.csv")));
  fs::create_directory(folder_.path() / "nowhere");
  expect_done(run(words));
  EXPECT_TRUE(fs::is_symlink(at("out.csv")));
  EXPECT_THAT(get(at("nowhere/x.csv")), HasSubstr("path,machine,label"));
}

// ---------------------------------------------------------------------------------------------------------- folders

TEST_F(Outputs, AFolderOfSomebodyElsesIsLeftAsItIs) {
  const SmallWorld& world = SmallWorld::get();
  put(at("mine/manifest.csv"), "path,split,label,machine\n");
  put(at("mine/report.html"), "mine");
  put(at("mine/rail/manifest.csv"), "mine");
  const auto before = folder_.files();
  Words synth = SmallWorld::synth_words(at("mine"));
  for (const Words& words : {synth, Words{"experiment", "paper", "--miniature", "--out", at("mine")},
                             Words{"report", world.run(), world.shard(), "--out", at("mine")},
                             Words{"experiment", "study", world.manifest(), "--out", at("mine"), "--seeds", "1",
                                   "--config", world.config()}}) {
    const Outcome outcome = run(words);
    if (outcome.err.find("gnuplot") == std::string::npos) {
      expect_refused(outcome, 2, {at("mine"), "choose another"});
    }
    EXPECT_EQ(folder_.files(), before) << words[0] << words[1];
    EXPECT_EQ(get(at("mine/report.html")), "mine");
  }
  put(at("notes/notes.txt"), "mine");
  const Outcome beside_notes = run({"experiment", "paper", "--miniature", "--out", at("notes")});
  if (beside_notes.err.find("gnuplot") == std::string::npos) {
    expect_refused(beside_notes, 2, {at("notes"), "notes.txt", "choose another"});
  }
  put(at("tables/evaluation.csv"), "mine");
  expect_refused(run({"evaluate", at("s.csv"), "--out", at("tables")}), 2, {"evaluation.csv", "--force"});
  put(at("tables2/estimate_velocity_mm_s.png"), "mine");
  expect_refused(run({"evaluate", at("s.csv"), "--out", at("tables2")}), 2, {"estimate_velocity_mm_s.png"});
  EXPECT_EQ(fs::exists(at("tables2/evaluation.csv")), false);
  put(at("dc/2022/notes.txt"), "mine");
  // A picture without a mark passes where evenflow 0.1's table is beside it.
  put(at("older/evaluation.csv"), "group,kind,normal,anomalous,measure,of,value\n");
  put(at("older/estimate_velocity_mm_s.png"), "\x89PNG\r\n\x1a\nolder");
  expect_done(run({"evaluate", at("s.csv"), "--out", at("older")}));
  expect_refused(run({"evaluate", at("s.csv"), "--dcase", at("dc")}), 2, {"dc/2022", "notes.txt"});
  put(at("beside/notes.txt"), "mine");
  const Words beside = {"evaluate", at("s.csv"), "--out", at("beside")};
  expect_refused(run(beside), 2, {at("beside"), "notes.txt", "--force"});
  EXPECT_FALSE(fs::exists(at("beside/evaluation.csv")));
  // The challenge's files alone are evenflow's own, until something else lies among them.
  for (const char* folder : {"years", "more"}) {
    expect_done(run({"evaluate", at("s.csv"), "--dcase", at(folder)}));
  }
  expect_done(run({"evaluate", at("s.csv"), "--out", at("years"), "--dcase", at("years")}));
  put(at("more/mine/notes.txt"), "mine");
  expect_refused(run({"evaluate", at("s.csv"), "--out", at("more")}), 2, {at("more"), "--force"});
  expect_done(run(beside + Words{"--force"}));
  expect_done(run(beside));  // now it is its own
  put(at("p/profile.json"), "{}");
  expect_refused(run({"profile", "--out", at("p")}), 2, {"profile.json", "--force"});
}

TEST_F(Outputs, AFolderBehindALinkIsMade) {
  fs::create_symlink("behind", at("link"));
  expect_done(run(SmallWorld::synth_words(at("link"))));
  EXPECT_TRUE(fs::exists(at("behind/manifest.csv")));
}

TEST_F(Outputs, AnEvaluationThatFailsLeavesNoFolder) {
  const std::string scores = get(at("s.csv"));
  put(at("one.csv"), scores.substr(0, scores.find('\n', scores.find('\n') + 1) + 1));
  EXPECT_EQ(run({"evaluate", at("one.csv"), "--out", at("none"), "--dcase", at("no_dcase")}).code, 3);
  EXPECT_FALSE(fs::exists(at("none")));
  EXPECT_FALSE(fs::exists(at("no_dcase")));
  expect_refused(run({"evaluate", at("s.csv"), "--dcase", "-"}), 2, {"--dcase", "standard output"});
}

TEST_F(Outputs, APipeIsNoInput) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  expect_refused(run({"evaluate", at("pipe")}), 3, {"pipe"});
  expect_refused(run({"prepare", at("pipe"), "--out", at("f.h5")}), 3, {"pipe"});
}

TEST_F(Outputs, ARefusedStudyLeavesNoMarkAndARefusedTrainingEveryFile) {
  const SmallWorld& world = SmallWorld::get();
  const Words study = {"experiment", "study", world.manifest(), "--out",       at("o"),
                       "--seeds",    "1",     "--config",       world.config()};
  put(at("o/auc.csv"), "mine");
  fs::copy_file(world.shard(), at("o/features.h5"));
  put(at("o/manifest.csv"), "path,split,label,machine\n");
  for (const bool older : {false, true}) {
    if (older) {
      fs::create_directories(at("o/cells/single_scale_conventional/seed_1"));
    }
    const auto before = folder_.files();
    for (int start = 0; start < 2; ++start) {
      expect_refused(run(study), 2, {at("o"), "choose another"});
      EXPECT_EQ(folder_.files(), before);
    }
  }
  put(at("run/config.toml"), "a=1\n");
  put(at("run/log.txt"), "precious");
  Words train = world.train_words(at("run"), "1"), replacing = train;
  replacing.emplace_back("--replace");
  for (const Words& words : {train, replacing}) {
    expect_refused(run(words), 3, {at("run"), "holds no run"});
    EXPECT_EQ(get(at("run/log.txt")), "precious");
  }
}

TEST_F(Outputs, ARecordingInAnOwnFolderIsReplacedOnlyByForce) {
  const SmallWorld& world = SmallWorld::get();
  const std::string sound = get(recording());
  const Words tables = {"evaluate", at("s.csv"), "--out", at("ev"), "--dcase", at("dc")};
  expect_done(run(tables));
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("estimate_") && !name.starts_with("anomaly_score_")) {
      continue;
    }
    const std::string own = get(entry.path());
    put(entry.path(), sound);
    expect_refused(run(tables), 2, {name, "--force"});
    EXPECT_EQ(get(entry.path()), sound);
    put(entry.path(), own);
  }
  expect_done(run(tables));
  put(at("rail/train/normal_100mm_s_a.wav"), sound);
  for (const std::string text : {"mine\n", "path,split,label,machine,velocity_mm_s\nmine.wav,train,normal,rail,1\n"}) {
    put(at("rail/manifest.csv"), text);
    expect_refused(run(SmallWorld::synth_words(at("rail"))), 2, {at("rail"), "--force"});
    EXPECT_EQ(get(at("rail/manifest.csv")), text);
  }
  const Words report = {"report", world.run(), at("f.h5"), "--out", at("report")};
  ASSERT_EQ(run(report).code, 0);
  put(at("report/scores.csv"), sound);
  expect_refused(run(report), 2, {"scores.csv", "--force"});
  fs::remove(at("report/scores.csv"));
  const std::string shard = get(at("f.h5"));
  fs::remove(at("report/figures/learning.gp"));
  fs::create_symlink("../../f.h5", at("report/figures/learning.gp"));
  expect_refused(run(report), 2, {"learning.gp", "link"});
  EXPECT_EQ(get(at("f.h5")), shard);
}

TEST_F(Outputs, ForeignTablesAndPagesInAnOwnFolderAreReplacedOnlyByForce) {
  const SmallWorld& world = SmallWorld::get();
  const Words report = {"report", world.run(), at("f.h5"), "--out", at("report")};
  const Words study = Words{"experiment", "study", at("rails/manifest.csv"), "--out", at("study"), "--seeds", "1"} +
                      Words{"--epochs", "1"} + config();
  const Words paper = {"experiment", "paper", "--miniature", "--out", at("paper")};
  for (const auto& [folder, kind] :
       {std::pair("report", "report"), {"study", "study"}, {"paper", "study of the paper"}}) {
    fs::create_directory(at(folder));
    put(at(folder + std::string("/.evenflow")), std::string("evenflow ") + kind + "\n");
  }
  for (const auto& [words, file] : {std::pair(report, "report/report.html"),
                                    {report, "report/scores.csv"},
                                    {study, "study/auc.csv"},
                                    {study, "study/differences.csv"},
                                    {study, "study/estimates.csv"},
                                    {study, "study/features.h5"},
                                    {paper, "paper/report.html"},
                                    {paper, "paper/auc.csv"}}) {
    put(at(file), "<!doctype html>mine");
    expect_refused(run(words), 2, {fs::path(file).filename().string(), "--force"});
    EXPECT_EQ(get(at(file)), "<!doctype html>mine");
    fs::remove(at(file));
  }
  ASSERT_EQ(run(report).code, 0);
  ASSERT_EQ(run(report).code, 0);
}

TEST_F(Outputs, AStudyTakesNoFeaturesOfOtherRecordings) {
  fs::create_directory(at("study"));
  put(at("study/.evenflow"), "evenflow study\n");
  std::string manifest = get(at("rails/manifest.csv"));
  manifest.replace(manifest.find("100\n"), 3, "110");
  put(at("rails/other.csv"), manifest);
  expect_done(run(Words{"prepare", at("rails/other.csv"), "--out", at("study/features.h5")} + config()));
  const std::string features = get(at("study/features.h5"));
  for (const Words& force : {Words{}, Words{"--force"}}) {
    expect_refused(run(Words{"experiment", "study", at("rails/manifest.csv"), "--out", at("study"), "--seeds", "1",
                             "--epochs", "1"} +
                       config() + force),
                   2, {"features.h5", "other recordings"});
    EXPECT_EQ(get(at("study/features.h5")), features);
  }
}

TEST_F(Outputs, ARefusalLeavesNoFolder) {
  fs::create_directories(at("dc/2022"));
  put(at("dc/2022/mine.txt"), "mine");
  expect_refused(run({"evaluate", at("s.csv"), "--out", at("new"), "--dcase", at("dc")}), 2, {"dc/2022"});
  EXPECT_FALSE(fs::exists(at("new")));
  EXPECT_FALSE(fs::exists(at("dc/2021")));
}

TEST_F(Outputs, ARunListsNoShardWithALineEndInItsName) {
  fs::create_directory(at("a\nb"));
  fs::copy_file(at("f.h5"), at("a\nb/f.h5"));
  Words words = SmallWorld::get().train_words(at("run"), "1");
  words[1] = at("a\nb/f.h5");
  expect_refused(run(words), 2, {"f.h5", "line end"});
  EXPECT_FALSE(fs::exists(at("run")));
}

TEST_F(Outputs, BadRecordingsOfAManifestAreToldWithTheirLines) {
  put(recording(), "no sound");
  std::istringstream lines(get(at("rails/manifest.csv")));
  const std::string name = fs::path(recording()).filename().string();
  int at_line = 1;
  for (std::string line; std::getline(lines, line) && line.find(name) == std::string::npos;) {
    ++at_line;
  }
  const Words words = Words{"prepare", at("rails/manifest.csv"), "--out", at("p.h5")} + config();
  const std::string told = "line " + std::to_string(at_line);
  expect_refused(run(words), 3, {told + ": '", name});
  fs::remove(recording());
  expect_refused(run(words), 3, {name + "' (" + told + ")"});
}

TEST_F(Outputs, ItsOwnFolderIsUsedAgainBesideNotes) {
  for (const Words& words :
       {SmallWorld::synth_words(at("own")), Words{"evaluate", at("s.csv"), "--dcase", at("dc")},
        Words{"evaluate", at("s.csv"), "--out", at("e")},
        Words{"profile", "--repeat", "3", "--threads", "1", "--batch", "2", "--model.blocks", "1", "--model.steps", "1",
              "--model.hidden", "2", "--window.window_frames", "8", "--out", at("p")}}) {
    expect_done(run(words));
    if (fs::exists(at("own"))) {
      put(at("own/notes.txt"), "mine");
    }
    if (fs::exists(at("dc"))) {
      put(at("dc/2022/notes.txt"), "mine");
    }
    expect_done(run(words));
    EXPECT_EQ(get(at("own/notes.txt")), "mine");
  }
  EXPECT_FALSE(fs::exists(at("own/.evenflow-lock")));
}

TEST(ChoiceFolder, ReplacesNoForeignSettings) {
  const Folder folder;
  std::filesystem::create_directory(folder / "choice");
  put(folder / "choice/choice.toml", "[train]\nepochs = 3\n");
  expect_refused(run({"choose", SmallWorld::get().shard(), "--out", folder / "choice"}), 2, {"choice.toml", "--force"});
  EXPECT_EQ(get(folder / "choice/choice.toml"), "[train]\nepochs = 3\n");
}

}  // namespace
}  // namespace evenflow::experiments::test
