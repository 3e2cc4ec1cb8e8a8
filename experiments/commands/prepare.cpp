// evenflow prepare: recordings to a feature shard.
#include "frontend/prepare.h"

#include <fmt/format.h>

#include <chrono>

#include "experiments/command.h"
#include "experiments/configuration.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/recordings.h"
#include "io/manifest.h"
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
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, PrepareArguments& arguments) {
  options.file("INPUT", arguments.input, "manifest CSV, folder of recordings or one recording").required();
  options.file("--out", arguments.out, "the feature shard to write (HDF5)").required();
  options.force(arguments.force);
  options.flag("--skip-bad", arguments.skip_bad, "list recordings that cannot be used and go on without them");
  options.word("--device", arguments.device, {},
               "where log-mel is computed: \"cpu\" (float64), \"cuda:N\" (float32, many clips at once) or \"auto\"; "
               "decoding and resampling stay on CPU threads");
  options.threads(arguments.threads);
  options.config(
      arguments.config,
      [](const std::string& key) { return key.starts_with("frontend.") || key == "window.window_frames"; }, false);
}

int run(const PrepareArguments& arguments) {
  const io::Config config = resolve(arguments.config);
  const kernels::Device device = kernels::parse_device(arguments.device);
  Outputs outputs(arguments.force);
  outputs.reads(arguments.config);
  outputs.reads(arguments.input, "an input");
  io::Manifest manifest = read_clips(arguments.input);
  outputs.reads_listed(manifest, arguments.input);
  outputs.writes(arguments.out, FileKind::shard);
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
  const auto begin = std::chrono::steady_clock::now();
  const frontend::PrepareResult result = frontend::prepare(manifest, arguments.out, options);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  status.clear();
  if (result.stopped) {
    fmt::print("Interrupted: nothing was written to {}.\n", arguments.out.string());
    return exit_interrupted;
  }
  fmt::print("Prepared {}, {:.2f} h of sound, in {} ({:.0f} times real time) -> {}\n",
             count_text(static_cast<int64_t>(result.clips), "clip"), result.seconds_of_sound / 3600.0,
             duration_text(seconds), result.seconds_of_sound / seconds, arguments.out.string());
  for (const std::string& line : result.notes) {
    fmt::print("{}\n", one_line(line));
  }
  if (result.skipped.empty()) {
    fmt::print("{}", describe_clips(manifest.clips, manifest.parameter_names));
  } else {
    fmt::print("Skipped {}:\n", count_text(static_cast<int64_t>(result.skipped.size()), "recording"));
    for (const std::string& sentence : result.skipped) {
      fmt::print("  {}\n", one_line(sentence));
    }
  }
  return exit_ok;
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
      "  evenflow prepare dev_data/slider --out slider.h5 --skip-bad",
      declare, run);
}

}  // namespace evenflow::experiments
