// The program from the outside: its help, its errors and exit codes, what it leaves behind when something goes wrong,
// and the whole way from generated recordings to figures of merit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <iterator>
#include <limits>
#include <regex>
#include <sstream>
#include <utility>

#include "frontend/audio.h"
#include "io/hdf5_file.h"
#include "io/manifest.h"
#include "io/model_file.h"
#include "io/shard.h"
#include "tests/experiments/program.h"
#include "train/detect/score.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

template <class T>
std::vector<T> operator+(std::vector<T> words, const std::vector<T>& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// The smallest flow there is.
const Words tiny = {"--model.blocks",
                    "1",
                    "--model.steps",
                    "1",
                    "--model.hidden",
                    "2",
                    "--window.window_frames",
                    "32",
                    "--window.window_hop_frames",
                    "16",
                    "--batch",
                    "4",
                    "--threads",
                    "2"};
const Words short_windows = {"--window.window_frames", "32"};

Words synth_words(const std::string& folder) {
  return {"synth",
          folder,
          "--train-velocities",
          "100,300",
          "--test-velocities",
          "100,200",
          "--train-distances",
          "250",
          "--test-distances",
          "250",
          "--train-clips",
          "5",
          "--normal-clips",
          "2",
          "--anomaly-clips",
          "2",
          "--duration",
          "1.6"};
}

/// Generated recordings, their shard and a model, made once when a test first asks.
class World {
 public:
  static World& get() {
    static World world;
    return world;
  }
  std::string recordings() {
    if (!made(recordings_)) {
      expect_done(run(synth_words(folder_ / "rails")));
    }
    return folder_ / "rails/manifest.csv";
  }
  std::string shard() {
    const std::string manifest = recordings();
    if (!made(shard_)) {
      expect_done(run(Words{"prepare", manifest, "--out", folder_ / "f.h5"} + short_windows));
    }
    return folder_ / "f.h5";
  }
  std::string run_folder() {
    const std::string features = shard();
    if (!made(run_)) {
      expect_done(run(Words{"train", features, "--run", folder_ / "run", "--epochs", "2"} + tiny));
    }
    return folder_ / "run";
  }
  std::string model() { return run_folder() + "/model.h5"; }
  std::string scores() {
    const std::string trained = model();
    if (!made(scores_)) {
      expect_done(run({"score", "--model", trained, shard(), "--out", folder_ / "scores.csv"}));
    }
    return folder_ / "scores.csv";
  }
  std::string wav(const std::string& name = "a.wav") {
    std::string file = folder_ / name;
    std::vector<float> samples(24000);
    for (size_t i = 0; i < samples.size(); ++i) {
      samples[i] = 0.1F * std::sin(0.05F * static_cast<float>(i));
    }
    frontend::write_wav(file, samples, 16000);
    return file;
  }

 private:
  static bool made(bool& flag) { return std::exchange(flag, true); }
  Folder folder_;
  bool recordings_ = false, shard_ = false, run_ = false, scores_ = false;
};

// ------------------------------------------------------------------------------------------------------------- help

const std::vector<Words> commands = {{"prepare"},
                                     {"train"},
                                     {"score"},
                                     {"calibrate"},
                                     {"evaluate"},
                                     {"explain"},
                                     {"encode"},
                                     {"sample"},
                                     {"info"},
                                     {"synth"},
                                     {"profile"},
                                     {"report"},
                                     {"experiment", "study"},
                                     {"experiment", "paper"}};

TEST(Help, EveryCommandShowsOptionsAndAnExampleOfItsOwn) {
  for (const Words& words : commands) {
    std::string command = "evenflow";
    for (const std::string& word : words) {
      command += " " + word;
    }
    const Outcome outcome = run(words + Words{"--help"});
    expect_done(outcome);
    EXPECT_THAT(outcome.out, HasSubstr("Options:"));
    const size_t example = outcome.out.find("Example:\n");
    ASSERT_NE(example, std::string::npos) << command;
    EXPECT_EQ(outcome.out.find("  " + command + " ", example), example + 9) << outcome.out;
  }
}

TEST(Help, TheProgramListsItsCommandsAndTheFirstSteps) {
  const Outcome outcome = run({"--help"});
  expect_done(outcome);
  for (const Words& words : commands) {
    EXPECT_THAT(outcome.out, HasSubstr("\n  " + words.front() + " "));
  }
  EXPECT_THAT(outcome.out, HasSubstr("Example"));
  EXPECT_THAT(run({"--version"}).out, HasSubstr("evenflow 0."));
}

TEST(Help, FitsAPageAndIsNotCut) {
  for (const Words& words : commands + std::vector<Words>{{}, {"experiment"}}) {
    std::istringstream help(run(words + Words{"--help"}).out);
    for (std::string line; std::getline(help, line);) {
      EXPECT_LE(line.size(), 112) << line;
    }
  }
  const std::string experiments = run({"experiment", "--help"}).out;
  EXPECT_THAT(experiments, AllOf(HasSubstr("\n  study "), HasSubstr("\n  paper "),
                                 HasSubstr("evenflow experiment study"), Not(HasSubstr("evenflow synth"))));
}

TEST(Help, TrainHasAFlagForEveryKey) {
  const std::string help = run({"train", "--help"}).out;
  for (const io::ConfigKey& key : io::config_keys()) {
    EXPECT_THAT(help, HasSubstr("--" + key.name));
  }
}

// ------------------------------------------------------------------------------------------------------------ usage

TEST(Usage, WrongArgumentsAreOneSentence) {
  expect_refused(run({}), 2, {"evenflow --help"});
  expect_refused(run({"prepra"}), 2, {"'prepra'", "'prepare'"});
  expect_refused(run({"experiment"}), 2, {"study, paper", "evenflow experiment --help"});
  expect_refused(run({"experiment", "stduy", "x"}), 2, {"no experiment 'stduy'", "'study'"});
  expect_refused(run({"experiment", "stduy", "x", "--out", "y"}), 2, {"no experiment 'stduy'", "'study'"});
  expect_refused(run({"--model", "m.h5", "score", "x.wav"}), 2, {"after its command", "evenflow score --model"});
  expect_refused(run({"score", "--model", "m.h5", "x.wav", "--out", ""}), 2, {"--out", "cannot be empty"});
  expect_refused(run({"info", std::string(2000, 'n')}), 3, {"nnn...nnn"});
  expect_refused(run({"train", "x.h5", "--run", "r", "--train.epoch", "3"}), 2, {"'--train.epochs'"});
  expect_refused(run({"train", "x.h5", "--run", "r", "--epochs", "many"}), 2, {"train.epochs", "many"});
  expect_refused(run({"train", "x.h5", "--run", "r", "--model.blocks", "9"}), 2, {"model.blocks", "9"});
  expect_refused(run({"train", "x.h5"}), 2, {"--run"});
  expect_refused(run({"train", "--run", "r"}), 2, {"shard"});
  expect_refused(run({"train", "--run", "r", "--resume", "--replace"}), 2, {"--resume", "--replace"});
  expect_refused(run({"prepare", "a", "b", "--out", "c"}), 2, {"'b'"});
  expect_refused(run({"score", "--model", "m", "x", "--out", "y", "--split", "half"}), 2, {"half", "train|test|all"});
  expect_refused(run({"sample", "--model", "m"}), 2, {"--out", "--picture"});
  expect_refused(run({"synth", "x", "--preset", "large"}), 2, {"large", "demo|paper"});
  expect_refused(run({"train", "x.h5", "--run", "r", "--pack", "1.5"}), 2, {"--pack", "'1.5'", "whole number from 0"});
}

TEST(Usage, BehindTwoDashesNothingIsAnOption) {
  expect_refused(run({"train", "--run", "r", "--", "--x.h5"}), 3, {"'--x.h5'"});
  expect_refused(run({"train", "--", "x.h5", "--run", "r"}), 2, {"--run is required"});
}

TEST(Usage, ConfigurationsNameFileLineAndTheNearestKey) {
  const Folder folder;
  put(folder / "c.toml", "[train]\nlearning_rat = 0.1\n");
  const std::string shard = World::get().shard();
  expect_refused(run({"train", shard, "--run", folder / "r", "--config", folder / "c.toml"}), 2,
                 {"c.toml:2", "learning_rat", "train.learning_rate"});
  expect_refused(run({"train", shard, "--run", folder / "r", "--config", folder / "no.toml"}), 2, {"no.toml"});
  EXPECT_THAT(folder.files(), ElementsAre("c.toml"));
}

TEST(Usage, ADeviceThatIsNotThereIsSaid) {
  const Folder folder;
  expect_refused(run(Words{"train", World::get().shard(), "--run", folder / "r", "--device", "cuda:63"} + tiny), 2,
                 {"cuda"});
  expect_refused(run({"prepare", World::get().recordings(), "--out", folder / "f.h5", "--device", "cuda:63"}), 2,
                 {"cuda"});
  EXPECT_THAT(folder.files(), IsEmpty());
}

// ------------------------------------------------------------------------------------------------------- recordings

constexpr const char* header = "path,split,label,machine,speed\n";

/// Makes a recording from a good one's bytes.
std::string wav_bytes() {
  return get(World::get().wav());
}

std::string float_wav_with_nan() {
  std::string bytes("RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x03\0\x01\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x20\0data", 40);
  std::vector<float> samples(24000, 0.25F);
  samples[123] = std::numeric_limits<float>::quiet_NaN();
  const auto size = static_cast<uint32_t>(samples.size() * sizeof(float)), riff = size + 36;
  bytes.append(reinterpret_cast<const char*>(&size), 4);
  bytes.append(reinterpret_cast<const char*>(samples.data()), size);
  bytes.replace(4, 4, reinterpret_cast<const char*>(&riff), 4);
  return bytes;
}

struct BadRecording {
  std::string name, bytes;
  Words said;
};

std::vector<BadRecording> bad_recordings() {
  const std::string good = wav_bytes();
  return {{"truncated.wav", good.substr(0, good.size() / 2), {"truncated.wav"}},
          {"header.wav", good.substr(0, 20), {"header.wav"}},
          {"text.wav", "this is not sound at all, it is a text\n", {"text.wav"}},
          {"empty.wav", "", {"empty.wav"}},
          {"nan.wav", float_wav_with_nan(), {"nan.wav", "123"}},
          {"silent.wav", good.substr(0, 40) + std::string(4, '\0'), {"silent.wav"}}};
}

TEST(BadRecordings, EachIsNamedAndNothingIsWritten) {
  for (const BadRecording& bad : bad_recordings()) {
    const Folder folder;
    put(folder / bad.name, bad.bytes);
    put(folder / "m.csv", std::string(header) + bad.name + ",train,normal,m,1\n");
    expect_refused(run(Words{"prepare", folder / "m.csv", "--out", folder / "f.h5"} + short_windows), 3, bad.said);
    expect_refused(run({"score", "--model", World::get().model(), folder / bad.name, "--out", folder / "s.csv"}), 3,
                   bad.said);
    expect_refused(run({"info", folder / bad.name}), 3, {bad.name});
    EXPECT_EQ(folder.files().size(), 2U) << bad.name;
  }
}

TEST(BadRecordings, SkipBadListsThemAndGoesOn) {
  const Folder folder;
  std::string manifest = header;
  for (const BadRecording& bad : bad_recordings()) {
    put(folder / bad.name, bad.bytes);
    manifest += bad.name + ",train,normal,rail,1\n";
  }
  put(folder / "good.wav", wav_bytes());
  put(folder / "m.csv", manifest + "missing.wav,train,normal,rail,1\ngood.wav,train,normal,rail,2\n");
  const Outcome outcome =
      run(Words{"prepare", folder / "m.csv", "--out", folder / "f.h5", "--skip-bad"} + short_windows);
  expect_done(outcome);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("1 clip,"), HasSubstr("Skipped 7"), HasSubstr("missing.wav")));
  for (const BadRecording& bad : bad_recordings()) {
    EXPECT_THAT(outcome.out, HasSubstr(bad.name));
  }
  EXPECT_EQ(io::Shard(folder / "f.h5").clips().size(), 1U);
  const Outcome scored = run({"score", "--model", World::get().model(), folder / "m.csv", "--split", "all", "--out",
                              folder / "s.csv", "--skip-bad"});
  expect_done(scored);
  EXPECT_THAT(scored.out, AllOf(HasSubstr("Scored 1 clip"), HasSubstr("Skipped 7")));
}

