// What is known of recordings, through the program: from manifests, names and folders to tables, and what is said of
// what is left out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "experiments/recordings.h"
#include "frontend/audio.h"
#include "io/error.h"
#include "io/shard.h"
#include "tests/experiments/program.h"
#include "train/detect/score.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* header = "path,split,label,machine,speed\n";

/// The smallest flow there is, of clips of a quarter of a second.
const Words tiny = {"--model.blocks",
                    "1",
                    "--model.steps",
                    "1",
                    "--model.hidden",
                    "2",
                    "--batch",
                    "4",
                    "--epochs",
                    "1",
                    "--threads",
                    "1",
                    "--window.window_frames",
                    "8",
                    "--window.window_hop_frames",
                    "4"};

void put_recordings(const Folder& folder, const Words& names) {
  for (size_t i = 0; i < names.size(); ++i) {
    const fs::path file = folder / names[i];
    fs::create_directories(file.parent_path());
    std::vector<float> samples(4400);
    for (size_t s = 0; s < samples.size(); ++s) {
      samples[s] = 0.1F * std::sin((0.05F + 0.01F * static_cast<float>(i)) * static_cast<float>(s));
    }
    frontend::write_wav(file, samples, 16000);
  }
}

Outcome prepare(const Folder& folder, const std::string& input) {
  return run({"prepare", folder / input, "--out", folder / "f.h5", "--window.window_frames", "8"});
}

Outcome train(const Folder& folder, Words more = {}) {
  Words words = {"train", folder / "f.h5", "--run", folder / "run", "--replace"};
  words.insert(words.end(), tiny.begin(), tiny.end());
  words.insert(words.end(), more.begin(), more.end());
  return run(words);
}

Outcome score(const Folder& folder, const Words& inputs, const Words& more = {}) {
  Words words = {"score", "--model", folder / "run/model.h5", "--out", folder / "s.csv"};
  for (const std::string& input : inputs) {
    words.push_back(folder / input);
  }
  words.insert(words.end(), more.begin(), more.end());
  return run(words);
}

/// Eight training clips at two speeds, two of test, and a model of them.
void put_trained(const Folder& folder) {
  Words names;
  std::string manifest = header;
  for (int i = 0; i < 10; ++i) {
    names.push_back(std::to_string(i) + ".wav");
    manifest += names.back() + (i < 8 ? ",train" : ",test") + ",normal,rail," + (i % 2 == 0 ? "1" : "2") + "\n";
  }
  put_recordings(folder, names);
  put(folder / "m.csv", manifest);
  expect_done(prepare(folder, "m.csv"));
  expect_done(train(folder));
}

Words paths_in(const Folder& folder) {
  Words paths;
  for (const train::ClipScore& row : train::read_scores(folder / "s.csv").clips) {
    paths.push_back(row.clip.path.string());
  }
  return paths;
}

bool is_plain(const std::string& text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return (c < 0x20 && c != '\n') || c == 0x7f; });
}

// ----------------------------------------------------------------------------------------------------------- folders

TEST(Layouts, Dcase2020IsReadByItsNames) {
  const Folder folder;
  put_recordings(folder, {"fan/train/normal_id_00_00000000.wav", "fan/train/normal_id_02_00000000.wav",
                          "fan/test/normal_id_00_00000000.wav", "fan/test/anomaly_id_00_00000000.wav"});
  expect_done(prepare(folder, "fan"));
  EXPECT_THAT(run({"info", folder / "f.h5"}).out,
              AllOf(HasSubstr("train clips    2 normal\n"), HasSubstr("test clips     1 normal, 1 anomalous\n"),
                    HasSubstr("machines       fan\n"), HasSubstr("sections       00, 02\n")));
}

TEST(Layouts, Dcase2021sGluedAttributesAreParameters) {
  const Folder folder;
  put_recordings(folder, {"ToyCar/train/section_00_source_train_normal_0000_A1Spd28VMic1.wav",
                          "ToyCar/train/section_00_source_train_normal_0001_A2Spd31VMic1.wav",
                          "ToyCar/train/section_00_target_train_normal_0000_noAttribute.wav"});
  const Outcome outcome = prepare(folder, "ToyCar");
  expect_done(outcome);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("note: left out: words without a name (2 "
                                           "clips, such as 'A1')\n"),
                                 HasSubstr("Spd_V          28, 31; unknown of 1 clip\n"),
                                 HasSubstr("Mic            1; unknown of 1 clip\n")));
}

