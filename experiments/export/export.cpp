#include "experiments/export/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>

#include "experiments/export/logmel_graph.h"
#include "experiments/export/model_graph.h"
#include "experiments/export/score_graph.h"
#include "io/config.h"
#include "io/error.h"
#include "io/version.h"
#include "train/detect/decision.h"
#include "train/statistics/conformal.h"

namespace evenflow::experiments::onnx {
namespace {

using nlohmann::json;

constexpr const char *window_count = "windows", *frame_count = "frames";

void require_opset(int opset) {
  if (opset < least_opset) {
    throw io::UsageError(fmt::format("opset {} lacks STFT, the operator that makes spectra; ask for --opset {} to {}",
                                     opset, least_opset, most_opset));
  }
  if (opset > most_opset) {
    throw io::UsageError(fmt::format("opset {} is not known to this evenflow; ask for --opset {} to {}", opset,
                                     least_opset, most_opset));
  }
}

void describe(Graph& graph, const train::Detector& detector) {
  const io::ModelData& model = detector.model();
  const io::ConditionData& condition = model.condition;
  const io::FrontendSettings& frontend = model.config.frontend;
  const io::Provenance& from = model.provenance;
  graph.describe("kind", "evenflow onnx");
  graph.describe("format_version", "1");
  graph.describe("evenflow_version", std::string(io::version()));
  graph.describe("evenflow_commit", std::string(io::commit()));
  graph.describe("frontend", json{{"sample_rate_hz", frontend.sample_rate_hz},
                                  {"channel", frontend.channel},
                                  {"n_fft", frontend.n_fft},
                                  {"hop_samples", frontend.hop_samples},
                                  {"pad_mode", io::name_of(frontend.pad_mode)},
                                  {"mel_bands", frontend.mel_bands}}
                                 .dump());
  graph.describe("window", json{{"frames", model.config.window.window_frames},
                                {"hop_frames", model.config.window.window_hop_frames}}
                               .dump());
  graph.describe("normaliser", json{{"mean", model.normaliser.mean}, {"std", model.normaliser.std}}.dump());
  json of_condition = {{"names", condition.names}, {"k", condition.k},
                       {"v0", condition.v0},       {"mean", condition.mean},
                       {"std", condition.std},     {"training_values", condition.training_values}};
  if (condition.has_category()) {
    of_condition["categories"] = condition.categories;
    of_condition["frequency"] = condition.frequency;
  }
  graph.describe("condition", of_condition.dump());
  json scores = json::array();
  for (const flow::Score& score : detector.scores()) {
    scores.push_back({{"name", score.name},
                      {"meaning", score.meaning},
                      {"unit", score.unit},
                      {"needs_parameters", score.needs_parameters}});
  }
  graph.describe("scores", scores.dump());
  // JSON has no NaN, which a threshold that was not fitted is; it becomes null.
  graph.describe("threshold", json{{"score", detector.score_name()},
                                   {"value", model.threshold.value},
                                   {"method", model.threshold.method},
                                   {"quantile", model.threshold.quantile}}
                                  .dump());
  if (const std::span<const double> normal = train::normal_scores(model, detector.score_name()); !normal.empty()) {
    graph.describe("p_value", json{{"score", detector.score_name()},
                                   {"clips", normal.size()},
                                   {"least", train::conformal_p_value(normal, std::numeric_limits<double>::infinity())},
                                   {"source", model.conformal->source},
                                   {"date", model.conformal->date},
                                   {"data_hash", model.conformal->data_hash}}
                                  .dump());
  }
  graph.describe("provenance", json{{"version", from.version},
                                    {"commit", from.commit},
                                    {"data_hash", from.data_hash},
                                    {"seed", from.seed},
                                    {"device", from.device},
                                    {"date", from.date},
                                    {"machines", from.machines}}
                                   .dump());
  graph.describe("config", io::to_toml(model.config));
}

constexpr const char* estimate_meaning = "of each parameter, in its unit; of a name its place in the categories";

int64_t category_count(const train::Detector& detector, size_t parameter) {
  return static_cast<int64_t>(detector.model().condition.categories[parameter].size());
}

std::string meaning_of(const std::vector<flow::Score>& scores, const std::string& name) {
  const auto found = std::find_if(scores.begin(), scores.end(), [&](const auto& score) { return score.name == name; });
  return found == scores.end() ? std::string() : fmt::format("{} ({})", found->meaning, found->unit);
}

void add_window_outputs(Graph& graph, const train::Detector& detector, const WindowValues& windows) {
  const flow::Model& model = detector.network();
  graph.output({"zc", Element::float32, {window_count, model.zc_size()}, "latents of the sound"}, windows.zc);
  if (windows.zd) {
    graph.output({"zd", Element::float32, {window_count, model.zd_size()}, "latents of the operating point"},
                 *windows.zd);
  }
  for (const auto& [name, value] : windows.terms) {
    graph.output({window_name(name), Element::float64, {window_count}, "nats"}, value);
  }
  for (const auto& [name, value] : windows.scores) {
    graph.output({window_name(name), Element::float64, {window_count}, meaning_of(detector.scores(), name)}, value);
  }
  if (windows.estimate) {
    graph.output({window_name("estimate"), Element::float64, {window_count, model.parameter_count()}, estimate_meaning},
                 *windows.estimate);
  }
  for (const NameValues& name : windows.names) {
    const int64_t categories = category_count(detector, name.parameter);
    graph.output({window_name(posterior_name(detector, name.parameter)),
                  Element::float64,
                  {window_count, categories},
                  "probability of each category"},
                 name.posterior);
    graph.output({window_name(membership_name(detector, name.parameter)),
                  Element::float64,
                  {window_count, categories},
                  "how much there is of each category: 1 of the sound's own, 0 of others"},
                 name.membership);
  }
}

void add_clip_outputs(Graph& graph, const train::Detector& detector, const WindowValues& windows,
                      const ClipValues& clip) {
  for (const auto& [name, value] : clip.scores) {
    graph.output({name, Element::float64, {}, meaning_of(detector.scores(), name)}, value);
  }
  if (clip.estimate) {
    graph.output({"estimate", Element::float64, {detector.network().parameter_count()}, estimate_meaning},
                 *clip.estimate);
  }
  for (size_t i = 0; i < windows.names.size(); ++i) {
    const size_t p = windows.names[i].parameter;
    graph.output(
        {posterior_name(detector, p), Element::float64, {category_count(detector, p)}, "probability of each category"},
        clip.posteriors[i]);
    graph.output({probability_name(detector, p), Element::float64, {}, "of the estimated category"},
                 clip.probabilities[i]);
  }
  graph.output({"score", Element::float64, {}, fmt::format("the score that decides: {}", detector.score_name())},
               clip.score);
  graph.output({"decision", Element::int64, {}, "1 anomalous, 0 normal, -1 no decision"}, clip.decision);
  if (clip.p_value) {
    graph.output({"p_value",
                  Element::float64,
                  {},
                  "how rarely a normal clip scores so high, judged by normal clips that were not trained on"},
                 *clip.p_value);
  }
  if (clip.outside_calibration) {
    graph.output({"outside_calibration",
                  Element::int64,
                  {},
                  "1: the calibrated scores are those of the nearest calibrated operating point, or the sound fits no "
                  "category of a name; -1: neither, and nothing is calibrated"},
                 *clip.outside_calibration);
  }
}

}  // namespace

std::string window_name(const std::string& name) {
  return fmt::format("window_{}", name);
}

std::string posterior_name(const train::Detector& detector, size_t parameter) {
  return fmt::format("posterior_{}", detector.model().condition.names[parameter]);
}

std::string membership_name(const train::Detector& detector, size_t parameter) {
  return fmt::format("membership_{}", detector.model().condition.names[parameter]);
}

std::string probability_name(const train::Detector& detector, size_t parameter) {
  return fmt::format("estimate_{}_p", detector.model().condition.names[parameter]);
}

std::unique_ptr<Graph> make_graph(const train::Detector& detector, GraphInput input, int opset) {
  require_opset(opset);
  const flow::Model& model = detector.network();
  const bool from_sound = input == GraphInput::sound;
  auto graph = std::make_unique<Graph>(
      from_sound ? "evenflow_from_sound" : "evenflow",
      fmt::format("A detector of anomalous sound: {}. {} of one clip to its scores, estimate and decision.",
                  model.describe(), from_sound ? "The samples" : "The normalised log-mel windows"),
      opset);
  Value windows;
  std::optional<Value> log_mel;
  if (from_sound) {
    const std::string meaning = fmt::format("mono, in [-1, 1], {} Hz", detector.model().config.frontend.sample_rate_hz);
    const Value samples = graph->input({samples_name, Element::float32, {std::string(samples_name)}, meaning});
    const SoundValues sound = add_log_mel(*graph, detector.model(), samples);
    log_mel = sound.log_mel;
    windows = sound.windows;
  } else {
    windows = graph->input({windows_name,
                            Element::float32,
                            {window_count, model.height(), model.width()},
                            "windows [mel band, frame] in dB, normalised: (x - mean) / std of each band"});
  }
  std::optional<Value> parameters;
  const int64_t count = model.parameter_count();
  const bool takes_parameters = std::any_of(detector.scores().begin(), detector.scores().end(),
                                            [](const flow::Score& score) { return score.needs_parameters; }) ||
                                detector.model().config.model.kind == io::ModelKind::vae;
  if (count > 0 && takes_parameters) {
    const std::vector<double> unknown(static_cast<size_t>(count), std::numeric_limits<double>::quiet_NaN());
    parameters = graph->input({parameters_name,
                               Element::float64,
                               {count},
                               "the clip's, where known, of a name its place in the categories; NaN: unknown"},
                              unknown);
  }
  const WindowValues of_windows = add_model(*graph, detector, windows, parameters);
  const ClipValues clip = add_clip(*graph, detector, of_windows);
  if (log_mel) {
    graph->output({log_mel_name, Element::float32, {frame_count, model.height()}, "dB"}, *log_mel);
  }
  add_window_outputs(*graph, detector, of_windows);
  add_clip_outputs(*graph, detector, of_windows, clip);
  describe(*graph, detector);
  return graph;
}

}  // namespace evenflow::experiments::onnx
