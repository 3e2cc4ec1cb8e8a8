// `evenflow monitor` as a person runs it: its scores are those of `score`, and nothing that happens to it is silent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "frontend/audio.h"
#include "io/shard.h"
#include "tests/experiments/program.h"
#include "tests/experiments/small_world.h"
#include "tests/frontend/sound_files.h"
#include "train/detect/score.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr size_t wav_header = 44;
const Words raw = {"--format", "s16le", "--rate", "16000", "--clip", "0.4"};

Words monitor(const std::string& source, const Words& more) {
  return Words{"monitor", SmallWorld::get().model(), source} + more;
}

/// The small world's recordings, in the order of its shard, and their samples end to end.
struct Recordings {
  Recordings() : shard(SmallWorld::get().shard()) {
    for (const io::Clip& clip : shard.clips()) {
      files.push_back((fs::path(SmallWorld::get().rails()) / clip.path).string());
      pcm += get(files.back()).substr(wav_header);
    }
  }
  io::Shard shard;
  std::vector<std::string> files;
  std::string pcm;
};

/// Those lines of JSON that are of a type.
std::vector<json> lines_of(const std::string& text, const std::string& type) {
  std::vector<json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    json parsed = json::parse(line);
    if (parsed.at("type") == type) {
      lines.push_back(std::move(parsed));
    }
  }
  return lines;
}

TEST(Monitor, ItsScoresAreThoseOfScoreAndEncodeBitByBit) {
  const Recordings recordings;
  const Folder folder;
  put(folder / "all.pcm", recordings.pcm);
  const Outcome outcome = run(monitor("-", raw + Words{"--json", "--per", "window"}), {.in_file = folder / "all.pcm"});
  expect_done(outcome);
  train::Detector detector(SmallWorld::get().model(), "cpu", 1);
  const std::vector<train::ClipScore> scores = detector.score(recordings.shard);
  const std::vector<json> clips = lines_of(outcome.out, "clip"), windows = lines_of(outcome.out, "window");
  ASSERT_EQ(clips.size(), scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    EXPECT_EQ(clips[i].at("score").get<double>(), scores[i].score);
    EXPECT_EQ(clips[i].at("estimate").at("velocity_mm_s").get<double>(), scores[i].estimate.front());
    EXPECT_EQ(clips[i].at("clip"), i + 1);
  }
  size_t seen = 0;
  detector.score_windows(recordings.shard, {},
                         [&](size_t clip, const flow::WindowScores& of_shard, int64_t first, int64_t end) {
                           for (int64_t w = first; w < end; ++w, ++seen) {
                             ASSERT_LT(seen, windows.size());
                             EXPECT_EQ(windows[seen].at("clip"), clip + 1);
                             EXPECT_EQ(windows[seen].at("scores").at("nll").get<double>(), of_shard.of(w, "nll"));
                           }
                         });
  EXPECT_EQ(seen, windows.size());
}

TEST(Monitor, AWavStreamAtAnotherRateWithTwoChannelsIsHeardAsItsFileIsScored) {
  const Folder folder;
  std::vector<float> sound = frontend::test::noise(0.3, 2 * 3 * 22050);
  const auto clip = [&](size_t i) {
    return std::vector<float>(sound.begin() + i * 2 * 22050, sound.begin() + (i + 1) * 2 * 22050);
  };
  const frontend::test::SoundFormat format{SF_FORMAT_WAV | SF_FORMAT_PCM_24, 44100, 2};
  frontend::test::write_sound(folder / "all.wav", sound, format);
  const Outcome outcome = run(monitor("-", {"--clip", "0.5", "--json"}), {.in_file = folder / "all.wav"});
  expect_done(outcome);
  const std::vector<json> clips = lines_of(outcome.out, "clip");
  ASSERT_EQ(clips.size(), 3u);
  train::Detector detector(SmallWorld::get().model(), "cpu", 1);
  for (size_t i = 0; i < 3; ++i) {
    frontend::test::write_sound(folder / "one.wav", clip(i), format);
    EXPECT_EQ(clips[i].at("score").get<double>(), detector.score(folder / "one.wav").score) << i;
  }
}