TEST(Layouts, FoldersOfMimiiGiveLabelsAndSections) {
  const Folder folder;
  put_trained(folder);
  put_recordings(folder, {"fan/id_00/normal/0.wav", "fan/id_00/abnormal/0.wav", "fan/id_02/normal/0.wav"});
  const Outcome prepared = prepare(folder, "fan");
  expect_done(prepared);
  EXPECT_THAT(prepared.out,
              AllOf(HasSubstr("test clips     2 normal, 1 anomalous\n"), HasSubstr("sections       00, 02"),
                    HasSubstr("note: no folder is named train or test")));
  expect_done(score(folder, {"fan/id_00/normal", "fan/id_00/abnormal"}, {"--other-machines"}));
  const train::ScoreTable table = train::read_scores(folder / "s.csv");
  ASSERT_EQ(table.clips.size(), 2U);
  EXPECT_EQ(table.clips[0].clip.path, folder / "fan/id_00/normal/0.wav");
  EXPECT_EQ(table.clips[0].clip.label, 0);
  EXPECT_EQ(table.clips[1].clip.path, folder / "fan/id_00/abnormal/0.wav");
  EXPECT_EQ(table.clips[1].clip.label, 1);
  EXPECT_EQ(table.clips[1].clip.section, "00");
}

TEST(Layouts, FoldersOfTrainAndTestGiveTheSplit) {
  const Folder folder;
  put_recordings(folder, {"bottle/train/good/0.wav", "bottle/test/good/0.wav", "bottle/test/cut/0.wav"});
  const Outcome outcome = prepare(folder, "bottle");
  expect_done(outcome);
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("train clips    1 normal\n"), HasSubstr("test clips     1 normal, 1 anomalous\n"),
                    HasSubstr("taken for anomalies"), HasSubstr("'cut'")));
}

TEST(Layouts, AManifestInTheFolderIsWhatIsRead) {
  const Folder folder;
  put_trained(folder);
  fs::create_directory(folder / "in");
  for (const char* name : {"0.wav", "1.wav", "9.wav"}) {
    fs::rename(folder / name, folder / ("in/" + std::string(name)));
  }
  put(folder / "in/manifest.csv", std::string(header) + "0.wav,train,normal,rail,1\n9.wav,test,anomaly,rail,2\n");
  const Outcome prepared = prepare(folder, "in");
  expect_done(prepared);
  EXPECT_THAT(prepared.out, AllOf(HasSubstr("note: the folder is read by the manifest.csv in it\n"),
                                  HasSubstr("1 recording that manifest.csv does not list"), HasSubstr("1 normal")));
  const Outcome scored = score(folder, {"in"});
  expect_done(scored);
  EXPECT_THAT(scored.out, HasSubstr("manifest.csv"));
  EXPECT_THAT(paths_in(folder), ElementsAre("9.wav"));
  EXPECT_THAT(run({"info", folder / "in"}).out, HasSubstr("test clips     1 anomalous"));
  fs::rename(folder / "in/manifest.csv", folder / "in/list.csv");
  fs::remove(folder / "f.h5");
  expect_refused(prepare(folder, "in"), 2, {"'list.csv'", "in place of the folder"});
  expect_refused(score(folder, {"in"}), 2, {"'list.csv'"});
  EXPECT_FALSE(fs::exists(folder / "f.h5"));
}

TEST(Layouts, FilesOfOtherKindsAreCounted) {
  const Folder folder;
  put_trained(folder);
  put_recordings(folder, {"mix/a.wav"});
  for (const char* name : {"mix/b.mp9", "mix/c.mp9", "mix/d.txt", "mix/.e.txt"}) {
    put(folder / name, std::string("\0", 1));
  }
  for (const Outcome& outcome : {prepare(folder, "mix"), score(folder, {"mix"}), run({"info", folder / "mix"})}) {
    expect_done(outcome);
    EXPECT_THAT(outcome.out, AllOf(HasSubstr("left out"), HasSubstr(".wav"), HasSubstr("2 .mp9, 1 .txt\n")));
  }
  expect_refused(prepare(folder, "mix/b.mp9"), 3, {"b.mp9", ".wav", "convert"});
  expect_refused(score(folder, {"mix/b.mp9"}), 3, {"b.mp9"});
}

