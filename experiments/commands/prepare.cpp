// evenflow prepare: recordings to a feature shard.
#include "frontend/prepare.h"

#include <fmt/format.h>

#include <chrono>

#include "experiments/commands/commands.h"
#include "experiments/configuration.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/recordings.h"
#include "io/manifest.h"
#include "kernels/device.h"

namespace evenflow::experiments {

int run(const PrepareArguments& arguments) {
  const io::Config config = resolve(arguments.config);
  const kernels::Device device = kernels::parse_device(arguments.device);
  Outputs outputs(arguments.force);
  outputs.reads(arguments.config);
  outputs.reads(arguments.input, "an input");
  io::Manifest manifest = read_clips(arguments.input);
  outputs.reads_listed(manifest, arguments.input);
  outputs.writes(arguments.out, FileKind::shard);
  if (!arguments.skip_bad) require_recordings(manifest, arguments.input);
  drop_repeated(manifest, arguments.input);
  for (const std::string& note : manifest.notes) print_note(note);

  StatusLine status;
  frontend::PrepareOptions options;
  options.frontend = config.frontend;
  options.min_frames = config.window.window_frames;
  options.threads = arguments.threads;
  options.skip_bad = arguments.skip_bad;
  options.device = device;
  options.stop = &stop_on_signals();
  options.progress = [&](size_t done, size_t total) {
    if (!status.due()) return;
    const double fraction = static_cast<double>(done) / static_cast<double>(total);
    status.show(fmt::format("{} {} of {} clips", bar_text(fraction, 30), done, total));
  };
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
  for (const std::string& line : result.notes) fmt::print("{}\n", one_line(line));
  if (result.skipped.empty()) {
    fmt::print("{}", describe_clips(manifest.clips, manifest.parameter_names));
  } else {
    fmt::print("Skipped {}:\n", count_text(static_cast<int64_t>(result.skipped.size()), "recording"));
    for (const std::string& sentence : result.skipped) fmt::print("  {}\n", one_line(sentence));
  }
  return exit_ok;
}

}  // namespace evenflow::experiments