TEST(BadRecordings, MissingOnesAreNamedTogether) {
  const Folder folder;
  put(folder / "m.csv", std::string(header) + "a.wav,train,normal,m,1\nb.wav,train,normal,m,2\n");
  expect_refused(run({"prepare", folder / "m.csv", "--out", folder / "f.h5"}), 3, {"a.wav", "b.wav", "m.csv"});
  expect_refused(
      run({"score", "--model", World::get().model(), folder / "m.csv", "--split", "all", "--out", folder / "s.csv"}), 3,
      {"a.wav", "b.wav"});
  EXPECT_THAT(folder.files(), ElementsAre("m.csv"));
}

TEST(BadManifests, NameFileLineAndCure) {
  const Folder folder;
  put(folder / "a.wav", wav_bytes());
  const std::vector<std::pair<std::string, Words>> rows = {
      {"path,split,label,speed\na.wav,train,normal,1\n", {"m.csv:1", "machine"}},
      {std::string(header) + "a.wav,train,normal,m,1\na.wav,train,normal,m,1\n", {"m.csv:3", "a.wav", "line 2"}},
      {"path,split,label,machine,colour\na.wav,train,normal,m,7\nb.wav,train,normal,m,red\n",
       {"m.csv:3", "colour", "red"}},
      {"path,split,label,machine,tool:category:category\na.wav,train,normal,m,A\n",
       {"m.csv:1", "tool:category", "once"}},
      {std::string(header) + "a.wav,half,normal,m,1\n", {"m.csv:2", "half"}},
      {std::string(header) + "a.wav,train,fine,m,1\n", {"m.csv:2", "fine"}},
      {std::string(header) + "a.wav,train,normal,m\n", {"m.csv:2", "cells"}},
      {header, {"m.csv", "no recordings"}},
      {"", {"m.csv", "empty"}},
      {std::string("\0\x01\x02\n", 4), {"m.csv"}}};
  for (const auto& [text, said] : rows) {
    put(folder / "m.csv", text);
    expect_refused(run({"prepare", folder / "m.csv", "--out", folder / "f.h5"}), 3, said);
  }
  expect_refused(run({"prepare", folder / "none.csv", "--out", folder / "f.h5"}), 3, {"none.csv"});
  EXPECT_THAT(folder.files(), ElementsAre("a.wav", "m.csv"));
}