// ------------------------------------------------------------------------------------------------------------- texts

TEST(Texts, ThatMayNotEnterAreRefusedByPrepareAndScore) {
  const Folder folder;
  put_trained(folder);
  fs::remove(folder / "f.h5");
  const std::string long_name(300, 'v');
  const std::vector<std::pair<std::string, Words>> manifests = {
      {std::string(header) + "0.wav,test,normal,L\xfc"
                             "fter,1\n",
       {"bad.csv:2", "UTF-8"}},
      {std::string(header) + "0.wav,test,normal,\x1b[31mpump,1\n", {"bad.csv:2", "\\x1b[31mpump"}},
      {std::string(header) + "0.wav,test,normal,\"a\nb\",1\n", {"bad.csv:2", "line end"}},
      {"path,split,label,machine," + long_name + "\n0.wav,test,normal,m,1\n", {"bad.csv:1", "300 bytes", "shorten"}},
      {std::string("\xff\xfep\0a\0t\0h\0", 10), {"bad.csv", "UTF-16"}}};
  for (const auto& [text, said] : manifests) {
    put(folder / "bad.csv", text);
    expect_refused(prepare(folder, "bad.csv"), 3, said);
    expect_refused(score(folder, {"bad.csv"}), 3, said);
  }
  put_recordings(folder, {"odd/a\x1b[2J.wav"});
  expect_refused(prepare(folder, "odd"), 3, {"a\\x1b[2J.wav", "rename"});
  expect_refused(score(folder, {"odd/a\x1b[2J.wav"}), 3, {"rename"});
  EXPECT_FALSE(fs::exists(folder / "f.h5"));
  EXPECT_FALSE(fs::exists(folder / "s.csv"));
}

/// A shard as none is prepared any more.
void put_shard(const fs::path& file, const std::string& machine, const std::string& parameter) {
  io::ShardWriter writer(file, {}, {parameter});
  for (int i = 0; i < 8; ++i) {
    io::Clip clip;
    clip.path = "a" + std::to_string(i) + ".wav";
    clip.machine = machine;
    clip.split = i < 4 ? io::Split::train : io::Split::test;
    clip.label = i < 6 ? 0 : 1;
    clip.parameter = {static_cast<double>(i % 2)};
    std::vector<float> frames(16 * 128);
    for (size_t f = 0; f < frames.size(); ++f) {
      frames[f] = static_cast<float>((f * 37 + static_cast<size_t>(i) * 11) % 23);
    }
    writer.append(clip, frames);
  }
  writer.finish();
}

TEST(Texts, OfOlderShardsAreRefusedAndEscapedOnTheTerminal) {
  const Folder folder;
  for (const auto& [machine, parameter] : {std::pair("\x1b[31mpump\x1b[2J", "speed"), {"pump", "speed\x07"}}) {
    put_shard(folder / "f.h5", machine, parameter);
    for (const Outcome& outcome : {run({"info", folder / "f.h5"}), train(folder)}) {
      expect_refused(outcome, 3, {"f.h5", "control character", "make the file again"});
      EXPECT_TRUE(is_plain(outcome.out + outcome.err)) << outcome.out << outcome.err;
    }
  }
  put_shard(folder / "f.h5", std::string(300, 'm'), "speed");
  expect_refused(run({"info", folder / "f.h5"}), 3, {"f.h5", "300 bytes long"});
  const Outcome missing = run({"info", folder / "a\x1b[2J.wav"});
  EXPECT_TRUE(is_plain(missing.err)) << missing.err;
}

