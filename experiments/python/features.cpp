// Recordings and samples to log-mel, by themselves or as a shard.
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <atomic>

#include "experiments/outputs.h"
#include "experiments/python/bindings.h"
#include "experiments/python/listener.h"
#include "experiments/recordings.h"
#include "frontend/features.h"
#include "frontend/prepare.h"
#include "io/error.h"
#include "io/shard.h"

namespace evenflow::python {
namespace {

namespace fs = std::filesystem;
using experiments::FileKind;
using experiments::Outputs;
using ConfigFile = std::optional<fs::path>;

io::FrontendSettings frontend_of(const ConfigFile& file, const Keys& keys) {
  return resolve(config_source(file, keys)).frontend;
}

nb::ndarray<nb::numpy, float> file_features(const fs::path& recording, const ConfigFile& config, const Keys& keys) {
  const io::FrontendSettings settings = frontend_of(config, keys);
  std::vector<float> logmel_db;
  {
    const nb::gil_scoped_release unlocked;
    frontend::LogMel transform(settings);
    logmel_db = frontend::file_features(recording, settings, transform).logmel_db;
  }
  const auto bands = static_cast<size_t>(settings.mel_bands);
  const size_t frames = logmel_db.size() / bands;
  return to_numpy(std::move(logmel_db), {frames, bands});
}

nb::ndarray<nb::numpy, float> sample_features(const Matrix& samples, int rate_hz, const std::string& name,
                                              const ConfigFile& config, const Keys& keys) {
  const io::FrontendSettings settings = frontend_of(config, keys);
  const frontend::Samples sound{values_of(samples), static_cast<int>(samples.shape(1)), rate_hz};
  std::vector<float> logmel_db;
  {
    const nb::gil_scoped_release unlocked;
    frontend::LogMel transform(settings);
    logmel_db = frontend::sample_features(name, sound, settings, transform);
  }
  const auto bands = static_cast<size_t>(settings.mel_bands);
  const size_t frames = logmel_db.size() / bands;
  return to_numpy(std::move(logmel_db), {frames, bands});
}

struct PrepareRequest {
  fs::path input, out;
  ConfigFile config;
  Keys keys;
  std::string device;
  int threads;
  bool skip_bad;
};

/// As `evenflow prepare`; the manifest's notes stand before the recordings'.
frontend::PrepareResult prepare(const PrepareRequest& request) {
  const nb::gil_scoped_release unlocked;
  const experiments::ConfigSource source = config_source(request.config, request.keys);
  const io::Config config = resolve(source);
  frontend::PrepareOptions options;
  options.frontend = config.frontend;
  options.min_frames = config.window.window_frames;
  options.threads = request.threads;
  options.skip_bad = request.skip_bad;
  options.device = kernels::parse_device(request.device);

  Outputs outputs(false);
  outputs.reads(source);
  outputs.reads(request.input, "an input");
  io::Manifest manifest = experiments::read_clips(request.input);
  outputs.reads_listed(manifest, request.input);
  outputs.writes(request.out, FileKind::shard);
  if (!request.skip_bad) {
    experiments::require_recordings(manifest, request.input);
  }
  experiments::drop_repeated(manifest, request.input);

  SignalCheck signals;
  options.progress = [&](size_t, size_t) { signals(); };
  frontend::PrepareResult result = frontend::prepare(manifest, request.out, options);
  result.notes.insert(result.notes.begin(), manifest.notes.begin(), manifest.notes.end());
  return result;
}

/// Frames of clips, all normal ones to train on or all of the test split, to a shard.
void write_shard(const fs::path& out, const std::vector<Matrix>& features, const std::vector<std::string>& paths,
                 const std::vector<std::string>& names, const std::vector<std::vector<double>>& parameters,
                 const io::Categories& categories, const std::string& split, int label, const ConfigFile& config,
                 const Keys& keys) {
  const nb::gil_scoped_release unlocked;
  const experiments::ConfigSource source = config_source(config, keys);
  const io::FrontendSettings settings = resolve(source).frontend;
  Outputs outputs(false);
  outputs.reads(source);
  outputs.writes(out, FileKind::shard);
  io::ShardWriter writer(out, settings, names, "cpu", categories);
  for (size_t i = 0; i < features.size(); ++i) {
    if (features[i].shape(1) != static_cast<size_t>(settings.mel_bands)) {
      throw io::UsageError("features of '" + paths.at(i) + "' have " + std::to_string(features[i].shape(1)) +
                           " mel bands, and frontend.mel_bands is " + std::to_string(settings.mel_bands));
    }
    io::Clip clip;
    clip.path = paths.at(i);
    clip.split = split == "train" ? io::Split::train : io::Split::test;
    clip.label = label;
    clip.parameter = parameters.at(i);
    writer.append(clip, values_of(features[i]));
  }
  writer.finish();
}

}  // namespace

void bind_features(nb::module_& module) {
  nb::class_<frontend::PrepareResult>(module, "PrepareResult")
      .def_ro("clips", &frontend::PrepareResult::clips)
      .def_ro("frames", &frontend::PrepareResult::frames)
      .def_ro("seconds_of_sound", &frontend::PrepareResult::seconds_of_sound)
      .def_ro("skipped", &frontend::PrepareResult::skipped)
      .def_ro("notes", &frontend::PrepareResult::notes);
  module.def("file_features", &file_features, nb::arg("recording"), nb::arg("config").none(), nb::arg("keys"));
  module.def("sample_features", &sample_features, nb::arg("samples").noconvert(), nb::arg("rate_hz"), nb::arg("name"),
             nb::arg("config").none(), nb::arg("keys"));
  module.def(
      "prepare",
      [](const fs::path& input, const fs::path& out, const ConfigFile& config, const Keys& keys,
         const std::string& device, int threads, bool skip_bad) {
        return prepare({input, out, config, keys, device, threads, skip_bad});
      },
      nb::arg("input"), nb::arg("out"), nb::arg("config").none(), nb::arg("keys"), nb::arg("device"),
      nb::arg("threads"), nb::arg("skip_bad"));
  module.def("write_shard", &write_shard, nb::arg("out"), nb::arg("features"), nb::arg("paths"), nb::arg("names"),
             nb::arg("parameters"), nb::arg("categories"), nb::arg("split"), nb::arg("label"), nb::arg("config").none(),
             nb::arg("keys"));
}

}  // namespace evenflow::python
