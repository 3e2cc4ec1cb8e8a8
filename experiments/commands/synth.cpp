// evenflow synth: recordings of a simulated slide rail.
#include "experiments/rail/synth.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <sstream>
#include <string>
#include <system_error>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "io/atomic_file.h"
#include "io/output_folder.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

/// What is not given is the preset's.
struct SynthArguments {
  fs::path out;
  std::string preset = "demo";
  std::vector<double> train_velocities_mm_s, test_velocities_mm_s, train_distances_mm, test_distances_mm;
  std::optional<int> train_clips, normal_clips, anomaly_clips;  ///< per velocity, distance and tool
  int tools = 1;
  bool stroke_column = false;
  std::optional<double> duration_s, severity, background, tonality, variation;
  uint64_t seed = 1;
  int threads = 0;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, SynthArguments& arguments) {
  options.file("OUT", arguments.out, "the folder to make").required().shown_as("FOLDER");
  options.word("--preset", arguments.preset, {"demo", "paper"},
               "\"paper\": 510 clips; \"demo\": the same conditions, fewer clips; the options below change it");
  options.numbers("--train-velocities", arguments.train_velocities_mm_s, "of the training clips, mm/s");
  options.numbers("--test-velocities", arguments.test_velocities_mm_s, "of the test clips, mm/s");
  options.numbers("--train-distances", arguments.train_distances_mm, "stroke of the training clips, mm");
  options.numbers("--test-distances", arguments.test_distances_mm, "stroke of the test clips, mm");
  options.number("--train-clips", arguments.train_clips, 0, 100000, "normal training clips per velocity and distance");
  options.number("--normal-clips", arguments.normal_clips, 0, 100000, "normal test clips per velocity and distance");
  options.number("--anomaly-clips", arguments.anomaly_clips, 0, 100000,
                 "anomalous test clips per velocity and distance");
  options.number("--duration", arguments.duration_s, 0.1, 3600.0, "of a clip, s (10 in the presets)");
  options.number("--severity", arguments.severity, 0.0, 100.0, "of the fault (paper: 1.4, demo: 2; 0: none)");
  options.number("--background", arguments.background, 0.0, 100.0, "level of the hall (1 in the presets)");
  options.number("--tonality", arguments.tonality, 0.01, 100.0,
                 "how much each speed sounds its own: level of the tones, sharpness of the frame (1 in the presets)");
  options.number("--variation", arguments.variation, 0.0, 4.0,
                 "how much clips of one speed differ (1 in the presets; 0: as little as noise does)");
  options.number("--tools", arguments.tools, 1, static_cast<double>(std::size(rail_tools)),
                 "carriages of other masses, named in the manifest's column `tool`; all but the first lack every third "
                 "training velocity (1: no column)");
  options.flag("--stroke-column", arguments.stroke_column,
               "the manifest names the stroke of each clip too, in the column `stroke_mm`");
  options.number("--seed", arguments.seed, 0, 9.2e18, "of everything that is random");
  options.force(arguments.force);
  options.threads(arguments.threads);
}

SynthOptions options_of(const SynthArguments& arguments) {
  SynthOptions options = synth_preset(arguments.preset);
  const auto take = [](const std::vector<double>& given, std::vector<double>& into) {
    if (!given.empty()) {
      into = given;
    }
  };
  take(arguments.train_velocities_mm_s, options.train_velocities_mm_s);
  take(arguments.test_velocities_mm_s, options.test_velocities_mm_s);
  take(arguments.train_distances_mm, options.train_distances_mm);
  take(arguments.test_distances_mm, options.test_distances_mm);
  options.train_clips = arguments.train_clips.value_or(options.train_clips);
  options.test_normal_clips = arguments.normal_clips.value_or(options.test_normal_clips);
  options.test_anomaly_clips = arguments.anomaly_clips.value_or(options.test_anomaly_clips);
  options.rail.duration_s = arguments.duration_s.value_or(options.rail.duration_s);
  options.rail.severity = arguments.severity.value_or(options.rail.severity);
  options.rail.background = arguments.background.value_or(options.rail.background);
  options.rail.tonality = arguments.tonality.value_or(options.rail.tonality);
  options.rail.variation = arguments.variation.value_or(options.rail.variation);
  options.tools = arguments.tools;
  options.stroke_column = arguments.stroke_column;
  options.seed = arguments.seed;
  options.threads = arguments.threads;
  return options;
}

bool is_generated_name(const std::string& name) {
  return (name.starts_with("normal_") || name.starts_with("anomaly_")) && name.find("mm_s_") != std::string::npos &&
         name.ends_with(".wav");
}

/// True for a manifest of synth's: its header, and none but its clips.
bool is_generated_manifest(const fs::path& file) {
  std::istringstream lines(io::read_text(file));
  std::string line;
  if (!std::getline(lines, line) || !line.starts_with("path,split,label,machine,velocity_mm_s")) {
    return false;
  }
  while (std::getline(lines, line)) {
    const fs::path clip = line.substr(0, line.find(','));
    const std::string split = clip.parent_path().string();
    if ((split != "train" && split != "test") || !is_generated_name(clip.filename().string())) {
      return false;
    }
  }
  return true;
}

/// As evenflow left it before it marked its folders.
bool holds_generated_clips(const fs::path& folder) {
  std::error_code error;
  const fs::path manifest = folder / "manifest.csv";
  if (fs::exists(manifest, error) && !is_generated_manifest(manifest)) {
    return false;
  }
  for (const char* split : {"train", "test"}) {
    for (const auto& entry : fs::directory_iterator(folder / split, error)) {
      if (is_generated_name(entry.path().filename().string())) {
        return true;
      }
    }
  }
  return false;
}

int run(const SynthArguments& arguments) {
  SynthOptions options = options_of(arguments);
  const io::OutputFolder folder(arguments.out, "data set of synth", holds_generated_clips, arguments.force);
  StatusLine status;
  options.stop = &stop_on_signals();
  options.progress = status.clip_progress();
  const auto begin = std::chrono::steady_clock::now();
  const SynthResult result = synth_dataset(arguments.out, options);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  status.clear();
  if (result.stopped) {
    fmt::print("Interrupted after {}, without a manifest; the same command makes the rest.\n",
               count_text(static_cast<int64_t>(result.clips), "clip"));
    return exit_interrupted;
  }
  fmt::print("Made {}, {:.2f} h of sound, in {} -> {}\n", count_text(static_cast<int64_t>(result.clips), "clip"),
             result.seconds_of_sound / 3600.0, duration_text(seconds), result.manifest.string());
  return exit_ok;
}

}  // namespace

Command synth_command() {
  return make_command<SynthArguments>(
      "synth",
      "Writes recordings of a simulated slide rail. There are normal ones for training, normal and anomalous ones for "
      "the test, and their manifest.csv. Every second velocity of the test (50 to 750 mm/s) never occurs in training.",
      "  evenflow synth rails --preset demo\n"
      "  evenflow synth rails-faint --preset paper --severity 0.5 --seed 2\n"
      "  evenflow synth rails-tools --tools 3",
      declare, run);
}

}  // namespace evenflow::experiments
