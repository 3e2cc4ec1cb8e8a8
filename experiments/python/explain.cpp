// Detector.explain: why a clip scores as it does, as `evenflow explain` gives it.
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "experiments/parameter_values.h"
#include "experiments/python/bindings.h"
#include "experiments/python/listener.h"
#include "experiments/python/shared_detector.h"
#include "frontend/clipping.h"

namespace evenflow::python {
namespace {

namespace fs = std::filesystem;
using train::Explanation;

using Point = std::vector<std::pair<std::string, std::string>>;  // numbers as text

train::ExplainOptions options_of(const SharedDetector& detector, const std::string& score, const Point& at) {
  std::vector<experiments::AskedValue> asked;
  for (const auto& [name, value] : at) {
    asked.push_back({name, value});
  }
  train::ExplainOptions options;
  options.score = score;
  options.at = experiments::values_for(detector.get().model().condition, asked);
  return options;
}

Explanation explain(SharedDetector& detector, const fs::path& name, std::span<const float> logmel_db,
                    const train::ExplainOptions& options) {
  io::Clip clip;
  clip.path = name;
  return detector.explain(clip, logmel_db, options);
}

/// Normal clips to compare with in place of the model's, if any are named.
std::optional<train::NormalReference> normals_of(SharedDetector& detector, const std::optional<fs::path>& file) {
  std::optional<train::NormalReference> normals;
  if (file) {
    SignalCheck signals;
    normals = detector.read_normals(*file, [&] { signals(); });
  }
  return normals;
}

Explanation explain_file(SharedDetector& detector, const fs::path& file, const std::string& score, const Point& at,
                         const std::optional<fs::path>& normals, bool other_machines) {
  const nb::gil_scoped_release unlocked;
  train::ExplainOptions options = options_of(detector, score, at);
  detector.require_own_recordings({file}, other_machines);
  const std::optional<train::NormalReference> reference = normals_of(detector, normals);
  options.normals = reference ? &*reference : nullptr;
  const frontend::FileFeatures features = detector.get().features(file);
  options.clipping = features.source.clipping;
  return explain(detector, file, features.logmel_db, options);
}

/// Clipping is looked for at the samples' own rate, as in a file.
frontend::Clipping clipping_of(const SharedDetector& detector, const std::string& name,
                               const frontend::Samples& sound) {
  io::FrontendSettings settings = detector.get().model().config.frontend;
  settings.sample_rate_hz = sound.rate_hz;
  std::vector<float> room;
  return frontend::clipping_of(frontend::one_channel(name, sound, settings, room), sound.rate_hz);
}

Explanation explain_samples(SharedDetector& detector, const Matrix& samples, int rate_hz, const std::string& name,
                            const std::string& score, const Point& at, const std::optional<fs::path>& normals) {
  const frontend::Samples sound{values_of(samples), static_cast<int>(samples.shape(1)), rate_hz};
  const nb::gil_scoped_release unlocked;
  train::ExplainOptions options = options_of(detector, score, at);
  const std::optional<train::NormalReference> reference = normals_of(detector, normals);
  options.normals = reference ? &*reference : nullptr;
  const std::vector<float> logmel_db = detector.get().features(name, sound);
  options.clipping = clipping_of(detector, name, sound);
  return explain(detector, name, logmel_db, options);
}

/// The values where they lie, for as long as the explanation lives.
template <class T>
nb::ndarray<nb::numpy, const T> view(const std::vector<T>& values) {
  return {values.data(), {values.size()}};
}

/// The same of a clip's map: [frames, bands]; no frames if there is no map.
template <class T>
nb::ndarray<nb::numpy, const T> map_view(const Explanation& of, const std::vector<T>& values) {
  const auto bands = static_cast<size_t>(of.bands);
  return {values.data(), {values.size() / bands, bands}};
}

void bind_parts(nb::module_& module) {
  using Part = flow::Attribution::Part;
  nb::class_<Part>(module, "Part")
      .def_ro("name", &Part::name)
      .def_ro("share", &Part::share)
      .def_ro("mean_square", &Part::mean_square)
      .def_ro("bands", &Part::bands)
      .def_ro("frames", &Part::frames);
  using train::Finding;
  nb::class_<Finding>(module, "Finding")
      .def_prop_ro("kind", [](const Finding& of) { return train::name_of(of.kind); })
      .def_ro("from_s", &Finding::from_s)
      .def_ro("to_s", &Finding::to_s)
      .def_ro("low_hz", &Finding::low_hz)
      .def_ro("high_hz", &Finding::high_hz)
      .def_ro("above_db", &Finding::above_db)
      .def_ro("times", &Finding::times)
      .def_ro("throughout", &Finding::throughout);
  using Estimate = Explanation::Estimate;
  nb::class_<Estimate>(module, "Estimate")
      .def_ro("name", &Estimate::name)
      .def_ro("value", &Estimate::value)
      .def_ro("low", &Estimate::low)
      .def_ro("high", &Estimate::high)
      .def_ro("inside", &Estimate::inside)
      .def_ro("asked", &Estimate::asked)
      .def_ro("categories", &Estimate::categories)
      .def_ro("probability", &Estimate::probability);
  using Neighbour = Explanation::Neighbour;
  nb::class_<Neighbour>(module, "Neighbour")
      .def_ro("path", &Neighbour::path)
      .def_ro("distance", &Neighbour::distance)
      .def_ro("parameters", &Neighbour::v);
}

}  // namespace

void bind_explain(nb::module_& module, nb::class_<SharedDetector>& detector) {
  bind_parts(module);
  nb::class_<Explanation>(module, "Explanation")
      .def_ro("clip", &Explanation::clip)
      .def_ro("score", &Explanation::score)
      .def_ro("value", &Explanation::value)
      .def_prop_ro("sentence", [](const Explanation& of) { return of.sentence(); })
      .def_ro("where", &Explanation::where)
      .def_ro("findings", &Explanation::findings)
      .def("text_of", [](const Explanation& of, const train::Finding& finding) { return text_of(finding, of.where); })
      .def_ro("divided", &Explanation::divided)
      .def_ro("divided_value", &Explanation::divided_value)
      .def_ro("normal_mean", &Explanation::normal_mean)
      .def_ro("normal_deviation", &Explanation::normal_deviation)
      .def_ro("parts", &Explanation::parts)
      .def_prop_ro("coverage", [](const Explanation& of) { return view(of.coverage); })
      .def_prop_ro("shares", [](const Explanation& of) { return map_view(of, of.shares); })
      .def_prop_ro("gradient_input", [](const Explanation& of) { return map_view(of, of.gradient_input); })
      .def_prop_ro("by_band", [](const Explanation& of) { return view(of.by_band); })
      .def_prop_ro("by_frame", [](const Explanation& of) { return view(of.by_frame); })
      .def_ro("estimates", &Explanation::estimates)
      .def_ro("nearest", &Explanation::nearest)
      .def_prop_ro("moved", [](const Explanation& of) { return map_view(of, of.moved_db); });
  detector
      .def("explain_file", &explain_file, nb::arg("file"), nb::arg("score"), nb::arg("at"), nb::arg("normals").none(),
           nb::arg("other_machines"))
      .def("explain_samples", &explain_samples, nb::arg("samples").noconvert(), nb::arg("rate_hz"), nb::arg("name"),
           nb::arg("score"), nb::arg("at"), nb::arg("normals").none())
      .def("band_hz", [](const SharedDetector& of) {
        const io::FrontendSettings& frontend = of.get().model().config.frontend;
        std::vector<double> centres;
        for (int64_t band = 0; band < frontend.mel_bands; ++band) {
          const train::Frequencies hz = train::frequencies_of(band, band, frontend);
          centres.push_back(0.5 * (hz.low_hz + hz.high_hz));
        }
        const size_t bands = centres.size();
        return to_numpy(std::move(centres), {bands});
      });
}

}  // namespace evenflow::python
