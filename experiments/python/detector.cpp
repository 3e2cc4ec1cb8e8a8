// Detector: a model that scores, encodes, and says what it is.
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <limits>
#include <tuple>

#include "experiments/python/bindings.h"
#include "experiments/python/listener.h"
#include "experiments/python/shared_detector.h"
#include "io/shard.h"

namespace evenflow::python {
namespace {

namespace fs = std::filesystem;

using Names = std::vector<std::string>;
using Values = std::vector<double>;

io::Clip clip_of(const fs::path& name, const Values& parameters) {
  io::Clip clip;
  clip.path = name;
  clip.parameter = parameters;
  return clip;
}

/// Without parameters the model's own stand, unknown.
train::ClipScore score(SharedDetector& detector, const Matrix& features, const fs::path& name, const Names& names,
                       const Values& parameters) {
  const std::span<const float> logmel_db = values_of(features);
  const nb::gil_scoped_release unlocked;
  return detector.score(clip_of(name, parameters), logmel_db, names);
}

/// From the file to its score, without an array between them.
train::ClipScore score_file(SharedDetector& detector, const fs::path& file, const fs::path& name, const Names& names,
                            const Values& parameters) {
  const nb::gil_scoped_release unlocked;
  const std::vector<float> logmel_db = detector.get().features(file).logmel_db;
  return detector.score(clip_of(name, parameters), logmel_db, names);
}

std::vector<train::ClipScore> score_files(SharedDetector& detector, const std::vector<fs::path>& files,
                                          const Names& names, const std::vector<Values>& parameters) {
  const nb::gil_scoped_release unlocked;
  std::vector<io::Clip> clips;
  for (size_t i = 0; i < files.size(); ++i) {
    clips.push_back(clip_of(files[i], parameters.at(i)));
  }
  SignalCheck signals;
  return detector.score_files(clips, names, [&] { signals(); });
}

/// The clips, the names of their parameters, and of those that are categories what their codes stand for.
using ScoredShard = std::tuple<std::vector<train::ClipScore>, Names, io::Categories>;

ScoredShard score_shard(SharedDetector& detector, const fs::path& file, const std::string& split, bool other_machines) {
  const nb::gil_scoped_release unlocked;
  const io::Shard shard(file);
  SignalCheck signals;
  return {detector.score_shard(shard, split, other_machines, [&] { signals(); }), shard.parameter_names(),
          shard.categories()};
}

nb::ndarray<nb::numpy, float> file_features(const SharedDetector& detector, const fs::path& file) {
  std::vector<float> logmel_db;
  {
    const nb::gil_scoped_release unlocked;
    logmel_db = detector.get().features(file).logmel_db;
  }
  const auto bands = static_cast<size_t>(detector.get().model().config.frontend.mel_bands);
  const size_t frames = logmel_db.size() / bands;
  return to_numpy(std::move(logmel_db), {frames, bands});
}

nb::ndarray<nb::numpy, float> sample_features(const SharedDetector& detector, const Matrix& samples, int rate_hz,
                                              const std::string& name) {
  std::vector<float> logmel_db;
  const frontend::Samples sound{values_of(samples), static_cast<int>(samples.shape(1)), rate_hz};
  {
    const nb::gil_scoped_release unlocked;
    logmel_db = detector.get().features(name, sound);
  }
  const auto bands = static_cast<size_t>(detector.get().model().config.frontend.mel_bands);
  const size_t frames = logmel_db.size() / bands;
  return to_numpy(std::move(logmel_db), {frames, bands});
}

template <class T>
nb::ndarray<nb::numpy, T> table(const flow::Rows<T>& rows, size_t windows) {
  const std::span<const T> all = rows.range(0, static_cast<int64_t>(windows));
  return to_numpy(std::vector<T>(all.begin(), all.end()), {windows, windows == 0 ? 0 : all.size() / windows});
}

/// First frames, zc, zd, scores, terms and estimates of the windows, a row each.
using Encoded =
    std::tuple<nb::ndarray<nb::numpy, int64_t>, nb::ndarray<nb::numpy, float>, nb::ndarray<nb::numpy, float>,
               nb::ndarray<nb::numpy, double>, nb::ndarray<nb::numpy, double>, nb::ndarray<nb::numpy, double>>;

Encoded encode(SharedDetector& detector, const Matrix& features, const fs::path& name, const Names& names,
               const Values& parameters) {
  const std::span<const float> logmel_db = values_of(features);
  train::ClipLatents latents = [&] {
    const nb::gil_scoped_release unlocked;
    return detector.encode(clip_of(name, parameters), logmel_db, names);
  }();
  const size_t windows = latents.frame.size();
  const size_t zc_size = latents.zc.size() / windows, zd_size = latents.zd.size() / windows;
  return {to_numpy(std::move(latents.frame), {windows}),
          to_numpy(std::move(latents.zc), {windows, zc_size}),
          to_numpy(std::move(latents.zd), {windows, zd_size}),
          table(latents.scores.scores, windows),
          table(latents.scores.terms, windows),
          table(latents.scores.estimates, windows)};
}

nb::dict provenance_of(const SharedDetector& detector) {
  const io::Provenance& provenance = detector.get().model().provenance;
  nb::dict out;
  out["version"] = provenance.version;
  out["commit"] = provenance.commit;
  out["date"] = provenance.date;
  out["device"] = provenance.device;
  out["data_hash"] = provenance.data_hash;
  out["seed"] = provenance.seed;
  out["machines"] = provenance.machines;
  return out;
}

void bind_clip_score(nb::module_& module) {
  nb::class_<train::ClipScore>(module, "ClipScore")
      .def_prop_ro("path", [](const train::ClipScore& of) { return of.clip.path.string(); })
      .def_prop_ro("label", [](const train::ClipScore& of) { return of.clip.label; })
      .def_prop_ro("parameters", [](const train::ClipScore& of) { return of.clip.parameter; })
      .def_ro("score", &train::ClipScore::score)
      .def_ro("scores", &train::ClipScore::scores)
      .def_ro("estimate", &train::ClipScore::estimate)
      .def_ro("probability", &train::ClipScore::probability)
      .def_ro("p_value", &train::ClipScore::p_value)
      .def_ro("decision", &train::ClipScore::decision)
      .def_ro("silent", &train::ClipScore::silent)
      .def_ro("outside_calibration", &train::ClipScore::outside_calibration)
      .def_ro("windows", &train::ClipScore::windows)
      .def_ro("fault", &train::ClipScore::fault);
}

}  // namespace

void bind_detector(nb::module_& module) {
  bind_clip_score(module);
  nb::class_<SharedDetector> detector(module, "Detector");
  detector
      .def(nb::init<const fs::path&, const std::string&, int>(), nb::arg("model"), nb::arg("device"),
           nb::arg("threads"), nb::call_guard<nb::gil_scoped_release>())
      .def("file_features", &file_features, nb::arg("file"))
      .def("sample_features", &sample_features, nb::arg("samples").noconvert(), nb::arg("rate_hz"), nb::arg("name"))
      .def("score", &score, nb::arg("features").noconvert(), nb::arg("name"), nb::arg("names"), nb::arg("parameters"))
      .def("score_file", &score_file, nb::arg("file"), nb::arg("name"), nb::arg("names"), nb::arg("parameters"))
      .def("score_files", &score_files, nb::arg("files"), nb::arg("names"), nb::arg("parameters"))
      .def("require_own_recordings", &SharedDetector::require_own_recordings, nb::arg("files"),
           nb::arg("other_machines"), nb::call_guard<nb::gil_scoped_release>())
      .def("score_shard", &score_shard, nb::arg("file"), nb::arg("split"), nb::arg("other_machines"))
      .def("encode", &encode, nb::arg("features").noconvert(), nb::arg("name"), nb::arg("names"), nb::arg("parameters"))
      .def(
          "write", [](const SharedDetector& of, const fs::path& file) { io::write_model(file, of.get().model()); },
          nb::arg("file"), nb::call_guard<nb::gil_scoped_release>())
      .def_prop_ro("score_name", [](const SharedDetector& of) { return of.get().score_name(); })
      .def_prop_ro("score_names", [](const SharedDetector& of) { return of.get().score_names(); })
      .def_prop_ro("window_score_names",
                   [](const SharedDetector& of) {
                     Names names;
                     for (const flow::Score& score : of.get().network().scores()) {
                       names.push_back(score.name);
                     }
                     return names;
                   })
      .def_prop_ro("term_names", [](const SharedDetector& of) { return of.get().network().terms(); })
      .def_prop_ro("parameter_names", [](const SharedDetector& of) { return of.get().model().condition.names; })
      .def_prop_ro("categories", [](const SharedDetector& of) { return of.get().model().condition.categories; })
      .def_prop_ro("threshold", [](const SharedDetector& of) { return of.get().model().threshold.value; })
      .def_prop_ro("config", [](const SharedDetector& of) { return io::to_toml(of.get().model().config); })
      .def_prop_ro("provenance", &provenance_of);
  bind_explain(module, detector);
}

}  // namespace evenflow::python