TEST(Monitor, SoundBehindWhatAWavHeaderTellsOfIsSaid) {
  const Folder folder;
  const Recordings recordings;
  put(folder / "two.wav", get(recordings.files[0]) + get(recordings.files[1]));
  const Outcome outcome = run(monitor("-", {"--clip", "0.4"}), {.in_file = folder / "two.wav"});
  expect_done(outcome);
  EXPECT_THAT(outcome.out, HasSubstr("behind the sound that its WAV header tells of were not heard"));
}

TEST(Monitor, AFileThatIsFollowedIsHeardBeyondWhatItsWavHeaderTells) {
  const Folder folder;
  const Recordings recordings;
  const std::string file = folder / "growing.wav";
  put(file, get(recordings.files[0]));
  Program program(monitor(file, {"--follow", "--clip", "0.4"}));
  const auto says = [&](const std::string& text) {
    return program.wait_until([&] { return program.out().find(text) != std::string::npos; });
  };
  ASSERT_TRUE(says("clip 1 ")) << program.out();
  put(file, get(recordings.files[0]) + recordings.pcm);
  const size_t clips = (get(file).size() - wav_header) / 12800;
  ASSERT_TRUE(says("clip " + std::to_string(clips) + " ")) << program.out();
  program.send(SIGTERM);
  EXPECT_EQ(program.finish().code, 0);
}

TEST(Monitor, AnAlarmIsSaidAndRunsItsCommand) {
  const Recordings recordings;
  const Folder folder;
  put(folder / "all.pcm", recordings.pcm);
  const std::string command = "(echo $EVENFLOW_EVENT $EVENFLOW_ALARM; cat) > " + (folder / "alarm");
  const Outcome outcome = run(monitor(
      folder / "all.pcm", raw + Words{"--threshold", "-1e9", "--raise", "2/3", "--shift", "off", "--exec", command}));
  expect_done(outcome);
  EXPECT_THAT(outcome.out, HasSubstr("ALARM fault: 2 of the last 3 clips above -1e+09"));
  EXPECT_THAT(get(folder / "alarm"), HasSubstr("raised fault\n{\"type\":\"event\""));
}

TEST(Monitor, AFaultOfTheSensorIsNoneOfTheMachine) {
  const Recordings recordings;
  const Folder folder;
  put(folder / "all.pcm", recordings.pcm.substr(0, 2 * 6400) + std::string(2 * 6400, '\0') + "rest");
  const Outcome outcome =
      run(monitor(folder / "all.pcm", raw + Words{"--json", "--threshold", "-1e9", "--shift", "off"}));
  expect_done(outcome);
  const std::vector<json> clips = lines_of(outcome.out, "clip"), events = lines_of(outcome.out, "event");
  ASSERT_EQ(clips.size(), 2u);
  EXPECT_EQ(clips[0].at("verdict"), "fault");
  EXPECT_EQ(clips[1].at("verdict"), "sensor");
  EXPECT_EQ(clips[1].at("reason"), "digital silence");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].at("alarm"), "sensor");
  EXPECT_EQ(events[0].at("event"), "raised");
  EXPECT_THAT(events[1].at("text").get<std::string>(), HasSubstr("less than a clip"));
}

/// Clips that a growing file's monitor has said, until it is killed or ended.
int64_t clips_in(const std::string& text) {
  return static_cast<int64_t>(lines_of(text.substr(0, text.rfind('\n') + 1), "clip").size());
}