// ------------------------------------------------------------------------------------------------------- HDF5 files

TEST(BadFiles, TruncatedAndForeignOnesAreNamed) {
  const Folder folder;
  const std::string shard = get(World::get().shard()), model = get(World::get().model());
  put(folder / "cut_shard.h5", shard.substr(0, shard.size() / 2));
  put(folder / "cut_model.h5", model.substr(0, model.size() / 2));
  put(folder / "text.h5", "not HDF5\n");
  put(folder / "empty.h5", "");
  {
    const io::Hdf5Lock lock;
    io::Hdf5File foreign = io::Hdf5File::create(folder / "foreign.h5", folder / "foreign.h5");
    foreign.write("/x", std::vector<float>{1, 2, 3});
  }
  const size_t before = folder.files().size();
  for (const std::string name : {"cut_shard.h5", "text.h5", "empty.h5", "foreign.h5", "none.h5"}) {
    expect_refused(run(Words{"train", folder / name, "--run", folder / "r"} + tiny), 3, {name});
    expect_refused(run({"encode", "--model", World::get().model(), folder / name, "--out", folder / "l.h5"}), 3,
                   {name});
    expect_refused(run({"score", "--model", World::get().model(), folder / name, "--out", folder / "s.csv"}), 3,
                   {name});
    expect_refused(run({"info", folder / name}), 3, {name});
  }
  for (const std::string name : {"cut_model.h5", "text.h5", "empty.h5", "foreign.h5", "none.h5"}) {
    expect_refused(run({"score", "--model", folder / name, World::get().shard(), "--out", folder / "s.csv"}), 3,
                   {name});
    expect_refused(run({"sample", "--model", folder / name, "--picture", folder / "p.png"}), 3, {name});
    expect_refused(run({"evaluate", World::get().scores(), "--model", folder / name}), 3, {name});
  }
  expect_refused(run({"score", "--model", World::get().shard(), World::get().shard(), "--out", folder / "s.csv"}), 3,
                 {"shard", "model"});
  EXPECT_EQ(folder.files().size(), before);
}