TEST(Texts, ParametersAreNotCalledLikeColumnsOfTheScores) {
  const Folder folder;
  put_trained(folder);
  fs::remove(folder / "f.h5");
  for (const std::string name : {"score", "decision", "nll", "score_zc", "score_gmm", "score_kld", "Split", "LABEL",
                                 "estimate_speed", "Estimate_x", "NLL_given_v", " score "}) {
    put(folder / "bad.csv", "path,split,label,machine," + name + "\n0.wav,test,normal,m,1\n");
    expect_refused(prepare(folder, "bad.csv"), 3, {"bad.csv", "column of the scores", "rename"});
    expect_refused(score(folder, {"bad.csv"}), 3, {"bad.csv"});
    expect_refused(run({"experiment", "study", folder / "bad.csv", "--out", folder / "study"}), 3, {"bad.csv"});
  }
  EXPECT_FALSE(fs::exists(folder / "study"));
  put_recordings(folder, {"fan/train/section_00_source_train_normal_0000_score_5.wav"});
  expect_refused(prepare(folder, "fan"), 3, {"fan", "'score'"});
  put_shard(folder / "f.h5", "m", "nll");
  expect_refused(score(folder, {"f.h5"}), 3, {"f.h5", "'nll'"});
  fs::remove_all(folder / "run");
  expect_refused(train(folder), 3, {"f.h5", "'nll'"});
  EXPECT_FALSE(fs::exists(folder / "run"));
  for (const std::string name : {"scores", "scoring", "estimate", "nll2", "path_length_mm"}) {
    put(folder / "good.csv", "path,split,label,machine," + name + "\n0.wav,test,normal,m,1\n");
    expect_done(prepare(folder, "good.csv"));
  }
}

// ------------------------------------------------------------------------------------------------ the same file twice

TEST(Repeated, RecordingsAreScoredOnce) {
  const Folder folder;
  put_trained(folder);
  fs::create_symlink("0.wav", folder / "link.wav");
  fs::create_hard_link(folder / "0.wav", folder / "hard.wav");
  const Outcome outcome = score(folder, {"0.wav", "./0.wav", "link.wav", "hard.wav", "1.wav"});
  expect_done(outcome);
  EXPECT_THAT(outcome.out, HasSubstr("note: left out: 3 recordings given already, such as '"));
  EXPECT_THAT(paths_in(folder), ElementsAre(folder / "0.wav", folder / "1.wav"));
  expect_done(score(folder, {"0.wav"}));
  EXPECT_THAT(paths_in(folder), ElementsAre(folder / "0.wav"));
}

TEST(Repeated, RowsOfATableCanBeToldApart) {
  const Folder folder;
  put_trained(folder);
  put_recordings(folder, {"one/a.wav", "two/a.wav"});
  put(folder / "one/manifest.csv", std::string(header) + "a.wav,test,normal,rail,1\n");
  put(folder / "two/m.csv", std::string(header) + "a.wav,test,anomaly,rail,1\n");
  expect_done(score(folder, {"one", "two/m.csv"}));
  EXPECT_THAT(paths_in(folder), ElementsAre(folder / "one/a.wav", folder / "two/a.wav"));
  fs::remove(folder / "s.csv");
  fs::copy_file(folder / "f.h5", folder / "g.h5");
  expect_refused(score(folder, {"f.h5", "g.h5"}), 2, {"f.h5", "g.h5", "8.wav", "one at a time"});
  expect_refused(score(folder, {"f.h5", "./f.h5"}), 2, {"8.wav"});
  EXPECT_FALSE(fs::exists(folder / "s.csv"));
}

TEST(Repeated, AFileIsNotBothTrainedOnAndTested) {
  const Folder folder;
  put_recordings(folder, {"0.wav", "1.wav"});
  fs::create_symlink("0.wav", folder / "link.wav");
  put(folder / "m.csv", std::string(header) + "0.wav,train,normal,m,1\nlink.wav,test,normal,m,1\n");
  expect_refused(prepare(folder, "m.csv"), 3, {"'0.wav'", "'link.wav'", "m.csv", "same file"});
  EXPECT_FALSE(fs::exists(folder / "f.h5"));
  put(folder / "m.csv", std::string(header) + "0.wav,train,normal,m,1\n1.wav,train,normal,m,\n" +
                            std::string(folder / "0.wav") + ",train,normal,m,1\n");
  const Outcome outcome = prepare(folder, "m.csv");
  expect_done(outcome);
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("1 recording that is the same file as another"), HasSubstr("Prepared 2 clips")));
}

TEST(Repeated, ShardsAndScoresAreRefused) {
  const Folder folder;
  put_trained(folder);
  fs::create_symlink("f.h5", folder / "link.h5");
  expect_refused(train(folder, {folder / "link.h5"}), 2, {"link.h5", "f.h5", "twice"});
  expect_done(score(folder, {"f.h5"}));
  expect_refused(run({"evaluate", folder / "s.csv", folder / "./s.csv"}), 2, {"s.csv", "twice"});
}

