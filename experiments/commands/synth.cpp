// evenflow synth: recordings of a simulated slide rail.
#include "experiments/rail/synth.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <sstream>
#include <string>
#include <system_error>

#include "experiments/commands/commands.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "io/atomic_file.h"
#include "io/output_folder.h"

namespace evenflow::experiments {
namespace {

SynthOptions options_of(const SynthArguments& arguments) {
  SynthOptions options = synth_preset(arguments.preset);
  const auto take = [](const std::vector<double>& given, std::vector<double>& into) {
    if (!given.empty()) into = given;
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
  options.seed = arguments.seed;
  options.threads = arguments.threads;
  return options;
}

bool is_generated_name(const std::string& name) {
  return (name.starts_with("normal_") || name.starts_with("anomaly_")) && name.find("mm_s_") != std::string::npos &&
         name.ends_with(".wav");
}

/// True for a manifest of synth's: its header, and none but its clips.
bool is_generated_manifest(const std::filesystem::path& file) {
  std::istringstream lines(io::read_text(file));
  std::string line;
  if (!std::getline(lines, line) || line != "path,split,label,machine,velocity_mm_s") return false;
  while (std::getline(lines, line)) {
    const std::filesystem::path clip = line.substr(0, line.find(','));
    const std::string split = clip.parent_path().string();
    if ((split != "train" && split != "test") || !is_generated_name(clip.filename().string())) return false;
  }
  return true;
}

/// As evenflow left it before it marked its folders.
bool holds_generated_clips(const std::filesystem::path& folder) {
  std::error_code error;
  const std::filesystem::path manifest = folder / "manifest.csv";
  if (std::filesystem::exists(manifest, error) && !is_generated_manifest(manifest)) return false;
  for (const char* split : {"train", "test"}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder / split, error)) {
      if (is_generated_name(entry.path().filename().string())) return true;
    }
  }
  return false;
}

}  // namespace

int run(const SynthArguments& arguments) {
  SynthOptions options = options_of(arguments);
  const io::OutputFolder folder(arguments.out, "data set of synth", holds_generated_clips, arguments.force);
  StatusLine status;
  options.stop = &stop_on_signals();
  options.progress = [&](size_t done, size_t total) {
    if (!status.due()) return;
    const double fraction = static_cast<double>(done) / static_cast<double>(total);
    status.show(fmt::format("{} {} of {} clips", bar_text(fraction, 30), done, total));
  };
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

}  // namespace evenflow::experiments