TEST(Prepare, FeaturesAreTheSameByWhicheverInstructionSetIsAskedFor) {
  const Folder folder;
  const std::string file = folder / "baseline.h5";
  ::setenv("EVENFLOW_CPU_TARGET", "baseline", 1);
  const Outcome prepared = run(Words{"prepare", World::get().recordings(), "--out", file} + short_windows);
  ::unsetenv("EVENFLOW_CPU_TARGET");
  expect_done(prepared);
  const io::Shard baseline(file), fastest(World::get().shard());
  ASSERT_EQ(baseline.frames(), fastest.frames());
  const size_t clips = fastest.clips().size();
  for (size_t clip = 0; clip < clips; ++clip) {
    const std::vector<float> a = baseline.clip_frames(clip), b = fastest.clip_frames(clip);
    ASSERT_EQ(a.size(), b.size());
    float furthest = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_TRUE(std::isfinite(a[i]) && std::isfinite(b[i])) << clip;
      furthest = std::max(furthest, std::abs(a[i] - b[i]));
    }
    EXPECT_TRUE(furthest <= 1e-3F) << "clip " << clip << " is off by " << furthest << " dB";
  }
}

TEST(BadFiles, AModelOfAnotherFrontendNamesTheSetting) {
  const Folder folder;
  expect_done(run(Words{"prepare", World::get().recordings(), "--out", folder / "other.h5", "--frontend.n_fft", "512"} +
                  short_windows));
  expect_refused(run({"score", "--model", World::get().model(), folder / "other.h5", "--out", folder / "s.csv"}), 3,
                 {"other.h5", "n_fft", "512", "1024"});
  expect_refused(run({"encode", "--model", World::get().model(), folder / "other.h5", "--out", folder / "l.h5"}), 3,
                 {"n_fft"});
  expect_refused(run(Words{"train", folder / "other.h5", "--run", folder / "r"} + tiny), 3, {"n_fft"});
  EXPECT_THAT(folder.files(), ElementsAre("other.h5"));
}

TEST(BadFiles, AModelOfAnotherShapeIsRefused) {
  const Folder folder;
  io::ModelData model = io::read_model(World::get().model());
  model.config.model.hidden = 8;
  io::write_model(folder / "odd.h5", model);
  expect_refused(run({"score", "--model", folder / "odd.h5", World::get().shard(), "--out", folder / "s.csv"}), 3,
                 {"coupling.conv1"});
  expect_refused(run({"train", "--run", World::get().run_folder(), "--resume", "--model.hidden", "8"}), 2,
                 {"model.hidden"});
  EXPECT_THAT(folder.files(), ElementsAre("odd.h5"));
}

// ----------------------------------------------------------------------------------------------------------- scores

