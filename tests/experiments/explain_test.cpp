// evenflow explain and sample --audio, through the program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "tests/experiments/small_world.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

std::string a_recording() {
  return fs::directory_iterator(fs::path(SmallWorld::get().rails()) / "test")->path().string();
}

TEST(Explain, PrintsAFewLines) {
  const Outcome outcome = run({"explain", SmallWorld::get().model(), a_recording()});
  expect_done(outcome);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr(a_recording() + ": nll "), HasSubstr("z1 "), HasSubstr("log_det "),
                                 HasSubstr("velocity_mm_s: estimated"), HasSubstr("nearest normal clips: train/")));
  EXPECT_THAT(run({"explain", SmallWorld::get().model(), a_recording(), "--score", "score_nearest"}).out,
              HasSubstr("score_nearest is no sum over the sound"));
}

TEST(Explain, JsonIsForMachines) {
  const Outcome outcome =
      run({"explain", SmallWorld::get().model(), a_recording(), "--json", "--at", "velocity_mm_s=200"});
  expect_done(outcome);
  const nlohmann::json json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["clip"], a_recording());
  EXPECT_EQ(json["score"], "nll");
  double sum = 0;
  for (const double share : json["by_band"]) {
    sum += share;
  }
  EXPECT_TRUE(std::abs(sum - json["divided_value"].get<double>()) <= 1e-6 * std::abs(sum));
  EXPECT_EQ(json["by_band"].size(), json["band_hz"].size());
  EXPECT_EQ(json["estimates"][0]["asked"], 200);
  EXPECT_EQ(json["nearest"].size(), 5U);
  EXPECT_TRUE(json["findings"].is_array());
}

TEST(Explain, ThePageHoldsAllItShows) {
  const Folder folder;
  const std::string page = folder / "clip.html";
  const Words words = {"explain", SmallWorld::get().model(), a_recording(), "--at", "velocity_mm_s=200", "--page",
                       page};
  expect_done(run(words));
  const std::string html = get(page);
  EXPECT_THAT(html, AllOf(Not(HasSubstr("http://")), Not(HasSubstr("https://")), Not(HasSubstr("src=\"/"))));
  EXPECT_THAT(html, AllOf(HasSubstr("data:image/png;base64,"), HasSubstr("data:audio/wav;base64,"),
                          HasSubstr("share of nll"), HasSubstr("gradient × input"), HasSubstr("should have had")));
  EXPECT_LT(html.size(), 1U << 20U);
  expect_done(run(words));  // its own page is replaced
  put(page, "years of work\n");
  expect_refused(run(words), 2, {page, "--force"});
  expect_done(run(words + Words{"--force"}));
}

/// 16 bits, one channel, as synth writes them.
class Samples {
 public:
  explicit Samples(std::string wav) : wav_(std::move(wav)) {}
  size_t size() const { return (wav_.size() - head) / 2; }
  void change(const std::function<double(size_t, double)>& changed) {
    for (size_t i = 0; i < size(); ++i) {
      int16_t value = 0;
      std::memcpy(&value, wav_.data() + head + 2 * i, 2);
      const double scaled = std::clamp(std::round(changed(i, value)), -32768.0, 32767.0);
      value = static_cast<int16_t>(scaled);
      std::memcpy(wav_.data() + head + 2 * i, &value, 2);
    }
  }
  const std::string& wav() const { return wav_; }

 private:
  static constexpr size_t head = 44;
  std::string wav_;
};