TEST(Monitor, GoesOnInAGrowingFileAfterItWasKilled) {
  const Recordings recordings;
  const Folder folder;
  const std::string file = folder / "growing.pcm", state = folder / "state.json";
  const Words words =
      monitor(file, raw + Words{"--json", "--follow", "--state", state, "--save-every", "0.1", "--shift", "off"});
  const size_t half = recordings.pcm.size() / 2 + 1000;
  put(file, recordings.pcm.substr(0, half));
  const auto whole = static_cast<int64_t>(recordings.files.size());
  const auto saved = [&](int64_t clips) {
    return fs::exists(state) && json::parse(get(state)).at("machines").at(file).at("watch").at("clips") == clips;
  };
  {
    Program first(words);
    ASSERT_TRUE(first.wait_until([&] { return saved(whole / 2); })) << first.out();
    first.send(SIGKILL);
    first.finish();
  }
  std::ofstream(file, std::ios::app | std::ios::binary) << recordings.pcm.substr(half);
  Program second(words);
  ASSERT_TRUE(second.wait_until([&] { return clips_in(second.out()) == whole - whole / 2; })) << second.out();
  second.send(SIGTERM);
  const Outcome outcome = second.finish();
  expect_done(outcome);
  EXPECT_TRUE(saved(whole));
  const Outcome info = run({"info", state});
  expect_done(info);
  EXPECT_THAT(info.out, HasSubstr("state of a monitor"));
  EXPECT_THAT(info.out, HasSubstr(std::to_string(whole) + " clips"));
  train::Detector detector(SmallWorld::get().model(), "cpu", 1);
  const std::vector<json> clips = lines_of(outcome.out, "clip");
  for (size_t i = 0; i < clips.size(); ++i) {
    const size_t at = static_cast<size_t>(whole / 2) + i;
    EXPECT_EQ(clips[i].at("clip"), at + 1);
    EXPECT_EQ(clips[i].at("score").get<double>(), detector.score(recordings.files[at]).score);
  }
}

TEST(Monitor, AStateThatCannotBeSavedIsSaidAndTheMonitorGoesOn) {
  const Recordings recordings;
  const Folder folder;
  fs::create_directory(folder / "states");
  const std::string file = folder / "growing.pcm";
  put(file, "");
  Program program(monitor(file, raw + Words{"--follow", "--state", folder / "states/s.json", "--save-every", "0.1"}));
  ASSERT_TRUE(program.wait_until([&] { return fs::exists(folder / "states/s.json"); })) << program.out();
  fs::remove_all(folder / "states");
  ASSERT_TRUE(program.wait_until([&] { return program.out().find("is not saved") != std::string::npos; }));
  put(file, recordings.pcm);
  ASSERT_TRUE(program.wait_until([&] { return program.out().find("clip 2 ") != std::string::npos; })) << program.out();
  program.send(SIGINT);
  EXPECT_EQ(program.finish().code, 0);
}

TEST(Monitor, HearsEachRecordingThatIsPutIntoAFolder) {
  const Recordings recordings;
  const Folder folder;
  fs::create_directory(folder / "in");
  fs::copy_file(recordings.files[0], folder / "in/before.wav");
  Program program(monitor(folder / "in", {"--json", "--metrics", "0"}));
  ASSERT_TRUE(program.wait_until([&] { return program.out().find("is heard") != std::string::npos; }));
  fs::copy_file(recordings.files[1], folder / "in/after.wav");
  put(folder / "in/broken.wav", "RIFF");
  ASSERT_TRUE(program.wait_until([&] { return clips_in(program.out()) == 2; })) << program.out();
  program.send(SIGTERM);
  const Outcome outcome = program.finish();
  const std::vector<json> clips = lines_of(outcome.out, "clip");
  EXPECT_THAT(clips[0].at("recording").get<std::string>(), HasSubstr("after.wav"));
  train::Detector detector(SmallWorld::get().model(), "cpu", 1);
  EXPECT_EQ(clips[0].at("score").get<double>(), detector.score(recordings.files[1]).score);
  EXPECT_EQ(clips[1].at("verdict"), "sensor");
  EXPECT_THAT(outcome.out, HasSubstr("http://127.0.0.1:"));
}