TEST(Evaluate, OneClassOnlyIsAnErrorThatNamesTheGroup) {
  const Folder folder;
  train::ScoreTable table = train::read_scores(World::get().scores());
  std::erase_if(table.clips, [](const train::ClipScore& clip) { return clip.clip.label == 1; });
  train::write_scores(folder / "normal.csv", table);
  expect_refused(run({"evaluate", folder / "normal.csv", "--out", folder / "report"}), 3,
                 {"one class only", "group all", "normal"});
  for (train::ClipScore& clip : table.clips) {
    clip.clip.label = -1;
  }
  train::write_scores(folder / "unlabelled.csv", table);
  expect_refused(run({"evaluate", folder / "unlabelled.csv"}), 3, {"label"});
  put(folder / "foreign.csv", "a,b\n1,2\n");
  expect_refused(run({"evaluate", folder / "foreign.csv"}), 3, {"foreign.csv"});
  EXPECT_THAT(folder.files(), ElementsAre("foreign.csv", "normal.csv", "unlabelled.csv"));
}

TEST(Evaluate, AValueOfOneClassIsADash) {
  const Folder folder;
  train::ScoreTable table = train::read_scores(World::get().scores());
  std::erase_if(table.clips, [](const auto& clip) { return clip.clip.label == 1 && clip.clip.parameter[0] == 100.0; });
  train::write_scores(folder / "s.csv", table);
  const Outcome outcome = run({"evaluate", folder / "s.csv"});
  expect_done(outcome);
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("velocity_mm_s = 100 +2 +0 +- +- +- +- +-"));
}

// ------------------------------------------------------------------------------------- disks and folders that refuse

TEST(FullDisk, NothingHalfWrittenIsLeft) {
  const Folder folder;
  World& world = World::get();
  const Setting full = {4096, ""};
  const std::string model = world.model(), shard = world.shard(), scores = world.scores();
  expect_refused(run(Words{"prepare", world.recordings(), "--out", folder / "f.h5"} + short_windows, full), 3,
                 {"f.h5"});
  expect_refused(run({"encode", "--model", model, shard, "--out", folder / "l.h5"}, full), 3, {"l.h5"});
  expect_refused(run({"sample", "--model", model, "--out", folder / "s.h5"}, full), 3, {"s.h5"});
  expect_refused(run({"sample", "--model", model, "--picture", folder / "p.png"}, full), 3, {"p.png"});
  expect_refused(run({"score", "--model", model, shard, "--out", folder / "s.csv"}, {512, ""}), 3, {"s.csv"});
  EXPECT_THAT(folder.files(), IsEmpty());
  expect_refused(run({"evaluate", scores, "--out", folder / "report"}, {512, ""}), 3, {"evaluation.csv"});
  EXPECT_THAT(folder.files(), IsEmpty());
  expect_refused(run(synth_words(folder / "rails"), full), 3, {".wav"});
  EXPECT_THAT(folder.files(), IsEmpty());
}

TEST(Report, OtherDataThanTheModels) {
  World& world = World::get();
  const Folder folder;
  // The same recordings, one fewer, by a parameter of another name.
  const std::string rails = fs::path(world.recordings()).parent_path().string();
  std::istringstream lines(get(world.recordings()));
  std::string line, manifest;
  std::getline(lines, line);
  manifest = std::regex_replace(line, std::regex("velocity_mm_s"), "load_n") + "\n";
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    manifest += rails + "/" + line + "\n";
  }
  put(folder / "load.csv", manifest);
  const std::string other = folder / "load.h5";
  expect_done(run(Words{"prepare", folder / "load.csv", "--out", other} + short_windows));

  expect_refused(run({"report", world.run_folder(), other, "--out", folder / "page"}), 3,
                 {"load.h5", "load_n", "velocity_mm_s"});
  fs::copy(world.run_folder(), folder / "run", fs::copy_options::recursive);
  put(folder / "run/data.txt", other + "\n");
  expect_refused(run({"report", folder / "run", "--out", folder / "page"}), 3, {"data.txt", "data hash"});
  EXPECT_FALSE(fs::exists(folder / "page"));
}

TEST(FullDisk, ATrainingEndsWithASentenceAndWholeFiles) {
  const Folder folder;
  expect_refused(run(Words{"train", World::get().shard(), "--run", folder / "r", "--epochs", "2"} + tiny, {16384, ""}),
                 3, {"r/"});
  for (const std::string& name : folder.files()) {
    EXPECT_THAT(name, Not(HasSubstr(".tmp")));
    if (name.ends_with(".h5")) {
      expect_done(run({"info", folder / name}));
    }
  }
}

TEST(FullDisk, StandardOutputCountsToo) {
  if (!fs::exists("/dev/full")) {
    GTEST_SKIP() << "no /dev/full here";
  }
  expect_refused(run({"--help"}, {0, "/dev/full"}), 3, {"standard output"});
}

TEST(Folders, OneThatCannotBeWrittenIsNamed) {
  const Folder folder;
  put(folder / "file", "in the way\n");
  World& world = World::get();
  const std::string below = folder / "file/x";
  const std::string model = world.model(), shard = world.shard();
  expect_refused(run(Words{"prepare", world.recordings(), "--out", below} + short_windows), 3, {"file"});
  expect_refused(run(Words{"train", shard, "--run", below} + tiny), 3, {"file"});
  expect_refused(run(Words{"train", shard, "--run", folder / "file"} + tiny), 3, {"file"});
  expect_refused(run({"score", "--model", model, shard, "--out", below}), 3, {"file"});
  expect_refused(run({"encode", "--model", model, shard, "--out", below}), 3, {"file"});
  expect_refused(run({"sample", "--model", model, "--out", below}), 3, {"file"});
  expect_refused(run({"evaluate", world.scores(), "--out", below}), 3, {"file"});
  expect_refused(run({"evaluate", world.scores(), "--dcase", below}), 3, {"file"});
  expect_refused(run({"synth", below}), 3, {"file"});
  EXPECT_THAT(folder.files(), ElementsAre("file"));
}