// A model hears a louder machine as a faster one, whose normal sound gave the wrong words.
TEST(Explain, NamesWhatItIsWhetherTheSpeedIsSaidOrNot) {
  const Folder folder;
  const std::string rails = folder / "rails", shard = folder / "s.h5", config = folder / "c.toml",
                    model = "run/model.h5";
  put(config,
      "[window]\nwindow_frames = 8\nwindow_hop_frames = 4\n[model]\nblocks = 1\nsteps = 2\nhidden = 8\n"
      "[train]\nbatch = 16\nthreads = 1\nlearning_rate = 1e-3\n");
  expect_done(run({"synth", rails, "--train-velocities", "100,200,300,400,500,600", "--test-velocities", "250,350",
                   "--train-distances", "500", "--test-distances", "500", "--train-clips", "6", "--normal-clips", "1",
                   "--anomaly-clips", "1", "--duration", "2"}));
  expect_done(run({"prepare", rails + "/manifest.csv", "--out", shard, "--config", config}));
  expect_done(run({"train", shard, "--run", folder / "run", "--config", config, "--epochs", "6"}));
  struct Change {
    std::string kind, word;
    std::function<double(size_t, double)> samples;
  };
  uint64_t state = 1;
  const std::vector<Change> changes = {
      {"level", "the level of the whole spectrum is 1? ?[0-9]+ dB above", [](size_t, double x) { return 4.0 * x; }},
      {"level", "the level of the whole spectrum is 1? ?[0-9]+ dB below", [](size_t, double x) { return 0.2 * x; }},
      {"tone", "a tone between 2\\.",
       [](size_t i, double x) {
         return x + 1500.0 * std::sin(static_cast<double>(i) * 2.0 * 3.14159265 * 2600 / 16000);
       }},
      {"burst", "a burst at (0\\.9|1\\.0)", [&](size_t i, double x) {
         state = state * 6364136223846793005ULL + 1442695040888963407ULL;
         const double noise = static_cast<double>(state >> 40U) / static_cast<double>(1U << 24U) - 0.5;
         return x + (i >= 16000 && i < 17000 ? 12000.0 * noise : 0.0);
       }}};
  for (const std::string speed : {"250", "350"}) {
    const std::string clip = rails + "/test/normal_0" + speed + "mm_s_500mm_00.wav";
    for (const Change& change : changes) {
      Samples samples(get(clip));
      samples.change(change.samples);
      put(folder / "c.wav", samples.wav());
      const Words words = {"explain", folder / model, folder / "c.wav", "--json"};
      for (const bool said : {true, false}) {
        SCOPED_TRACE(speed + " " + change.word + (said ? " said" : " not said"));
        const Outcome outcome = run(said ? words + Words{"--at", "velocity_mm_s=" + speed} : words);
        ASSERT_EQ(outcome.code, 0) << outcome.err;
        const nlohmann::json json = nlohmann::json::parse(outcome.out);
        ASSERT_FALSE(json["findings"].empty());
        EXPECT_EQ(json["findings"][0]["kind"], change.kind) << json["findings"].dump(1);
        EXPECT_THAT(json["findings"][0]["text"].get<std::string>(), ContainsRegex(change.word));
        const std::string from = json["compared_at"][0]["from"];
        EXPECT_EQ(from == "given", said);
        EXPECT_THAT(json["where"].get<std::string>(), HasSubstr(said                 ? " at velocity_mm_s = " + speed
                                                                : from == "estimate" ? " (estimated)"
                                                                                     : " (by its spectrum)"));
        if (!said && change.kind == "level") {
          EXPECT_EQ(from, "spectrum");
          EXPECT_TRUE(std::abs(json["compared_at"][0]["value"].get<double>() - std::stod(speed)) <= 50.0)
              << json["compared_at"].dump();
        }
      }
      if (change.kind == "level") {
        EXPECT_THAT(run({"explain", folder / model, folder / "c.wav"}).out,
                    AllOf(HasSubstr("Its spectrum is that of normal clips at "), HasSubstr(" dB "),
                          HasSubstr("not with clips at the estimate, "), HasSubstr("--at says")));
      }
    }
  }
}

TEST(Explain, ComparesWithOtherNormalClips) {
  const std::string shard = SmallWorld::get().shard();
  EXPECT_THAT(run({"explain", SmallWorld::get().model(), a_recording(), "--normals", shard}).out,
              HasSubstr("nearest normal clips: "));
  expect_done(run({"explain", SmallWorld::get().model(), a_recording(), "--normals", SmallWorld::get().manifest()}));
}

