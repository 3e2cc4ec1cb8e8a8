#include "experiments/export/parity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>
#include <numeric>

#include "experiments/export/export.h"
#include "experiments/export/parity_source.h"
#include "frontend/audio.h"
#include "frontend/features.h"
#include "io/error.h"
#include "kernels/random.h"
#include "train/detect/decision.h"
#include "train/statistics/conformal.h"

namespace evenflow::experiments::onnx {
namespace {

using nlohmann::json;

/// An array of the runtime's, or what the program has for it.
struct Values {
  std::vector<double> values;
  bool latents = false;                          ///< measured by the largest of them, not each by itself
  std::vector<double> least_magnitudes = {1.0};  ///< by turns
};

constexpr const char* digits = "0123456789abcdef";

template <class T>
json described(const char* type, const std::vector<int64_t>& shape, const std::vector<T>& values) {
  std::string hex;
  for (const std::byte byte : std::as_bytes(std::span(values))) {
    hex += digits[std::to_integer<unsigned>(byte) / 16];
    hex += digits[std::to_integer<unsigned>(byte) % 16];
  }
  return {{"type", type}, {"shape", shape}, {"bytes", hex}};
}

template <class T>
std::vector<double> values_of_bytes(const std::string& hex) {
  std::vector<double> out;
  for (size_t at = 0; at + 2 * sizeof(T) <= hex.size(); at += 2 * sizeof(T)) {
    std::array<unsigned char, sizeof(T)> bytes{};
    for (size_t i = 0; i < sizeof(T); ++i) {
      bytes[i] = static_cast<unsigned char>(std::stoul(hex.substr(at + 2 * i, 2), nullptr, 16));
    }
    T value{};
    std::memcpy(&value, bytes.data(), sizeof(T));
    out.push_back(static_cast<double>(value));
  }
  return out;
}

std::vector<double> values_of(const json& array) {
  const auto type = array.at("type").get<std::string>();
  const auto hex = array.at("bytes").get<std::string>();
  return type == "float32"   ? values_of_bytes<float>(hex)
         : type == "float64" ? values_of_bytes<double>(hex)
                             : values_of_bytes<int64_t>(hex);
}

void append(Values& to, std::span<const double> values) {
  to.values.insert(to.values.end(), values.begin(), values.end());
}

/// Calls visit(p, first of its categories among all, how many) for each parameter that is a name.
template <class Visit>
void for_each_name(const io::ConditionData& condition, const Visit& visit) {
  size_t first = 0;
  for (size_t p = 0; p < condition.names.size(); ++p) {
    if (condition.is_category(p)) {
      visit(p, first, condition.categories[p].size());
      first += condition.categories[p].size();
    }
  }
}

/// What the program says of the windows, by the outputs' names.
void add_windows(std::map<std::string, Values>& out, const train::Detector& detector, std::vector<float> windows,
                 const std::vector<double>& parameters) {
  const flow::Model& model = detector.network();
  const auto size = model.dimensions();
  const auto n = static_cast<int64_t>(windows.size()) / size;
  kernels::Stream stream(model.device());
  const auto pass = model.make_pass(1, flow::PassMode::score);
  flow::WindowScores scores(model, n);
  const auto zc_size = static_cast<size_t>(model.zc_size());
  std::vector<float> z(zc_size + static_cast<size_t>(model.zd_size()));
  for (int64_t w = 0; w < n; ++w) {
    const kernels::Map x = kernels::make_map(windows.data() + w * size, 1, 1, model.height(), model.width());
    pass->score(stream, x, parameters, scores, w);
    pass->copy_latents(stream, 0, z);
    stream.synchronise();
    for (size_t i = 0; i < z.size(); ++i) {
      out[i < zc_size ? "zc" : "zd"].values.push_back(z[i]);
    }
    for (size_t t = 0; t < model.terms().size(); ++t) {
      out[window_name(model.terms()[t])].values.push_back(scores.terms[w][t]);
    }
    for (size_t s = 0; s < model.scores().size(); ++s) {
      out[window_name(model.scores()[s].name)].values.push_back(scores.scores[w][s]);
    }
    append(out[window_name("estimate")], scores.estimates[w]);
    for_each_name(detector.model().condition, [&](size_t p, size_t first, size_t count) {
      append(out[window_name(posterior_name(detector, p))], scores.posteriors[w].subspan(first, count));
      append(out[window_name(membership_name(detector, p))], scores.memberships[w].subspan(first, count));
    });
  }
  for_each_name(detector.model().condition, [&](size_t p, size_t, size_t count) {
    const std::vector<double>& of_windows = out[window_name(posterior_name(detector, p))].values;
    std::vector<double>& mean = out[posterior_name(detector, p)].values;
    mean.assign(count, 0.0);
    for (size_t i = 0; i < of_windows.size(); ++i) {
      mean[i % count] += of_windows[i] / static_cast<double>(n);
    }
  });
  out["zc"].latents = out["zd"].latents = true;
}

/// Of a VAE's divergence, which when large is mostly exp(l) of a log-variance l: that moves by |l| times what l moves
/// by.
void set_divergence_magnitudes(std::map<std::string, Values>& out, const std::string& score, double weight) {
  const double least = out[score].least_magnitudes.front();
  double largest = least;
  std::vector<double> magnitudes;
  for (const double value : out[window_name("score_kld")].values) {
    const double divergence = value * std::log(std::max(std::numbers::e, value));
    magnitudes.push_back(std::max(least, weight * divergence));
    largest = std::max(largest, magnitudes.back());
  }
  out[window_name(score)].least_magnitudes = magnitudes;
  out[score].least_magnitudes = {largest};
}

/// Of scores that may be differences of likelihoods' parts, and of estimates, v0 plus what a latent says.
void set_magnitudes(std::map<std::string, Values>& out, const train::Detector& detector) {
  constexpr double share = 0.01;
  double least = 1.0;
  for (const std::string& term : detector.network().terms()) {
    for (const double value : out[window_name(term)].values) {
      least = std::max(least, share * std::abs(value));
    }
  }
  for (const flow::Score& score : detector.scores()) {
    if (score.unit == "nats") {
      out[score.name].least_magnitudes = out[window_name(score.name)].least_magnitudes = {least};
    }
  }
  if (const io::Config& config = detector.model().config; config.model.kind == io::ModelKind::vae) {
    set_divergence_magnitudes(out, "score_kld", 1.0);
    set_divergence_magnitudes(out, "score_loss", config.vae.beta);
  }
  out["score"].least_magnitudes = out[detector.score_name()].least_magnitudes;
  const io::ConditionData& condition = detector.model().condition;
  std::vector<double> usual;
  for (size_t p = 0; p < condition.names.size(); ++p) {
    usual.push_back(std::max(std::abs(condition.mean[p]), condition.std[p]));
  }
  out["estimate"].least_magnitudes = out[window_name("estimate")].least_magnitudes = usual;
}

/// And of the clip.
void add_clip_scores(std::map<std::string, Values>& out, train::Detector& detector, const ParityClip& clip) {
  io::Clip known;
  known.path = clip.name;
  known.parameter = clip.parameters;
  const train::ClipScore score = detector.score(known, clip.frames);
  for (size_t s = 0; s < detector.scores().size(); ++s) {
    out[detector.scores()[s].name].values = {score.scores[s]};
  }
  out["estimate"].values = score.estimate;
  for_each_name(detector.model().condition,
                [&](size_t p, size_t, size_t) { out[probability_name(detector, p)].values = {score.probability[p]}; });
  out["score"].values = {score.score};
  out["decision"].values = {static_cast<double>(score.decision)};
  out["outside_calibration"].values = {static_cast<double>(score.outside_calibration)};
}

double error_of(double a, double b, double magnitude) {
  if (std::isnan(a) && std::isnan(b)) {
    return 0.0;
  }
  const double error = a == b ? 0.0 : std::abs(a - b) / magnitude;
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

double largest_error(const std::vector<double>& found, const Values& expected) {
  if (found.size() != expected.values.size()) {
    return std::numeric_limits<double>::infinity();
  }
  double largest = 1.0, worst = 0.0;
  for (const double value : expected.values) {
    largest = std::max(largest, std::abs(value));
  }
  for (size_t i = 0; i < found.size(); ++i) {
    const double own = expected.values[i];
    const double least = expected.least_magnitudes[i % expected.least_magnitudes.size()];
    worst = std::max(worst, error_of(found[i], own, expected.latents ? largest : std::max(least, std::abs(own))));
  }
  return worst;
}

}  // namespace

std::string why_no_runtime() {
  const ProgramOutput version = run_program({python(), "-c", "import numpy, onnxruntime"});
  if (version.code == 0) {
    return "";
  }
  return version.code < 0 ? fmt::format("there is no Python ('{}')", python())
                          : fmt::format("'{}' does not have ONNX Runtime", python());
}

std::vector<float> normalised_windows(const io::ModelData& model, std::span<const float> frames) {
  const io::WindowSettings& window = model.config.window;
  const auto bands = model.normaliser.mean.size();
  const int64_t n = frontend::windows_in(static_cast<int64_t>(frames.size() / bands), window);
  std::vector<float> out;
  for (int64_t w = 0; w < n; ++w) {
    for (size_t band = 0; band < bands; ++band) {
      const float inverse = 1.0F / model.normaliser.std[band];
      for (int64_t t = 0; t < window.window_frames; ++t) {
        const auto frame = static_cast<size_t>(w * window.window_hop_frames + t);
        out.push_back((frames[frame * bands + band] - model.normaliser.mean[band]) * inverse);
      }
    }
  }
  return out;
}

std::vector<ParityClip> own_clips(train::Detector& detector) {
  const io::ModelData& model = detector.model();
  const io::FrontendSettings& frontend = model.config.frontend;
  const int64_t frames = model.config.window.window_frames + 3 * int64_t{model.config.window.window_hop_frames} + 1;
  const std::vector<double> unknown(model.condition.names.size(), std::numeric_limits<double>::quiet_NaN());
  constexpr uint64_t seed = 15;

  ParityClip sound{"noise with a tone", {}, {}, unknown};
  const int64_t samples = std::max<int64_t>(frames * frontend.hop_samples, frontend.n_fft);
  for (int64_t i = 0; i < samples; ++i) {
    const double turns = 0.05 * static_cast<double>(i);
    sound.samples.push_back(static_cast<float>(0.1 * kernels::random_normal(seed, 0, static_cast<uint64_t>(i)) +
                                               0.2 * std::sin(2.0 * std::numbers::pi * turns)));
  }
  sound.frames = frontend::LogMel(frontend)(sound.samples);

  ParityClip usual{"frames about the training's mean", {}, {}, model.condition.mean};
  for_each_name(model.condition, [&](size_t p, size_t, size_t count) {
    usual.parameters[p] = static_cast<double>(count - 1);  // the last category
  });
  const auto bands = model.normaliser.mean.size();
  for (size_t i = 0; i < static_cast<size_t>(frames) * bands; ++i) {
    const auto off = static_cast<float>(kernels::random_normal(seed, 1, i));
    usual.frames.push_back(model.normaliser.mean[i % bands] + model.normaliser.std[i % bands] * off);
  }
  return {sound, usual};
}

ParityClip recorded_clip(train::Detector& detector, const std::filesystem::path& file) {
  const io::ModelData& model = detector.model();
  ParityClip clip{file.string(), frontend::read_audio(file, model.config.frontend).samples, {}, {}};
  frontend::LogMel transform(model.config.frontend);
  clip.frames = frontend::clip_features(file, clip.samples, model.config.frontend, transform);
  clip.parameters.assign(model.condition.names.size(), std::numeric_limits<double>::quiet_NaN());
  return clip;
}

Runtime::Runtime() : python_({python(), "-c", parity_source}) {}

void Runtime::load(const std::filesystem::path& graph) {
  version_ = json::parse(python_.ask(json{{"graph", graph.string()}}.dump())).at("runtime").get<std::string>();
}

std::vector<ParityError> Runtime::compare(const Graph& graph, train::Detector& detector,
                                          const std::vector<ParityClip>& clips) {
  std::vector<ParityError> worst;
  for (const Port& output : graph.outputs()) {
    worst.push_back({output.name, "", 0.0});
  }
  const bool from_sound = graph.inputs().front().name == samples_name;
  const flow::Model& model = detector.network();
  for (const ParityClip& clip : clips) {
    if (from_sound && clip.samples.empty()) {
      continue;
    }
    const std::vector<float> windows = normalised_windows(detector.model(), clip.frames);
    const int64_t n = static_cast<int64_t>(windows.size()) / model.dimensions();
    json inputs;
    if (from_sound) {
      inputs[samples_name] = described("float32", {static_cast<int64_t>(clip.samples.size())}, clip.samples);
    } else {
      inputs[windows_name] = described("float32", {n, model.height(), model.width()}, windows);
    }
    if (graph.inputs().size() > 1) {
      inputs[parameters_name] = described("float64", {static_cast<int64_t>(clip.parameters.size())}, clip.parameters);
    }
    std::map<std::string, Values> expected;
    expected[log_mel_name].values.assign(clip.frames.begin(), clip.frames.end());
    add_windows(expected, detector, windows, clip.parameters);
    add_clip_scores(expected, detector, clip);
    set_magnitudes(expected, detector);
    const json answer = json::parse(python_.ask(json{{"inputs", inputs}}.dump()));
    // Beside a normal clip's score a rounding moves a p-value by a whole clip, so that it is held to the graph's score.
    const std::vector<double> score = values_of(answer.at("outputs").at("score"));
    expected["p_value"].values = {
        score.size() == 1 && std::isfinite(score.front())
            ? train::conformal_p_value(train::normal_scores(detector.model(), detector.score_name()), score.front())
            : std::numeric_limits<double>::quiet_NaN()};
    for (ParityError& of : worst) {
      const double error = largest_error(values_of(answer.at("outputs").at(of.output)), expected[of.output]);
      if (error > of.relative) {
        of.relative = error;
        of.clip = clip.name;
      }
    }
  }
  return worst;
}

}  // namespace evenflow::experiments::onnx