TEST(Folders, ForeignAndUsedRunFoldersAreLeftAlone) {
  const Folder folder;
  put(folder / "mine/letter.txt", "dear\n");
  expect_refused(run(Words{"train", World::get().shard(), "--run", folder / "mine"} + tiny), 3, {"mine"});
  EXPECT_EQ(get(folder / "mine/letter.txt"), "dear\n");
  const std::string before = get(World::get().model());
  expect_refused(run(Words{"train", World::get().shard(), "--run", World::get().run_folder()} + tiny), 3, {"run"});
  EXPECT_EQ(get(World::get().model()), before);
  expect_refused(run({"train", "--run", folder / "none", "--resume"}), 3, {"none"});
}

// -------------------------------------------------------------------------------------------------- the whole way

TEST(WholeWay, FromNothingToFiguresOfMerit) {
  const Folder folder;
  World& world = World::get();
  const std::string scores = world.scores();
  const Outcome outcome =
      run({"evaluate", scores, "--model", world.model(), "--out", folder / "report", "--dcase", folder / "dcase"});
  expect_done(outcome);
  for (const std::string text : {"AUC", "unseen in training", "velocity_mm_s = 200", "mean error", "false alarms"}) {
    EXPECT_THAT(outcome.out, HasSubstr(text));
  }
  EXPECT_THAT(
      folder.files(),
      ElementsAre("dcase/2022/anomaly_score_rail_section_00_test.csv",
                  "dcase/2022/decision_result_rail_section_00_test.csv", "dcase/2022/result.csv", "report/.evenflow",
                  "report/estimate_velocity_mm_s.png", "report/evaluation.csv", "report/evaluation.json"));
  const std::string run_folder = world.run_folder();
  for (const std::string name :
       {"config.toml", "model.h5", "last.h5", "checkpoint.h5", "metrics.csv", "log.txt", "data.txt"}) {
    EXPECT_TRUE(fs::exists(run_folder + "/" + name)) << name;
  }
  for (const std::string& file : {world.shard(), world.model(), scores, run_folder, world.recordings(),
                                  run_folder + "/checkpoint.h5", run_folder + "/config.toml", world.wav()}) {
    expect_done(run({"info", file}));
  }
}

TEST(WholeWay, InfoWithoutAFileTellsTheMachine) {
  const auto outcome = run({"info"});
  expect_done(outcome);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("(commit "), HasSubstr("CPU "), HasSubstr("--device cuda:0")));
}

TEST(WholeWay, RecordingsScoreAsTheirShardDoes) {
  const Folder folder;
  World& world = World::get();
  expect_done(run({"score", "--model", world.model(), world.recordings(), "--out", folder / "s.csv"}));
  EXPECT_EQ(get(folder / "s.csv"), get(world.scores()));
}

TEST(WholeWay, SplitsAreChosen) {
  const Folder folder;
  World& world = World::get();
  const auto clips = [&](const std::string& split) {
    expect_done(run({"score", "--model", world.model(), world.shard(), "--out", folder / "s.csv", "--split", split}));
    return train::read_scores(folder / "s.csv").clips.size();
  };
  EXPECT_EQ(clips("train"), 10U);
  EXPECT_EQ(clips("test"), 8U);
  EXPECT_EQ(clips("all"), 18U);
}

TEST(WholeWay, MixedInputsShareOneTable) {
  const Folder folder;
  World& world = World::get();
  put(folder / "listed/b.wav", wav_bytes());
  put(folder / "more/c.wav", wav_bytes());
  put(folder / "m.csv", "path,split,label,machine,load,velocity_mm_s\nlisted/b.wav,test,normal,rail,7,\n");
  expect_done(run({"score", "--model", world.model(), world.shard(), folder / "m.csv", folder / "more", world.wav(),
                   "--out", folder / "s.csv"}));
  const train::ScoreTable table = train::read_scores(folder / "s.csv");
  EXPECT_THAT(table.parameter_names, ElementsAre("velocity_mm_s", "load"));
  ASSERT_EQ(table.clips.size(), 11U);
  EXPECT_EQ(table.clips[8].clip.parameter[1], 7.0);
  EXPECT_TRUE(std::isnan(table.clips[8].clip.parameter[0]));
  EXPECT_EQ(table.value(table.clips[8], "score_zc"), table.value(table.clips[9], "score_zc"));
}

