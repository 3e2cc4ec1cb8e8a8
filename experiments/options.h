// What a person asked for on the command line, one plain struct per command.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace evenflow::experiments {

/// A configuration key set on the command line: ("train.epochs", "20").
struct KeyFlag {
  std::string key, value;
};

/// A TOML file, if one was given, and the flags that override it.
struct ConfigSource {
  std::optional<std::filesystem::path> file;
  std::vector<KeyFlag> flags;
};

/// The device and CPU threads of a command that runs a model.
struct Compute {
  std::string device = "auto";
  int threads = 0;
};

/// A value asked of a parameter: --at velocity_mm_s=300.
struct ParameterValue {
  std::string name;
  double value = 0;
};

struct PrepareArguments {
  std::filesystem::path input, out;
  ConfigSource config;
  std::string device = "cpu";  ///< of the log-mel
  int threads = 0;
  bool skip_bad = false;
  bool force = false;  ///< replace what is not evenflow's own
};

struct TrainArguments {
  std::vector<std::filesystem::path> shards;
  std::filesystem::path run;
  ConfigSource config;
  bool resume = false, replace = false;
};

struct ScoreArguments {
  std::filesystem::path model, out;
  std::vector<std::filesystem::path> inputs;
  std::string split = "test";  ///< "train", "test" or "all"
  bool skip_bad = false;
  Compute compute;
  bool force = false;  ///< replace what is not evenflow's own
};

struct EvaluateArguments {
  std::vector<std::filesystem::path> scores;
  std::optional<std::filesystem::path> model, out, dcase;
  std::vector<std::filesystem::path> training;
  bool force = false;  ///< replace what is not evenflow's own
};

struct EncodeArguments {
  std::filesystem::path model, shard, out;
  Compute compute;
  bool force = false;  ///< replace what is not evenflow's own
};

struct SampleArguments {
  std::filesystem::path model, out;
  std::vector<ParameterValue> at;
  std::optional<std::filesystem::path> from, picture;
  int64_t count = 8;
  double temperature = 0.7;
  uint64_t seed = 1;
  Compute compute;
  bool force = false;  ///< replace what is not evenflow's own
};

struct InfoArguments {
  std::filesystem::path file;
};

/// What is not given is the preset's.
struct SynthArguments {
  std::filesystem::path out;
  std::string preset = "demo";
  std::vector<double> train_velocities_mm_s, test_velocities_mm_s, train_distances_mm, test_distances_mm;
  std::optional<int> train_clips, normal_clips, anomaly_clips;  ///< per velocity and distance
  std::optional<double> duration_s, severity;
  uint64_t seed = 1;
  int threads = 0;
  bool force = false;  ///< replace what is not evenflow's own
};

struct ProfileArguments {
  ConfigSource config;
  int repeat = 20;
  bool warm = false, nvtx = false;
  std::optional<std::filesystem::path> out, compare;
  bool force = false;  ///< replace what is not evenflow's own
};

struct StudyArguments {
  std::filesystem::path manifest, out;
  ConfigSource config;
  int seeds = 5;
  bool force = false;  ///< replace what is not evenflow's own
};

struct PaperArguments {
  std::filesystem::path out = "paper";
  bool quick = false, miniature = false;
  std::optional<int64_t> seeds, epochs;
  Compute compute;
  bool force = false;  ///< replace what is not evenflow's own
};

struct ReportArguments {
  std::filesystem::path run;
  std::vector<std::filesystem::path> features;
  std::optional<std::filesystem::path> out;
  Compute compute;
  bool force = false;  ///< replace what is not evenflow's own
};

/// Nothing to run: a text to print (--help, --version).
struct ShowText {
  std::string text;
};

using Command = std::variant<ShowText, PrepareArguments, TrainArguments, ScoreArguments, EvaluateArguments,
                             EncodeArguments, SampleArguments, InfoArguments, SynthArguments, ProfileArguments,
                             StudyArguments, PaperArguments, ReportArguments>;

}  // namespace evenflow::experiments