// -------------------------------------------------------------------------------------------------- what is learnt of

TEST(Condition, AParameterThatNeverVariesIsLeftOut) {
  const Folder folder;
  Words names;
  std::string manifest = "path,split,label,machine,mic,speed,load\n";
  for (int i = 0; i < 6; ++i) {
    names.push_back(std::to_string(i) + ".wav");
    manifest += names.back() + ",train,normal,m,1," + std::to_string(i % 2) + ",\n";
  }
  put_recordings(folder, names);
  put(folder / "m.csv", manifest);
  expect_done(prepare(folder, "m.csv"));
  const Outcome outcome = train(folder);
  expect_done(outcome);
  expect_refused(train(folder, {"--condition.parameters", "mic"}), 3,
                 {"'mic' is 1 in every training clip of '", "f.h5'", "record clips at another value"});
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("note: mic is left out: 1 in every training clip"),
                                 HasSubstr("note: load is left out: unknown in every training clip"),
                                 HasSubstr("zd carries speed")));
  EXPECT_THAT(get(folder / "run/log.txt"), HasSubstr("mic is left out"));
  EXPECT_THAT(run({"info", folder / "run/model.h5"}).out, AllOf(HasSubstr("speed: k"), Not(HasSubstr("mic: k"))));
  expect_done(train(folder, {"--condition.k", "1,2,3"}));
  EXPECT_THAT(run({"info", folder / "run/model.h5"}).out, HasSubstr("speed: k 2,"));
  expect_refused(train(folder, {"--condition.parameters", "speed,mic"}), 3, {"mic", "condition.parameters"});

  put(folder / "m.csv", std::string("path,split,label,machine,mic\n0.wav,train,normal,m,1\n1.wav,train,normal,m,1\n"));
  expect_done(prepare(folder, "m.csv"));
  const Outcome constant = train(folder);
  expect_done(constant);
  EXPECT_THAT(constant.out, AllOf(HasSubstr("mic is left out"), HasSubstr("unconstrained: zd carries no parameter")));
}

// ---------------------------------------------------------------------------------------------- parameters with names

/// Twelve clips at two speeds, with a tool each: B was never trained at speed 2, and the last test clip has a tool of
/// its own. `tool`: the column's name.
void put_tools(const Folder& folder, const std::string& tool = "tool", const std::string& first = "A",
               const std::string& second = "B") {
  Words names;
  std::string manifest = "path,split,label,machine,speed," + tool + "\n";
  for (int i = 0; i < 12; ++i) {
    names.push_back(std::to_string(i) + ".wav");
    const bool trains = i < 6, fast = i % 2 == 1, is_second = trains ? i % 6 == 0 : i % 4 < 2;
    manifest += names.back() +
                (trains  ? ",train,normal"
                 : i < 9 ? ",test,normal"
                         : ",test,anomaly") +
                ",rail," + (fast ? "2," : "1,") +
                (i == 11     ? "noAttribute"
                 : is_second ? second
                             : first) +
                "\n";
  }
  put_recordings(folder, names);
  put(folder / "m.csv", manifest);
}

TEST(Categories, AreNamedFromTheManifestToTheReport) {
  const Folder folder;
  put_tools(folder);
  const Outcome prepared = prepare(folder, "m.csv");
  expect_done(prepared);
  EXPECT_THAT(prepared.out, HasSubstr("tool           A, B; unknown of 1 clip"));
  EXPECT_THAT(run({"info", folder / "f.h5"}).out, HasSubstr("tool           A, B; unknown of 1 clip"));
  EXPECT_THAT(run({"info", folder / "m.csv"}).out, HasSubstr("tool           A, B; unknown of 1 clip"));

  expect_done(train(folder, {"--condition.parameters", "speed"}));
  expect_done(score(folder, {"f.h5"}));
  const std::string of_shard = get(folder / "s.csv");
  EXPECT_THAT(of_shard, AllOf(HasSubstr("label,speed,tool,score"), HasSubstr("6.wav,rail,0,1,A,"),
                              HasSubstr("8.wav,rail,0,1,B,"), HasSubstr("11.wav,rail,1,2,,")));
  EXPECT_THAT(run({"info", folder / "s.csv"}).out, HasSubstr("A, B; unknown of 1 clip"));

  const Outcome evaluated =
      run({"evaluate", folder / "s.csv", "--training", folder / "f.h5", "--out", folder / "evaluation"});
  expect_done(evaluated);
  EXPECT_THAT(evaluated.out, AllOf(HasSubstr("tool = A"), HasSubstr("tool = B"), HasSubstr("tool A and B"),
                                   HasSubstr("seen combination"), HasSubstr("unseen combination")));
  EXPECT_THAT(get(folder / "evaluation/evaluation.csv"), HasSubstr("unseen combination,unseen combination,"));
  expect_done(run({"report", folder / "run"}));
  EXPECT_THAT(get(folder / "run/report/report.html"), HasSubstr("tool = B"));
  EXPECT_THAT(get(folder / "run/report/scores.csv"), HasSubstr(",A,"));
}