TEST(WholeWay, TheScoreOfOneClipIsShown) {
  const Folder folder;
  World& world = World::get();
  const Outcome outcome = run({"score", "--model", world.model(), world.wav(), "--out", folder / "s.csv"});
  expect_done(outcome);
  const train::ClipScore clip = train::read_scores(folder / "s.csv").clips.at(0);
  const std::string decision = clip.decision == 1 ? "anomalous" : "normal";
  EXPECT_THAT(outcome.out,
              HasSubstr(fmt::format("a.wav: nll {:.6g} (p {:.3g}), {}\n", clip.score, clip.p_value, decision)));
}

TEST(WholeWay, ManyFaultsStayALineThatCanBeRead) {
  const Folder folder;
  std::string manifest = "path,split,label,machine\n";
  for (int i = 0; i < 40; ++i) {
    const std::string name = fmt::format("{}_{}.wav", std::string(60, 'n'), i);
    put(folder / name, "no sound");
    manifest += name + ",train,normal,rail\n";
  }
  put(folder / "m.csv", manifest);
  for (const Words& words : {Words{"prepare", folder / "m.csv", "--out", folder / "f.h5"},
                             Words{"score", "--model", World::get().model(), folder / "m.csv", "--split", "all",
                                   "--out", folder / "s.csv"}}) {
    const Outcome outcome = run(words);
    expect_refused(outcome, 3, {"40", "37 more"});
    EXPECT_LT(outcome.err.size(), 1000U);
  }
}

TEST(WholeWay, LatentsSamplesAndMovedRecordings) {
  const Folder folder;
  World& world = World::get();
  expect_done(run({"encode", "--model", world.model(), world.shard(), "--out", folder / "l.h5"}));
  expect_done(run({"sample", "--model", world.model(), "--at", "velocity_mm_s=150", "-n", "3", "--out", folder / "s.h5",
                   "--picture", folder / "s.png"}));
  expect_done(run({"sample", "--model", world.model(), "--from", world.wav(), "--at", "velocity_mm_s=150", "--out",
                   folder / "m.h5", "--picture", folder / "m.png"}));
  for (const std::string name : {"l.h5", "s.h5", "m.h5"}) {
    expect_done(run({"info", folder / name}));
  }
  for (const std::string name : {"s.png", "m.png"}) {
    EXPECT_THAT(get(folder / name).substr(1, 3), "PNG");
  }
  const io::Hdf5Lock lock;
  io::Shape shape;
  const auto samples = io::Hdf5File::open(folder / "s.h5", "evenflow samples").read<float>("/logmel", shape);
  EXPECT_THAT(shape, ElementsAre(3, 128, 32));
  expect_refused(run({"sample", "--model", world.model(), "--at", "load=1", "--out", folder / "x.h5"}), 2,
                 {"load", "velocity_mm_s"});
  expect_refused(run({"sample", "--model", world.model(), "--at", "velocity_mm_s=1e300", "--out", folder / "x.h5"}), 2,
                 {"no finite sound at velocity_mm_s = 1e300"});
  expect_refused(run({"sample", "--model", world.model(), "--at", "velocity_mm_s=fast", "--out", folder / "x.h5"}), 2,
                 {"velocity_mm_s=fast"});
}

TEST(WholeWay, ADcaseFolderNeedsNoManifest) {
  const Folder folder;
  const std::string wav = wav_bytes();
  const auto add = [&](const std::string& split, const std::string& domain, const std::string& label, int number,
                       int speed) {
    put(folder / ("dev_data/fan/" + split + "/section_00_" + domain + "_" + split + "_" + label + "_000" +
                  std::to_string(number) + "_vel_" + std::to_string(speed) + ".wav"),
        wav);
  };
  for (int i = 0; i < 6; ++i) {
    add("train", i % 2 == 0 ? "source" : "target", "normal", i, i % 2 == 0 ? 4 : 8);
  }
  for (const std::string domain : {"source", "target"}) {
    for (int i = 0; i < 2; ++i) {
      add("test", domain, "normal", i, 4);
      add("test", domain, "anomaly", i, 8);
    }
  }
  expect_done(run(Words{"prepare", folder / "dev_data", "--out", folder / "f.h5"} + short_windows));
  expect_done(run(Words{"train", folder / "f.h5", "--run", folder / "r", "--epochs", "1", "--machine", "fan"} + tiny));
  expect_done(run({"score", "--model", folder / "r/model.h5", folder / "f.h5", "--out", folder / "s.csv"}));
  expect_done(run({"evaluate", folder / "s.csv", "--dcase", folder / "d"}));
  for (const std::string name :
       {"2021/anomaly_score_fan_section_00_source_test.csv", "2021/anomaly_score_fan_section_00_target_test.csv",
        "2021/result.csv", "2022/anomaly_score_fan_section_00_test.csv", "2022/result.csv"}) {
    EXPECT_TRUE(fs::exists(folder / ("d/" + name))) << name;
  }
  EXPECT_TRUE(get(folder / "d/2021/anomaly_score_fan_section_00_source_test.csv")
                  .starts_with("section_00_source_test_anomaly_0000_vel_8.wav,"));
}

// --------------------------------------------------------------------------------------------------- interruptions

