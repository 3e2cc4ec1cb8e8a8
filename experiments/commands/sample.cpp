// evenflow sample: windows drawn from a model, or a recording moved to other parameter values.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/outputs.h"
#include "experiments/parameter_values.h"
#include "experiments/recordings.h"
#include "experiments/report/heat_map.h"
#include "frontend/audio.h"
#include "frontend/features.h"
#include "frontend/griffin_lim.h"
#include "frontend/silence.h"
#include "frontend/sound_notes.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/samples_file.h"
#include "io/sound_format.h"
#include "train/detect/score.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct SampleArguments {
  fs::path model, out;
  std::vector<std::string> at;  ///< "velocity_mm_s=300"
  std::optional<fs::path> from, picture, audio;
  int64_t count = 8;
  double temperature = 0.7;
  uint64_t seed = 1;
  bool other_machines = false;
  Compute compute;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, SampleArguments& arguments) {
  options.file("--model", arguments.model, "the model").required();
  options
      .words("--at", arguments.at,
             "a parameter and its value, in the parameter's unit or one of its names; once per parameter")
      .shown_as("NAME=X");
  options.file("--from", arguments.from, "a recording to move, instead of drawing windows");
  options.number("-n,--count", arguments.count, 1, 100000, "windows to draw; with --from, the most to move");
  options.number("--temperature", arguments.temperature, 0.0, 10.0, "scale of the latent noise; 1: as in the prior");
  options.number("--seed", arguments.seed, 0, 9.2e18, "of the noise");
  options.file("--out", arguments.out, "windows in dB to write (HDF5)");
  options.file("--picture", arguments.picture, "picture of the windows to write (PNG)");
  options.file("--audio", arguments.audio, "sound of the windows, one behind the other, to write (WAV)");
  options.force(arguments.force);
  options.other_machines(arguments.other_machines);
  options.compute(arguments.compute);
}

struct Windows {
  int64_t count = 0;
  int bands = 0, frames = 0;
  std::vector<float> logmel_db;  ///< [count, bands, frames]
  std::vector<float> original;   ///< of a moved recording, the same shape; otherwise empty
  std::span<const float> at(const std::vector<float>& all, int64_t i) const {
    const size_t size = static_cast<size_t>(bands) * static_cast<size_t>(frames);
    return {all.data() + static_cast<size_t>(i) * size, size};
  }
};

Windows draw(const SampleArguments& arguments, train::Detector& detector, const std::vector<double>& at) {
  const flow::Model& model = detector.network();
  Windows windows{arguments.count, static_cast<int>(model.height()), static_cast<int>(model.width()), {}, {}};
  windows.logmel_db = detector.sample(arguments.count, at, arguments.temperature, arguments.seed);
  return windows;
}

/// io::DataError if the frames of a recording, or of a part of it, say nothing.
void require_something(const fs::path& recording, std::span<const float> logmel_db,
                       const io::FrontendSettings& settings) {
  if (frontend::says_nothing(logmel_db, settings)) {
    throw io::DataError(fmt::format(
        "'{}' is silent, or a part of it is, and silence cannot be moved; give a recording with sound, or a "
        "stretch of it",
        recording.string()));
  }
}

