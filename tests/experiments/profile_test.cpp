// The profiler: what it counts, what it measures of a small model on the CPU, its files, and how profiles compare.
#include "experiments/profile/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "experiments/profile/recorder.h"
#include "experiments/profile/report.h"
#include "io/error.h"
#include "tests/experiments/program.h"

namespace evenflow::experiments {
namespace {

using nlohmann::json;
using test::Folder;
using test::Outcome;
using ::testing::HasSubstr;

// Two blocks of two steps on windows of 16 bands x 8 frames.
ProfileSettings small() {
  ProfileSettings settings;
  settings.config.augment = io::AugmentSettings::none();
  settings.config.model.blocks = 2;
  settings.config.model.steps = 2;
  settings.config.model.hidden = 4;
  settings.config.frontend.mel_bands = 16;
  settings.config.window.window_frames = 8;
  settings.config.train.device = "cpu";
  settings.config.train.threads = 2;
  settings.config.train.batch = 6;
  settings.repeat = 3;
  settings.warm = true;
  return settings;
}

const std::vector<std::string> small_flags = {"--device",
                                              "cpu",
                                              "--threads",
                                              "2",
                                              "--batch",
                                              "6",
                                              "--repeat",
                                              "3",
                                              "--model.blocks",
                                              "2",
                                              "--model.steps",
                                              "2",
                                              "--model.hidden",
                                              "4",
                                              "--frontend.mel_bands",
                                              "16",
                                              "--window.window_frames",
                                              "8"};

// Pairs of an option and its value among `more` replace the small ones.
Outcome run_program(std::vector<std::string> more) {
  std::vector<std::string> arguments = {"profile"};
  for (size_t i = 0; i < small_flags.size(); i += 2) {
    if (std::find(more.begin(), more.end(), small_flags[i]) != more.end()) {
      continue;
    }
    arguments.insert(arguments.end(), {small_flags[i], small_flags[i + 1]});
  }
  arguments.insert(arguments.end(), more.begin(), more.end());
  return test::run(arguments);
}

const Profile& small_profile() {
  static const Profile profile = run_profile(small());
  return profile;
}

std::set<std::string> call_names(const Profile& profile) {
  std::set<std::string> names;
  for (const ProfiledOperation& row : profile.rows) {
    for (const ProfiledCall& call : row.calls) {
      names.insert(call.name);
    }
  }
  return names;
}

// Every time of `profile` by `factor`.
json slowed(json profile, double factor) {
  const auto slow = [&](json& seconds) {
    for (auto& [name, value] : seconds.items()) {
      value = value.get<double>() * factor;
    }
  };
  slow(profile["step"]["seconds"]);
  for (json& row : profile["operations"]) {
    slow(row["seconds"]);
  }
  return profile;
}

TEST(ProfileSpread, PercentilesAreInterpolated) {
  const Spread spread = spread_of({5, 1, 4, 2, 3, 6, 7, 8, 9, 10, 11});
  EXPECT_DOUBLE_EQ(spread.median, 6);
  EXPECT_DOUBLE_EQ(spread.p10, 2);
  EXPECT_DOUBLE_EQ(spread.p90, 10);
  EXPECT_DOUBLE_EQ(spread_of({3}).p90, 3);
  EXPECT_DOUBLE_EQ(spread_of({1, 2}).median, 1.5);
}

TEST(ProfileRecorder, PhasesPlacesOperationsAndParts) {
  kernels::Stream stream;
  Recorder recorder(stream, {"forward"}, 4096, nullptr);
  stream.set_tracer(&recorder);
  const auto operation = [&](const char* name, int parts) {
    const kernels::TraceRange range(stream, name, kernels::Cost{100, 10});
    for (int i = 0; i < parts; ++i) {
      const kernels::TraceRange part(stream, "part", kernels::Cost{0, 3});
    }
  };
  const auto step = [&] {
    {
      const kernels::TraceRange phase(stream, "forward");
      {
        const kernels::TraceRange place(stream, "block1.step2");
        operation("coupling_forward", 2);
        operation("coupling_forward", 1);
      }
      operation("squeeze", 0);
    }
    operation("alone", 0);
    recorder.next();
  };
  step();
  recorder.set_mode(Recorder::Mode::count);
  step();
  recorder.set_mode(Recorder::Mode::time);
  step();
  step();
  stream.set_tracer(nullptr);
  // What the operations count of themselves: a part's is the sum of its ranges.
  EXPECT_EQ(recorder.calls()[0].cost.bytes, 100);
  EXPECT_EQ(recorder.calls()[0].cost.flop, 10);
  EXPECT_EQ(recorder.calls()[1].cost.flop, 6);
  EXPECT_EQ(recorder.calls()[3].cost.flop, 3);
  std::vector<std::string> heard;
  for (const RecordedCall& call : recorder.calls()) {
    heard.push_back(call.phase + " " + call.place + " " + call.operation + " " + std::to_string(call.occurrence));
    EXPECT_EQ(call.seconds.size(), 2U);
    EXPECT_EQ(call.part, call.operation.find('/') != std::string::npos);
  }
  EXPECT_EQ(heard, (std::vector<std::string>{
                       "forward block1.step2 coupling_forward 0", "forward block1.step2 coupling_forward/part 0",
                       "forward block1.step2 coupling_forward 1", "forward block1.step2 coupling_forward/part 1",
                       "forward  squeeze 0", "  alone 0"}));
}

TEST(Profile, HasEveryOperationOfTheModel) {
  const std::set<std::string> names = call_names(small_profile());
  std::set<std::string> expected = {"gather_windows",
                                    "invconv_assemble_plu",
                                    "coupling_pack",
                                    "constant_log_det",
                                    "gaussian_moments",
                                    "latent_loss",
                                    "gaussian_squares",
                                    "gaussian_squares 2",
                                    "gaussian_backward",
                                    "gaussian_backward 2",
                                    "gaussian_backward 3",
                                    "forward.zero",
                                    "loss.zero",
                                    "backward.zero",
                                    "sum_rows",
                                    "invconv_plu_backward",
                                    "actnorm_log_det_backward",
                                    "squared_norm",
                                    "guarded_update",
                                    "block1.squeeze",
                                    "block2.squeeze",
                                    "block2.step1.unsqueeze"};
  for (const char* step : {"block1.step1.", "block1.step2.", "block2.step1.", "block2.step2."}) {
    for (const char* operation :
         {"actnorm_invconv_forward", "coupling_forward", "coupling_backward", "actnorm_invconv_backward"}) {
      expected.insert(std::string(step) + operation);
    }
  }
  EXPECT_EQ(names, expected);
}

TEST(Profile, AnAugmentedStepDrawsItsChanges) {
  ProfileSettings settings = small();
  settings.config.augment = {.speed = 60, .noise = 0.2};
  const Profile profile = run_profile(settings);
  EXPECT_TRUE(call_names(profile).contains("draw_changes"));
  EXPECT_FALSE(call_names(small_profile()).contains("draw_changes"));
}

TEST(Profile, SharesTimesAndCountsFitTogether) {
  const Profile& profile = small_profile();
  double share = 0, flop = 0;
  for (const ProfiledOperation& row : profile.rows) {
    EXPECT_GT(row.seconds.median, 0) << row.operation;
    EXPECT_LE(row.seconds.p10, row.seconds.median) << row.operation;
    EXPECT_LE(row.seconds.median, row.seconds.p90) << row.operation;
    EXPECT_GT(row.cost.bytes, 0) << row.operation;
    EXPECT_GE(row.share, 0);
    share += row.share;
    flop += row.cost.flop;
    for (const ProfiledPart& part : row.parts) {
      EXPECT_LE(part.seconds.median, row.seconds.p90) << part.name;
    }
  }
  EXPECT_NEAR(share, 1, 1e-9);
  EXPECT_NEAR(flop, profile.step_flop, 1e-6 * flop);
  EXPECT_GT(profile.forward_flop, 0);
  EXPECT_LT(profile.forward_flop, profile.step_flop / 6);
  EXPECT_GT(profile.whole.median, 0);
  EXPECT_EQ(profile.at_once, 1);
  EXPECT_EQ(profile.windows, 6);
  EXPECT_EQ(profile.threads, 2);
  EXPECT_GT(profile.ceilings.copy, 0);
  EXPECT_TRUE(profile.ceilings.gemm_missing.empty() == (profile.ceilings.gemm[0] > 0));
  // A window's operations are called once per window, the others once.
  for (const ProfiledOperation& row : profile.rows) {
    for (const ProfiledCall& call : row.calls) {
      const bool once = call.phase == "assemble" || call.phase == "update";
      EXPECT_EQ(call.per_step, once ? 1 : 6) << call.name;
    }
  }
}

TEST(Profile, ForwardOfThePapersModelIsAboutNinetyMegaflop) {
  ProfileSettings settings = small();
  settings.config = io::Config();
  settings.config.augment = io::AugmentSettings::none();
  settings.config.train.device = "cpu";
  settings.config.train.batch = 1;
  settings.config.train.threads = 1;
  const Profile profile = run_profile(settings);
  EXPECT_NEAR(profile.forward_flop, 90.4e6, 2.5e6) << "products and what is element by element";
  EXPECT_NEAR(profile.step_flop, 3 * 90.4e6, 12e6);
}

TEST(Profile, DenseMatricesAndNoParameters) {
  ProfileSettings settings = small();
  settings.config.model.invconv = io::InvconvKind::dense;
  settings.config.condition.enabled = false;
  const std::set<std::string> names = call_names(run_profile(settings));
  EXPECT_TRUE(names.contains("invconv_assemble_dense"));
  EXPECT_TRUE(names.contains("invconv_dense_backward"));
}

TEST(ProfileJson, SaysWhatWasMeasuredAndEverythingThatWas) {
  const json profile = to_json(small_profile());
  EXPECT_EQ(profile.at("format"), "evenflow profile");
  EXPECT_EQ(profile.at("device").at("name"), "cpu");
  EXPECT_FALSE(profile.at("commit").get<std::string>().empty());
  EXPECT_THAT(profile.at("config").get<std::string>(), HasSubstr("hidden = 4"));
  EXPECT_EQ(profile.at("identity").at("batch"), 6);
  EXPECT_EQ(profile.at("operations").size(), small_profile().rows.size());
  size_t calls = 0;
  for (const json& row : profile.at("operations")) {
    calls += row.at("calls").size();
  }
  EXPECT_EQ(calls, call_names(small_profile()).size());
  EXPECT_EQ(json::parse(profile.dump()), profile);
}

TEST(ProfileCompare, AProfileIsNotSlowerThanItself) {
  const json profile = to_json(small_profile());
  const std::vector<Change> changes = compare(profile, profile);
  EXPECT_EQ(changes.size(), small_profile().rows.size() + 1);
  for (const Change& change : changes) {
    EXPECT_FALSE(change.slower) << change.what;
    EXPECT_DOUBLE_EQ(change.ratio(), 1);
  }
}

TEST(ProfileCompare, SlowerIsBeyondFivePerCentAndTheSpread) {
  json old = to_json(small_profile());
  const auto set = [](json& profile, double p10, double median, double p90) {
    profile["step"]["seconds"] = {{"p10", p10}, {"median", median}, {"p90", p90}};
  };
  const auto slower = [&](double p10, double median, double p90) {
    json now = old;
    set(now, p10, median, p90);
    return compare(old, now).front().slower;
  };
  set(old, 0.99, 1, 1.01);
  EXPECT_TRUE(slower(1.09, 1.1, 1.11));
  EXPECT_FALSE(slower(1.03, 1.04, 1.05)) << "4 %";
  EXPECT_FALSE(slower(0.9, 1.1, 1.3)) << "within the spread";
  EXPECT_FALSE(slower(0.4, 0.5, 0.6)) << "faster";
  for (const Change& change : compare(to_json(small_profile()), slowed(to_json(small_profile()), 1000))) {
    EXPECT_TRUE(change.slower) << change.what;
  }
}

TEST(ProfileCompare, OnlyOfOneDeviceAndConfiguration) {
  const ProfileSettings settings = small();
  const json old = to_json(small_profile());
  EXPECT_NO_THROW(require_comparable(old, "old.json", settings));
  const auto refusal = [&](const json& other, const ProfileSettings& now) -> std::string {
    try {
      require_comparable(other, "old.json", now);
    } catch (const io::UsageError& error) {
      return error.what();
    }
    return "";
  };
  ProfileSettings other = settings;
  other.config.train.batch = 7;
  EXPECT_THAT(refusal(old, other), HasSubstr("'old.json' was measured with batch 6 and this profile has 7"));
  other = settings;
  other.warm = false;
  EXPECT_THAT(refusal(old, other), HasSubstr("caches 'warm'"));
  json elsewhere = old;
  elsewhere["identity"]["device"] = "another machine";
  EXPECT_THAT(refusal(elsewhere, settings), HasSubstr("device 'another machine'"));
  const size_t depth = 200000;
  elsewhere["identity"]["device"] = json::parse(std::string(depth, '[') + std::string(depth, ']'));
  EXPECT_THAT(refusal(elsewhere, settings), HasSubstr("measured with device no single value"));
  elsewhere["identity"].erase("device");
  EXPECT_THAT(refusal(elsewhere, settings), HasSubstr("device nothing"));
}

TEST(ProfileCompare, BadFilesAreNamed) {
  const Folder folder;
  for (const char* text : {"", "{", "[]", "{}", R"({"format": "evenflow profile"})", R"({"format": 3, "identity": {}})",
                           R"({"format": "evenflow profile", "identity": 1, "format_version": 1})",
                           R"({"format": "evenflow profile", "identity": {}, "format_version": 99})"}) {
    test::put(folder / "old.json", text);
    EXPECT_THROW(read_profile(folder / "old.json"), io::DataError) << text;
  }
  EXPECT_THROW(read_profile(folder / "none.json"), io::DataError);
  json damaged = to_json(small_profile());
  damaged["operations"][0].erase("seconds");
  EXPECT_THROW(compare(damaged, to_json(small_profile())), io::DataError);
  damaged["operations"] = 1;
  EXPECT_THROW(compare(damaged, to_json(small_profile())), io::DataError);
}

TEST(ProfileProgram, WritesATableAndItsFiles) {
  const Folder folder;
  const Outcome outcome = run_program({"--warm", "--out", folder / "profile"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("coupling_backward"));
  EXPECT_THAT(outcome.out, HasSubstr("conv2_weight_gradient"));
  EXPECT_THAT(outcome.out, HasSubstr("Whole step (2 threads)"));
  const json profile = read_profile(folder / "profile/profile.json");
  EXPECT_EQ(profile.at("repeat"), 3);
  const std::string csv = test::get(folder / "profile/profile.csv");
  EXPECT_EQ(static_cast<size_t>(std::count(csv.begin(), csv.end(), '\n')), call_names(small_profile()).size() + 1);
  EXPECT_THAT(test::get(folder / "profile/roofline.gp"), HasSubstr("coupling_forward"));
  if (outcome.out.find("no picture: gnuplot is not installed") == std::string::npos) {
    EXPECT_THAT(test::get(folder / "profile/roofline.svg"), HasSubstr("<svg"));
  }
}

TEST(ProfileProgram, ClearsTheCachesUnlessToldNotTo) {
  const Folder folder;
  ASSERT_EQ(run_program({"--out", folder.path().string()}).code, 0);
  EXPECT_EQ(read_profile(folder / "profile.json").at("identity").at("caches"), "cleared");
}

TEST(ProfileProgram, WithoutGnuplotTheRestIsThere) {
  const Folder folder;
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", folder.path().c_str(), 1);
  const Outcome outcome = run_program({"--warm", "--out", folder / "profile"});
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("no picture: gnuplot is not installed"));
  EXPECT_EQ(Folder().files().size(), 0U);
  EXPECT_EQ(folder.files(),
            (std::vector<std::string>{"profile/profile.csv", "profile/profile.json", "profile/roofline.gp"}));
}

TEST(ProfileProgram, CompareSaysWhatBecameSlower) {
  const Folder folder;
  ASSERT_EQ(run_program({"--warm", "--out", folder.path().string()}).code, 0);
  const json profile = read_profile(folder / "profile.json");
  test::put(folder / "faster.json", slowed(profile, 1e-3).dump());
  const Outcome slower = run_program({"--warm", "--compare", folder / "faster.json"});
  EXPECT_EQ(slower.code, 1) << slower.err;
  EXPECT_THAT(slower.out, HasSubstr("slower, by more than 5 %"));
  test::put(folder / "slower.json", slowed(profile, 1e3).dump());
  const Outcome faster = run_program({"--warm", "--compare", folder / "slower.json"});
  EXPECT_EQ(faster.code, 0) << faster.err;
}

TEST(ProfileProgram, BadInputs) {
  const Folder folder;
  const auto expect = [&](const std::vector<std::string>& more, int code, const char* text) {
    const Outcome outcome = run_program(more);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(text));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  };
  expect({"--repeat", "0"}, 2, "--repeat");
  expect({"--device", "tpu"}, 2, "tpu");
  expect({"--kernels", "magic"}, 2, "train.kernels");
  expect({"--precision", "int4"}, 2, "train.precision");
  expect({"--window.window_frames", "7"}, 2, "window.window_frames = 7 does not fit");
  expect({"--out"}, 2, "--out");
  expect({"--compare", folder / "none.json"}, 3, "none.json");
  test::put(folder / "text.json", "no profile");
  expect({"--compare", folder / "text.json"}, 3, "is not a profile");
  expect({"--out", folder / "text.json"}, 3, "text.json");
}

}  // namespace
}  // namespace evenflow::experiments