/// The command that a message gives behind "evenflow ", as words.
Words command_in(const std::string& text) {
  const size_t begin = text.find("\n  evenflow ");
  if (begin == std::string::npos) {
    return {};
  }
  const size_t end = text.find('\n', begin + 1);
  std::istringstream words(text.substr(begin + 12, end - begin - 12));
  return {std::istream_iterator<std::string>(words), {}};
}

Words train_words(const std::string& run, const std::string& epochs) {
  return Words{"train", World::get().shard(), "--run", run, "--epochs", epochs, "--train.checkpoint_epochs", "7"} +
         tiny;
}

/// A run's model without what differs from run to run by nature.
std::vector<float> parameters_of(const std::string& model) {
  std::vector<float> all;
  for (const io::Tensor& tensor : io::read_model(model).parameters) {
    all.insert(all.end(), tensor.values.begin(), tensor.values.end());
  }
  return all;
}

TEST(Interrupted, CtrlCSavesAndThePrintedCommandGivesTheSameBits) {
  const Folder folder;
  const std::string stopped = folder / "stopped", whole = folder / "whole";
  Program program(train_words(stopped, "60"));
  ASSERT_TRUE(program.wait_until([&] {
    const std::string metrics = fs::exists(stopped + "/metrics.csv") ? get(stopped + "/metrics.csv") : "";
    return std::count(metrics.begin(), metrics.end(), '\n') > 3;
  })) << program.finish().err;
  program.send(SIGINT);
  const Outcome outcome = program.finish();
  ASSERT_EQ(outcome.code, 130) << outcome.out << outcome.err;
  const Words resume = command_in(outcome.out);
  ASSERT_THAT(resume, ElementsAre("train", "--run", stopped, "--resume"));
  const io::ModelData checkpoint = io::read_model(stopped + "/checkpoint.h5");
  ASSERT_TRUE(checkpoint.progress.has_value());
  EXPECT_GE(checkpoint.progress->epoch, 3);
  expect_done(run(resume));
  expect_done(run(train_words(whole, "60")));
  for (const std::string name : {"/model.h5", "/last.h5"}) {
    EXPECT_EQ(parameters_of(stopped + name), parameters_of(whole + name)) << name;
    EXPECT_EQ(io::read_model(stopped + name).threshold.value, io::read_model(whole + name).threshold.value);
  }
}

TEST(Interrupted, KilledInTrainingLeavesReadableFilesAndCanBeResumed) {
  const Folder folder;
  const std::string killed = folder / "killed", whole = folder / "whole";
  Program program(train_words(killed, "60"));
  ASSERT_TRUE(program.wait_until([&] {
    const std::string metrics = fs::exists(killed + "/metrics.csv") ? get(killed + "/metrics.csv") : "";
    return std::count(metrics.begin(), metrics.end(), '\n') > 9;
  }));
  program.send(SIGKILL);
  EXPECT_EQ(program.finish().code, 128 + SIGKILL);
  for (const std::string name : {"/model.h5", "/checkpoint.h5", "/config.toml"}) {
    expect_done(run({"info", killed + name}));
  }
  expect_done(run({"info", killed}));
  expect_done(run({"train", "--run", killed, "--resume"}));
  expect_done(run(train_words(whole, "60")));
  EXPECT_EQ(parameters_of(killed + "/model.h5"), parameters_of(whole + "/model.h5"));
}

TEST(Interrupted, PrepareLeavesTheOldFileOrTheNew) {
  const Folder folder;
  const std::string out = folder / "f.h5";
  const Words words = Words{"prepare", World::get().recordings(), "--out", out, "--threads", "1"} + short_windows;
  expect_done(run(words));
  const std::string before = get(out);
  for (const int signal : {SIGKILL, SIGINT, SIGTERM}) {
    Program program(words);
    program.wait_until([&] { return folder.files().size() > 1; });
    program.send(signal);
    const int code = program.finish().code;
    EXPECT_TRUE(code == 128 + signal || code == 130 || code == 0) << code;
    EXPECT_EQ(get(out), before);
    expect_done(run({"info", out}));
    if (signal == SIGKILL) {
      for (const std::string& name : folder.files()) {
        if (name != "f.h5") {
          fs::remove(folder / name);
        }
      }
    } else {
      EXPECT_THAT(folder.files(), ElementsAre("f.h5"));
    }
  }
}

TEST(Interrupted, EncodeRemovesWhatItBegan) {
  const Folder folder;
  World& world = World::get();
  const std::string model = world.model(), shard = world.shard();
  Program program({"encode", "--model", model, shard, "--out", folder / "l.h5", "--threads", "1"});
  program.wait_until([&] { return !folder.files().empty(); });
  program.send(SIGINT);
  const Outcome outcome = program.finish();
  if (outcome.code == 0) {
    EXPECT_THAT(folder.files(), ElementsAre("l.h5"));
  } else {
    EXPECT_EQ(outcome.code, 130);
    EXPECT_THAT(folder.files(), IsEmpty());
  }
}

}  // namespace
}  // namespace evenflow::experiments::test