// From training to evaluation with the names in zd.
TEST(Categories, AreCarriedScoredAndEvaluated) {
  const Folder folder;
  put_tools(folder);
  expect_done(prepare(folder, "m.csv"));
  const Outcome trained = train(folder);
  expect_done(trained);
  EXPECT_THAT(trained.out, AllOf(HasSubstr("zd carries speed: k"), HasSubstr("zd carries tool: k 6, categories A, B")));
  EXPECT_THAT(run({"info", folder / "run/model.h5"}).out, HasSubstr("tool: k 6, trained with A, B"));
  expect_done(score(folder, {"f.h5"}));
  EXPECT_THAT(get(folder / "s.csv"), HasSubstr(",estimate_speed,estimate_tool,estimate_tool_p,"));
  const Outcome evaluated = run({"evaluate", folder / "s.csv", "--model", folder / "run/model.h5"});
  expect_done(evaluated);
  EXPECT_THAT(evaluated.out, AllOf(HasSubstr("tells the names"), HasSubstr("tool, all")));

  // A name that was never trained is scored and flagged.
  put(folder / "new.csv", "path,split,label,machine,tool\n6.wav,test,normal,rail,C\n7.wav,test,normal,rail,\n");
  const Outcome scored = score(folder, {"new.csv"});
  expect_done(scored);
  EXPECT_THAT(get(folder / "s.csv"), HasSubstr("6.wav,rail,0,C,"));
  EXPECT_THAT(scored.out + scored.err, HasSubstr("6.wav"));
  put(folder / "numbered.csv", "path,split,label,machine,tool\n6.wav,test,normal,rail,3\n");
  expect_refused(score(folder, {"numbered.csv"}), 3,
                 {"numbered.csv", "numbers of 'tool'", "trained on names", "'tool:category'"});
}

// A recording by itself has a number for a name, and its file's name is text all the same.
TEST(Categories, AreReadAsTrainedFromNamesOfFiles) {
  const Folder folder;
  const std::string numbered = "fan/test/section_00_source_test_normal_0000_spd_1.wav";
  put_recordings(folder, {"fan/train/section_00_source_train_normal_0000_spd_1.wav",
                          "fan/train/section_00_source_train_normal_0001_spd_2.wav",
                          "fan/train/section_00_source_train_normal_0002_spd_1.wav",
                          "fan/train/section_00_source_train_normal_0003_spd_2.wav", numbered,
                          "fan/test/section_00_source_test_anomaly_0001_spd_x.wav"});
  expect_done(prepare(folder, "fan"));
  expect_done(train(folder));
  expect_done(score(folder, {numbered}));
  EXPECT_THAT(get(folder / "s.csv"), HasSubstr("_spd_1.wav,fan,0,1,"));
}

TEST(Categories, ScoresWouldHaveAColumnTwice) {
  const Folder folder;
  put_tools(folder);
  std::string twice = get(folder / "m.csv");
  twice.replace(twice.find("speed"), 5, "tool_p");
  put(folder / "m.csv", twice);
  expect_refused(prepare(folder, "m.csv"), 3, {"'tool' and 'tool_p'", "rename one"});
}