TEST(Explain, WrongRequestsAreOneSentence) {
  const Folder folder;
  const std::string model = SmallWorld::get().model(), clip = a_recording();
  expect_refused(run({"explain", model}), 2, {"CLIP is required"});
  expect_refused(run({"explain", model, folder / "none.wav"}), 3, {"none.wav"});
  expect_refused(run({"explain", clip, clip}), 3, {clip});
  expect_refused(run({"explain", model, clip, "--score", "score_x"}), 2, {"no score 'score_x'", "nll"});
  expect_refused(run({"explain", model, clip, "--at", "load=3"}), 2, {"load", "velocity_mm_s"});
  expect_refused(run({"explain", model, clip, "--at", "velocity_mm_s"}), 2, {"--at velocity_mm_s=300"});
  expect_refused(run({"explain", model, clip, "--at", "velocity_mm_s=1e300"}), 2,
                 {"no finite sound at velocity_mm_s = 1e+300", "evenflow info"});
  expect_refused(run({"explain", model, clip, "--at", "velocity_mm_s=1", "--at", "velocity_mm_s=2"}), 2,
                 {"--at gives 'velocity_mm_s' twice"});
  std::string one = get(clip).substr(0, 46);
  one[4] = 38;
  one[40] = 2;
  std::fill(one.begin() + 5, one.begin() + 8, '\0');
  std::fill(one.begin() + 41, one.begin() + 44, '\0');
  put(folder / "one.wav", one);
  const Outcome short_one = run({"explain", model, folder / "one.wav"});
  expect_refused(short_one, 3, {"one.wav", "too short: 1 sample at"});
  EXPECT_THAT(short_one.err, Not(HasSubstr("pad_mode")));
  expect_refused(run({"explain", model, clip, "--page", clip}), 2, {clip, "which is read"});
  expect_refused(run({"explain", model, clip, "--page", model}), 2, {model, "which is read"});
  expect_refused(run({"explain", model, clip, "--normals", clip}), 3, {"1 normal clip", "takes two"});
}

TEST(SampleAudio, IsAWavOfTheWindows) {
  const Folder folder;
  const std::string model = SmallWorld::get().model(), wav = folder / "s.wav";
  const Words words = {"sample", "--model", model, "-n", "3", "--audio", wav};
  expect_done(run(words));
  const std::string first = get(wav);
  EXPECT_THAT(first.substr(0, 4), "RIFF");
  EXPECT_EQ(first.size(), 74U + 2U * (3 * 8 - 1) * 512);
  expect_done(run(words));
  EXPECT_EQ(get(wav), first);
  expect_done(run({"info", wav}));
  expect_done(run({"sample", "--model", model, "--from", a_recording(), "--at", "velocity_mm_s=200", "--audio", wav}));
  expect_refused(run({"sample", "--model", model, "--audio", folder / "s.flac"}), 2, {"s.flac", "WAV", ".wav"});
  expect_refused(run({"sample", "--model", model, "--audio", folder / "s.mp3"}), 2,
                 {"s.mp3' would hold sound (WAV), but its ending says sound that is not WAV; give it the ending .wav"});
  std::string silent = get(a_recording());
  std::fill(silent.begin() + 44, silent.end(), '\0');
  put(folder / "silent.wav", silent);
  expect_refused(run({"sample", "--model", model, "--from", folder / "silent.wav", "--at", "velocity_mm_s=200",
                      "--audio", folder / "m.wav"}),
                 3, {"silent.wav", "silence cannot be moved"});
  fs::copy_file(a_recording(), folder / "own.wav");
  expect_refused(run({"sample", "--model", model, "--audio", folder / "own.wav"}), 2, {"own.wav", "--force"});
  expect_refused(run({"sample", "--model", model, "--from", folder / "own.wav", "--at", "velocity_mm_s=200", "--audio",
                      folder / "own.wav", "--force"}),
                 2, {"own.wav", "which is read"});
}

}  // namespace
}  // namespace evenflow::experiments::test