/// Windows of a recording, end to end, and the same moved.
Windows move(const SampleArguments& arguments, train::Detector& detector, const std::vector<double>& at) {
  if (arguments.at.empty()) {
    throw io::UsageError("--from needs --at: say where to move the recording");
  }
  const io::FrontendSettings& settings = detector.model().config.frontend;
  frontend::LogMel transform(settings);
  const frontend::FileFeatures recording = frontend::file_features(*arguments.from, settings, transform);
  const std::vector<float>& features = recording.logmel_db;
  frontend::SoundNotes notes(settings, true);
  notes.add(*arguments.from, recording.source, frontend::says_nothing(features, settings));
  for (const std::string& line : notes.lines()) {
    fmt::print("{}\n", one_line(line));
  }
  require_something(*arguments.from, features, settings);
  const flow::Model& model = detector.network();
  Windows windows{0, static_cast<int>(model.height()), static_cast<int>(model.width()), {}, {}};
  const auto window = static_cast<size_t>(model.dimensions());
  windows.count = std::min(arguments.count, static_cast<int64_t>(features.size() / window));
  if (windows.count == 0) {
    throw io::DataError("'" + arguments.from->string() + "' is too short: a window of this model takes " +
                        std::to_string(model.width()) + " frames of " + std::to_string(settings.hop_samples) +
                        " samples");
  }
  for (int64_t i = 0; i < windows.count; ++i) {
    const std::span<const float> frames(features.data() + static_cast<size_t>(i) * window, window);
    require_something(*arguments.from, frames, settings);
    const std::vector<float> moved = detector.transfer(frames, at);
    windows.logmel_db.insert(windows.logmel_db.end(), moved.begin(), moved.end());
    for (int band = 0; band < windows.bands; ++band) {
      for (int frame = 0; frame < windows.frames; ++frame) {
        windows.original.push_back(
            frames[static_cast<size_t>(frame) * static_cast<size_t>(windows.bands) + static_cast<size_t>(band)]);
      }
    }
  }
  return windows;
}

io::Samples to_file(const SampleArguments& arguments, const Windows& windows, const std::vector<std::string>& names,
                    const std::vector<double>& at) {
  io::Samples samples{.windows = windows.count,
                      .bands = windows.bands,
                      .frames = windows.frames,
                      .logmel_db = windows.logmel_db,
                      .original = windows.original,
                      .names = names,
                      .values = at,
                      .model = arguments.model.string(),
                      .from = std::nullopt,
                      .temperature = arguments.temperature,
                      .seed = arguments.seed};
  if (arguments.from) {
    samples.from = arguments.from->string();
  }
  return samples;
}

/// Windows side by side, at most eight in a row; of a moved recording the original above the moved ones.
Image picture_of(const Windows& windows) {
  constexpr int scale = 2, gap = 6;
  constexpr int64_t most_in_row = 8, most_rows = 16;
  const bool pair = !windows.original.empty();
  const int columns = static_cast<int>(std::min(windows.count, most_in_row));
  const int bands_of_rows = static_cast<int>(std::min((windows.count + most_in_row - 1) / most_in_row, most_rows));
  const int step_x = windows.frames * scale + gap, step_y = windows.bands * scale + gap;
  Image image(gap + columns * step_x, gap + bands_of_rows * step_y * (pair ? 2 : 1), 255);
  std::vector<float> sorted = pair ? windows.original : windows.logmel_db;
  std::sort(sorted.begin(), sorted.end());
  // The faintest hundredth is digital silence or one odd point; it must not eat the colours.
  const double low = sorted[sorted.size() / 100], high = std::max<double>(sorted.back(), low + 1.0);
  for (int64_t i = 0; i < std::min(windows.count, most_in_row * most_rows); ++i) {
    const int x = gap + static_cast<int>(i % most_in_row) * step_x;
    const int row = static_cast<int>(i / most_in_row) * (pair ? 2 : 1);
    const auto draw_row = [&](const std::vector<float>& all, int at) {
      draw_matrix(image, windows.at(all, i), windows.bands, windows.frames, scale, x, gap + at * step_y, low, high);
    };
    if (pair) {
      draw_row(windows.original, row);
    }
    draw_row(windows.logmel_db, row + (pair ? 1 : 0));
  }
  return image;
}

/// Windows one behind the other as sound, quieter where it would not fit.
void write_audio(const fs::path& file, const Windows& windows, const io::FrontendSettings& settings) {
  std::vector<float> frames;
  frames.reserve(windows.logmel_db.size());
  for (int64_t i = 0; i < windows.count; ++i) {
    const std::span<const float> window = windows.at(windows.logmel_db, i);
    for (int frame = 0; frame < windows.frames; ++frame) {
      for (int band = 0; band < windows.bands; ++band) {
        frames.push_back(
            window[static_cast<size_t>(band) * static_cast<size_t>(windows.frames) + static_cast<size_t>(frame)]);
      }
    }
  }
  const std::vector<float> sound = frontend::within_full_scale(frontend::sound_of(frames, settings));
  io::write_text(file, frontend::wav_bytes(sound, settings.sample_rate_hz));
}