/// Runs a monitor on a folder until it has said `clips`, then ends it; the names of what it heard.
std::vector<std::string> heard_in(const Words& words, int64_t clips) {
  Program program(words);
  const auto is_done = [&] {
    const std::string out = program.out();
    return out.find("is heard") != std::string::npos && clips_in(out) == clips;
  };
  EXPECT_TRUE(program.wait_until(is_done)) << program.out();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // for one too many
  program.send(SIGTERM);
  std::vector<std::string> names;
  for (const json& clip : lines_of(program.finish().out, "clip")) {
    names.push_back(fs::path(clip.at("recording").get<std::string>()).filename().string());
  }
  return names;
}

TEST(Monitor, HearsEachRecordingOfAFolderOnceFromOneStartToTheNext) {
  const Recordings recordings;
  const Folder folder;
  fs::create_directories(folder / "in/sub");
  const std::string state = folder / "s.json", odd = "not \xff UTF-8.wav";
  const Words words = monitor(folder / "in", {"--json", "--state", state, "--existing"});
  const auto add = [&](const std::string& name, int hours_from_now) {
    fs::copy_file(recordings.files[0], folder / ("in/" + name), fs::copy_options::overwrite_existing);
    fs::last_write_time(folder / ("in/" + name), fs::file_time_type::clock::now() + std::chrono::hours(hours_from_now));
  };
  add("a.wav", 1);
  add("b.wav", 2);
  add(odd, 3);
  EXPECT_THAT(heard_in(words, 3), ElementsAre("a.wav", "b.wav", HasSubstr("not")));
  add("of an older time.wav", -100);
  add("b.wav", 4);  // the same bytes, written again
  EXPECT_THAT(heard_in(words, 2), ElementsAre("of an older time.wav", "b.wav"));
  EXPECT_THAT(heard_in(words, 0), ElementsAre());
  // A state of version 1 knew the last recording alone.
  json old = json::parse(get(state));
  json& source = old.at("machines").at(folder / "in").at("source");
  source.erase("heard");
  source["name"] = "b.wav";
  source["changed_ns"] =
      std::chrono::duration_cast<std::chrono::nanoseconds>(
          fs::file_time_type::clock::to_sys(fs::last_write_time(folder / "in/b.wav")).time_since_epoch())
          .count();
  put(state, R"({"evenflow":"monitor state","version":1,"machines":)" + old.at("machines").dump() + "}");
  add("c.wav", 5);
  EXPECT_THAT(heard_in(words, 1), ElementsAre("c.wav"));
}

TEST(Monitor, SaysOnceThatSubfoldersAreNotHeard) {
  const Folder folder;
  fs::create_directories(folder / "in/sub");
  Program program(monitor(folder / "in", {}));
  ASSERT_TRUE(program.wait_until([&] { return program.out().find("has subfolders") != std::string::npos; }));
  fs::create_directories(folder / "in/another");
  fs::copy_file(Recordings().files[0], folder / "in/a.wav");
  ASSERT_TRUE(program.wait_until([&] { return program.out().find("a.wav") != std::string::npos; })) << program.out();
  program.send(SIGTERM);
  const std::string said = program.finish().out;
  EXPECT_THAT(said, HasSubstr("such as 'sub', which are not heard; give each as a source of its own"));
  EXPECT_EQ(said.find("has subfolders"), said.rfind("has subfolders"));
}

TEST(Monitor, OneStateHasOneMonitorByWhateverNameAndMayBeginEmpty) {
  const Folder folder;
  const std::string file = folder / "growing.pcm", state = folder / "s.json";
  put(file, "");
  put(state, "");
  fs::create_symlink(state, folder / "link.json");
  const Words words = monitor(file, raw + Words{"--follow", "--save-every", "0.1"});
  Program program(words + Words{"--state", state});
  ASSERT_TRUE(program.wait_until([&] { return !get(state).empty(); })) << program.out();
  expect_refused(run(words + Words{"--state", folder / "link.json"}), 2, {"link.json", "another monitor", "process"});
  program.send(SIGTERM);
  expect_done(program.finish());
  put(file, Recordings().pcm);
  put(state, "years of work");
  const Words once = monitor(file, raw + Words{"--state", folder / "link.json"});
  expect_refused(run(once), 2, {"link.json", "--force"});
  expect_done(run(once + Words{"--force"}));
  EXPECT_THAT(get(state), HasSubstr("\"monitor state\""));
  EXPECT_TRUE(fs::is_symlink(folder / "link.json"));
}

