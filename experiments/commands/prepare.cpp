// evenflow prepare: recordings to a feature shard.
#include "frontend/prepare.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "experiments/command.h"
#include "experiments/configuration.h"
#include "experiments/console.h"
#include "experiments/fleet.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/recordings.h"
#include "io/error.h"
#include "io/manifest.h"
#include "io/output_folder.h"
#include "kernels/device.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct PrepareArguments {
  fs::path input, out;
  ConfigSource config;
  std::string device = "cpu";  ///< of the log-mel
  int threads = 0;
  bool skip_bad = false;
  bool each_machine = false;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, PrepareArguments& arguments) {
  options.file("INPUT", arguments.input, "manifest CSV, folder of recordings or one recording").required();
  options.file("--out", arguments.out, "the feature shard to write (HDF5); with --each, the folder of them").required();
  options.each_machine(arguments.each_machine, "a shard for each machine: FOLDER/<machine>.h5");
  options.force(arguments.force);
  options.flag("--skip-bad", arguments.skip_bad, "list recordings that cannot be used and go on without them");
  options.word("--device", arguments.device, {},
               "where log-mel is computed: \"cpu\" (float64), \"cuda:N\" (float32, many clips at once) or \"auto\"; "
               "decoding and resampling stay on CPU threads");
  options.threads(arguments.threads);
  options.config(
      arguments.config,
      [](const std::string& key) {
        return key.starts_with("frontend.") || key == "window.window_frames" || key == "condition.parameters";
      },
      false);
}

/// The clips of each machine, as manifests of their own.
std::map<std::string, io::Manifest> by_machine(const io::Manifest& all) {
  std::map<std::string, io::Manifest> manifests;
  for (const io::Clip& clip : all.clips) {
    io::Manifest& own =
        manifests.try_emplace(clip.machine, io::Manifest{all.root, all.parameter_names, {}, {}, all.categories})
            .first->second;
    own.clips.push_back(clip);
  }
  return manifests;
}

/// To exit_ok or exit_interrupted.
int prepare_one(const io::Manifest& manifest, const fs::path& out, const frontend::PrepareOptions& options,
                StatusLine& status) {
  const auto begin = std::chrono::steady_clock::now();
  const frontend::PrepareResult result = frontend::prepare(manifest, out, options);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  status.clear();
  if (result.stopped) {
    fmt::print("Interrupted: nothing was written to {}.\n", out.string());
    return exit_interrupted;
  }
  fmt::print("Prepared {}, {:.2f} h of sound, in {} ({:.0f} times real time) -> {}\n",
             count_text(static_cast<int64_t>(result.clips), "clip"), result.seconds_of_sound / 3600.0,
             duration_text(seconds), result.seconds_of_sound / seconds, out.string());
  for (const std::string& line : result.notes) {
    fmt::print("{}\n", one_line(line));
  }
  if (result.skipped.empty()) {
    fmt::print("{}", describe_clips(manifest.clips, manifest.parameter_names, manifest.categories));
  } else {
    fmt::print("Skipped {}:\n", count_text(static_cast<int64_t>(result.skipped.size()), "recording"));
    for (const std::string& sentence : result.skipped) {
      fmt::print("  {}\n", one_line(sentence));
    }
  }
  return exit_ok;
}

/// FOLDER/<machine>.h5 of each.
int prepare_each(const io::Manifest& manifest, const PrepareArguments& arguments,
                 const frontend::PrepareOptions& options, StatusLine& status, Outputs& outputs) {
  require_file_names(count_machines(manifest.clips), arguments.input.string());
  const std::map<std::string, io::Manifest> manifests = by_machine(manifest);
  for (const auto& [machine, own] : manifests) {
    outputs.writes_below(arguments.out, machine + ".h5", FileKind::shard);
  }
  io::make_folder(arguments.out);
  for (const auto& [machine, own] : manifests) {
    if (const int code = prepare_one(own, arguments.out / (machine + ".h5"), options, status); code != exit_ok) {
      return code;
    }
  }
  fmt::print("Next:\n  evenflow train --each machine {} --run runs\n", shell_word(arguments.out.string()));
  return exit_ok;
}

/// io::UsageError: a category that is declared and not there.
void require_columns(const io::DeclaredCategories& declared, const io::Manifest& manifest, const fs::path& input) {
  for (const std::string& name : declared) {
    const std::vector<std::string>& there = manifest.parameter_names;
    if (std::find(there.begin(), there.end(), name) == there.end()) {
      throw io::UsageError(fmt::format("condition.parameters has '{}:category', which '{}' does not have; it has [{}]",
                                       name, input.string(), fmt::join(there, ", ")));
    }
  }
}

int run(const PrepareArguments& arguments) {
  const io::Config config = resolve(arguments.config);
  const kernels::Device device = kernels::parse_device(arguments.device);
  Outputs outputs(arguments.force);
  outputs.reads(arguments.config);
  outputs.reads(arguments.input, "an input");
  const io::DeclaredCategories declared = io::declared_categories(config.condition.parameters);
  io::Manifest manifest = read_clips(arguments.input, declared);
  require_columns(declared, manifest, arguments.input);
  outputs.reads_listed(manifest, arguments.input);
  if (!arguments.each_machine) {
    outputs.writes(arguments.out, FileKind::shard);
  }
  if (!arguments.skip_bad) {
    require_recordings(manifest, arguments.input);
  }
  drop_repeated(manifest, arguments.input);
  for (const std::string& note : manifest.notes) {
    print_note(note);
  }

  StatusLine status;
  frontend::PrepareOptions options;
  options.frontend = config.frontend;
  options.min_frames = config.window.window_frames;
  options.threads = arguments.threads;
  options.skip_bad = arguments.skip_bad;
  options.device = device;
  options.stop = &stop_on_signals();
  options.progress = status.clip_progress();
  return arguments.each_machine ? prepare_each(manifest, arguments, options, status, outputs)
                                : prepare_one(manifest, arguments.out, options, status);
}

}  // namespace

Command prepare_command() {
  return make_command<PrepareArguments>(
      "prepare",
      "Turns recordings into a feature shard. It holds log-mel frames in dB, with each clip's machine, split, label "
      "and parameters. INPUT is a recording (WAV, FLAC, OGG, Opus, W64, AIFF, CAF or MP3), a manifest CSV "
      "(path,split,label,machine,<parameters...>) or a folder. A folder is read by the manifest.csv in it, as DCASE "
      "Task 2 (2020 to 2026), or by subfolders named normal, abnormal, train, test, id_00. Notes say what was guessed "
      "or left out.",
      "  evenflow prepare recordings/manifest.csv --out features.h5\n"
      "  evenflow prepare dev_data/slider --out slider.h5 --skip-bad\n"
      "  evenflow prepare --each machine dev_data --out shards",
      declare, run);
}

}  // namespace evenflow::experiments