std::string at_text(const std::vector<AskedValue>& at) {
  std::string text;
  for (const AskedValue& value : at) {
    text += fmt::format("{}{} = {}", text.empty() ? " at " : ", ", value.name, value.text);
  }
  return text;
}

int run(const SampleArguments& arguments) {
  if (arguments.out.empty() && !arguments.picture && !arguments.audio) {
    throw io::UsageError("nowhere to write the windows to; give --out (HDF5), --picture (PNG) or --audio (WAV)");
  }
  Outputs outputs(arguments.force);
  outputs.reads(arguments.model, "the model");
  if (arguments.from) {
    outputs.reads(*arguments.from, "the recording");
  }
  if (!arguments.out.empty()) {
    outputs.writes(arguments.out, FileKind::samples);
  }
  if (arguments.picture) {
    outputs.writes(*arguments.picture, FileKind::picture);
  }
  if (arguments.audio) {
    outputs.writes(*arguments.audio, FileKind::sound);
  }
  train::Detector detector(arguments.model, arguments.compute.device, arguments.compute.threads);
  const std::vector<std::string>& names = detector.model().condition.names;
  const std::vector<AskedValue> asked = parse_values(arguments.at, names);
  const std::vector<double> at = values_for(detector.model().condition, asked);
  if (arguments.from && names.empty()) {
    throw io::UsageError("--from needs a model that knows a parameter; this one is unconstrained");
  }
  if (arguments.from && io::is_recording(*arguments.from)) {
    require_own_machines(count_machines(read_clips(*arguments.from).clips), detector.model().provenance.machines,
                         arguments.other_machines);
  }
  const Windows windows = arguments.from ? move(arguments, detector, at) : draw(arguments, detector, at);
  const auto is_finite = [](float value) { return std::isfinite(value); };
  if (!std::all_of(windows.logmel_db.begin(), windows.logmel_db.end(), is_finite)) {
    throw io::UsageError("the model gives no finite sound" + at_text(asked) +
                         "; ask for values near those it was trained at (evenflow info shows them), " +
                         (arguments.from ? "" : "lower --temperature, ") + "or train it longer");
  }
  if (!arguments.out.empty()) {
    io::write_samples(arguments.out, to_file(arguments, windows, names, at));
  }
  if (arguments.picture) {
    write_png(*arguments.picture, picture_of(windows));
  }
  if (arguments.audio) {
    write_audio(*arguments.audio, windows, detector.model().config.frontend);
  }
  fmt::print("{} {}{}{}\n", arguments.from ? "Moved" : "Drew", count_text(windows.count, "window"),
             arguments.from ? " of " + arguments.from->string() : "", at_text(asked));
  if (!arguments.out.empty()) {
    fmt::print("  {}\n", arguments.out.string());
  }
  if (arguments.picture) {
    fmt::print("  {}\n", arguments.picture->string());
  }
  if (arguments.audio) {
    fmt::print("  {}\n", arguments.audio->string());
  }
  return exit_ok;
}

}  // namespace

Command sample_command() {
  return make_command<SampleArguments>(
      "sample",
      "Draws log-mel windows from a model, at parameter values of your choice. With --from it moves a recording there "
      "instead: \"this sound at 300 mm/s\". Parameters that are not given are drawn as in training or, with --from, "
      "stay as they are.",
      "  evenflow sample --model runs/first/model.h5 --at velocity_mm_s=300 -n 8 --picture samples.png\n"
      "  evenflow sample --model runs/first/model.h5 --from clip.wav --at velocity_mm_s=300 --picture moved.png\n"
      "  evenflow sample --model runs/first/model.h5 --from clip.wav --at velocity_mm_s=300 --audio moved.wav\n"
      "  evenflow sample --model runs/first/model.h5 --from clip.wav --at tool=B --audio with_tool_b.wav",
      declare, run);
}

}  // namespace evenflow::experiments