TEST(Monitor, AStreamWithoutSoundIsRefusedAndADeviceWithoutAnyIsSaidOnce) {
  const Folder folder;
  const std::string wav = get(Recordings().files[0]);
  for (const std::string& text : {std::string(), std::string("RI"), wav.substr(0, wav_header)}) {
    put(folder / "empty", text);
    const bool is_wav = text.size() == wav_header;
    for (const std::string& source : {std::string("-"), folder / "empty"}) {
      expect_refused(run(monitor(source, is_wav ? Words{"--clip", "0.4"} : raw), {.in_file = folder / "empty"}), 3,
                     {"ended before any sound came"});
    }
  }
  std::string wide = wav;
  const int channels = 9999;
  wide[22] = static_cast<char>(channels & 0xff);
  wide[23] = static_cast<char>(channels >> 8);
  wide[32] = static_cast<char>(2 * channels & 0xff);
  wide[33] = static_cast<char>(2 * channels >> 8);
  put(folder / "wide.wav", wide);
  expect_refused(run(monitor("-", {"--clip", "0.4"}), {.in_file = folder / "wide.wav"}), 3,
                 {"9999 channels", "1 to 1024"});
  Program program(monitor("/dev/null", raw + Words{"--follow"}));
  ASSERT_TRUE(program.wait_until([&] { return program.out().find("has gone") != std::string::npos; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(1300));
  program.send(SIGTERM);
  const Outcome outcome = program.finish();
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out.find("has gone"), outcome.out.rfind("has gone"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("there again")));
}

TEST(Monitor, HangupReloadsUnderNohupToo) {
  const Folder folder;
  put(folder / "growing.pcm", "");
  const auto before = std::signal(SIGHUP, SIG_IGN);  // which the program inherits
  Program program(monitor(folder / "growing.pcm", raw + Words{"--follow"}));
  std::signal(SIGHUP, before);
  const auto says = [&](const std::string& text) {
    return program.wait_until([&] { return program.out().find(text) != std::string::npos; });
  };
  ASSERT_TRUE(says("is heard")) << program.out();
  program.send(SIGHUP);
  ASSERT_TRUE(says("is reloaded")) << program.out();
  program.send(SIGTERM);
  EXPECT_EQ(program.finish().code, 0);
}

TEST(Monitor, HangupReadsTheModelAnewAndABrokenOneDoesNoHarm) {
  const Folder folder;
  const std::string model = folder / "model.h5", file = folder / "growing.pcm";
  fs::copy_file(SmallWorld::get().model(), model);
  put(file, "");
  Program program(Words{"monitor", model, file, "--follow"} + raw);
  const auto says = [&](const std::string& text) {
    return program.wait_until([&] { return program.out().find(text) != std::string::npos; });
  };
  ASSERT_TRUE(says("is heard"));
  program.send(SIGHUP);
  ASSERT_TRUE(says("is reloaded")) << program.out();
  put(model, "no model");
  program.send(SIGHUP);
  ASSERT_TRUE(says("the old one goes on")) << program.out();
  put(file, Recordings().pcm);
  ASSERT_TRUE(says("clip 2 ")) << program.out();
  program.send(SIGTERM);
  EXPECT_EQ(program.finish().code, 0);
}

TEST(Monitor, HearsSeveralMachinesAtOnceAndOneThatFailsDoesNotEndTheOthers) {
  const Recordings recordings;
  const Folder folder;
  put(folder / "a.pcm", recordings.pcm);
  put(folder / "b.pcm", recordings.pcm);
  const std::string model = "model = \"" + SmallWorld::get().model() + "\"\n",
                    format = "format = \"s16le\"\nrate = 16000\nclip = 0.4\n";
  put(folder / "m.toml", "[[machine]]\nname = \"a\"\nsource = \"a.pcm\"\n" + model + format +
                             "[[machine]]\nname = \"b\"\nsource = \"b.pcm\"\n" + model + format +
                             "[[machine]]\nname = \"c\"\nsource = \"b.pcm\"\n" + model);
  const Outcome outcome = run({"monitor", "--machines", folder / "m.toml", "--json", "--threads", "2"});
  expect_refused(outcome, 3, {"b.pcm", "does not begin with a WAV header", "--format"});
  std::map<std::string, std::vector<double>> scores;
  for (const json& clip : lines_of(outcome.out, "clip")) {
    scores[clip.at("machine").get<std::string>()].push_back(clip.at("score").get<double>());
  }
  EXPECT_EQ(scores["a"].size(), recordings.files.size());
  EXPECT_EQ(scores["a"], scores["b"]);
  EXPECT_EQ(scores["c"].size(), 0u);
}

TEST(Monitor, RefusesWhatCannotBeMonitored) {
  const Folder folder;
  const Recordings recordings;
  put(folder / "a.pcm", recordings.pcm);
  const auto refused = [&](int code, const std::string& source, const Words& more, const Words& names) {
    expect_refused(run(monitor(source, more)), code, names);
  };
  refused(3, folder / "none", raw, {"none", "No such file"});
  refused(3, folder / "a.pcm", {}, {"a.pcm", "does not begin with a WAV header", "--format"});
  refused(2, folder / "a.pcm", {"--format", "s16le"}, {"--rate"});
  refused(3, recordings.files[0], {"--format", "s24le", "--rate", "16000"}, {"s16le", "s24le", "was said"});
  refused(3, recordings.files[0], {"--rate", "8000"}, {"16000", "8000", "was said"});
  refused(2, folder / "a.pcm", {"--format", "s16le", "--rate", "16000", "--clip", "0.1"}, {"too short", "--clip 0."});
  refused(2, folder / "a.pcm", raw + Words{"--score", "nonsense"}, {"nonsense", "nll"});
  refused(2, folder / "a.pcm", raw + Words{"--raise", "5/3"}, {"--raise 5/3", "N/M"});
  refused(2, SmallWorld::get().shard(), {}, {"evenflow score"});
  refused(2, folder / "a.pcm", raw + Words{"--state", folder / "a.pcm"}, {"a.pcm", "cannot be written"});
  put(folder / "other.json", "{}");
  refused(2, folder / "a.pcm", raw + Words{"--state", folder / "other.json"}, {"other.json", "--force"});
  expect_refused(run({"monitor", SmallWorld::get().model()}), 2, {"MODEL and SOURCE"});
  expect_refused(run(monitor("-", raw) + Words{"--machines", folder / "m.toml"}), 2, {"--machines"});
}

TEST(Monitor, AShiftTakesAModelThatEstimates) {
  const SmallWorld& world = SmallWorld::get();
  const Folder folder;
  const std::string run_folder = folder / "run";
  expect_done(run(world.train_words(run_folder, "1") + Words{"--condition.enabled", "false"}));
  put(folder / "a.pcm", Recordings().pcm);
  const Words words = Words{"monitor", run_folder + "/model.h5", folder / "a.pcm"} + raw;
  expect_refused(run(words + Words{"--shift", "range"}), 2, {"estimates no parameter", "--shift range"});
  const Outcome outcome = run(words);
  expect_done(outcome);
  EXPECT_THAT(outcome.out, HasSubstr("a shift cannot be told from a fault"));
}

}  // namespace
}  // namespace evenflow::experiments::test