TEST(Categories, AreNumbersOnlyWhereTheyAreNotDeclared) {
  const Folder folder;
  put_tools(folder, "tool", "7", "12");
  expect_done(prepare(folder, "m.csv"));
  EXPECT_THAT(run({"info", folder / "f.h5"}).out, HasSubstr("tool           7, 12; unknown"));
  expect_refused(train(folder, {"--condition.parameters", "speed,tool:category"}), 3,
                 {"'tool:category'", "has numbers of it", "--condition.parameters tool:category"});
  const Words declared = {
      "prepare", folder / "m.csv",         "--out",        folder / "f.h5", "--window.window_frames",
      "8",       "--condition.parameters", "tool:category"};
  expect_done(run(declared));
  EXPECT_THAT(run({"info", folder / "f.h5"}).out, HasSubstr("tool           12, 7; unknown"));
  put_tools(folder, "tool:category", "7", "12");
  expect_done(prepare(folder, "m.csv"));
  EXPECT_THAT(run({"info", folder / "f.h5"}).out, HasSubstr("tool           12, 7; unknown"));
  Words missing = declared;
  missing.back() = "gear:category";
  expect_refused(run(missing), 2, {"'gear:category'", "does not have", "[speed, tool]"});
}

TEST(Categories, ThatCannotBeLearntOrMetAreRefused) {
  const Folder folder;
  put_tools(folder, "tool", "A", "A");
  expect_done(prepare(folder, "m.csv"));
  expect_refused(train(folder, {"--condition.parameters", "tool"}), 3, {"'tool' is 'A' in every training clip"});
  const Outcome constant = train(folder);
  expect_done(constant);
  EXPECT_THAT(constant.out, HasSubstr("note: tool is left out: A in every training clip"));

  // Names of a parameter whose numbers were trained.
  put(folder / "named.csv", "path,split,label,machine,speed\n6.wav,test,normal,rail,fast\n");
  expect_refused(score(folder, {"named.csv"}), 3,
                 {"named.csv", "has names of 'speed'", "the model was trained on numbers", "leave the column out"});
  // Two inputs of two kinds.
  put(folder / "numbered.csv", "path,split,label,machine,tool\n6.wav,test,normal,rail,3\n");
  put(folder / "a/m.csv", "path,split,label,machine,tool\n../7.wav,test,normal,rail,A\n");
  expect_refused(score(folder, {"numbered.csv", "a/m.csv"}), 3, {"'tool' has numbers in one table and names"});
}

TEST(Machines, OtherThanTheModelsAreCounted) {
  EXPECT_EQ(other_machines({{"fan", 3}, {"pump", 2}, {"valve", 1}, {"", 4}}, {"fan"}),
            "3 clips are of machine pump, valve, but the model was trained on fan");
  EXPECT_EQ(other_machines({{"pump", 1}}, {"fan", "valve"}),
            "1 clip is of machine pump, but the model was trained on fan, valve");
  EXPECT_EQ(other_machines({{"fan", 3}, {"", 4}}, {"fan"}), "");
  EXPECT_EQ(other_machines({{"pump", 3}}, {}), "");  // a model that does not say
}

TEST(Machines, OtherThanTheModelsAreRefused) {
  const std::map<std::string, int64_t> clips = {{"fan", 3}, {"pump", 1}, {"", 4}};
  try {
    require_own_machines(clips, {"fan"}, false);
    FAIL() << "another machine's clip was taken";
  } catch (const io::UsageError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("1 clip is of machine pump"), HasSubstr("trained on fan"),
                                    HasSubstr("--other-machines")));
  }
  EXPECT_NO_THROW(require_own_machines(clips, {"fan", "pump"}, false));
  EXPECT_NO_THROW(require_own_machines(clips, {}, false));  // a model that does not say
  EXPECT_NO_THROW(require_own_machines({{"", 4}}, {"fan"}, false));
}

TEST(Machines, ThatAreTrainedTogetherAreNamed) {
  const Folder folder;
  put_recordings(folder, {"0.wav", "1.wav", "2.wav", "3.wav"});
  put(folder / "m.csv",
      "path,split,label,machine\n0.wav,train,normal,fan\n1.wav,train,normal,pump\n"
      "2.wav,train,normal,fan\n3.wav,train,normal,\n");
  expect_done(prepare(folder, "m.csv"));
  EXPECT_THAT(train(folder).out, HasSubstr("note: one model of 2 machines together: fan, pump; --machine"));
  EXPECT_THAT(train(folder, {"--machine", "fan"}).out, Not(HasSubstr("machines together")));
}

}  // namespace
}  // namespace evenflow::experiments::test
