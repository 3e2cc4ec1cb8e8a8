#include "experiments/export/logmel_graph.h"

#include <cmath>

#include "kernels/logmel.h"

namespace evenflow::experiments::onnx {
namespace {

class SoundGraph {
 public:
  SoundGraph(Graph& graph, const io::ModelData& model)
      : graph_(graph), model_(model), frontend_(model.config.frontend) {}

  /// [t] -> [frames, bands], dB.
  Value log_mel(const Value& samples) {
    const Scope scope(graph_, "log_mel");
    const int64_t half = frontend_.n_fft / 2;
    const Value exact = graph_.cast(samples, Element::float64);
    const bool zeros = frontend_.pad_mode == io::PadMode::zero;
    const Value padded = graph_.node("Pad", {exact, graph_.integers({half, half})},
                                     {{"mode", std::string(zeros ? "constant" : "reflect")}});
    const std::vector<double> hann = kernels::periodic_hann(frontend_.n_fft);
    const Value window = graph_.tensor(std::span<const double>(hann), {frontend_.n_fft}, "stft_window");
    const Value spectra =
        graph_.node("STFT",
                    {graph_.reshape(padded, {1, -1, 1}), graph_.number(int64_t{frontend_.hop_samples}), window,
                     graph_.number(int64_t{frontend_.n_fft})},
                    {{"onesided", int64_t{1}}});  // [1, frames, bins, 2]
    const Value power = graph_.reduce("ReduceSum", graph_.square(spectra), {0, 3});
    const Value floored =
        graph_.node("Max", {graph_.node("MatMul", {power, filterbank()}), graph_.number(kernels::mel_power_floor)});
    const Value decibels = graph_.multiply(graph_.node("Log", {floored}), graph_.number(10.0 / std::log(10.0)));
    return graph_.cast(decibels, Element::float32);
  }

  /// [frames, bands] in dB -> [windows, bands, window frames], normalised.
  Value windows(const Value& log_mel) {
    const Scope scope(graph_, "windows");
    const io::WindowSettings& window = model_.config.window;
    const auto bands = static_cast<int64_t>(model_.normaliser.mean.size());
    const Value mean = graph_.tensor(std::span<const float>(model_.normaliser.mean), {bands}, "normaliser.mean");
    std::vector<float> inverse;
    for (const float deviation : model_.normaliser.std) {
      inverse.push_back(1.0F / deviation);
    }
    const Value scale = graph_.tensor(std::span<const float>(inverse), {bands}, "normaliser.inverse_std");
    const Value frames = graph_.multiply(graph_.subtract(log_mel, mean), scale);

    const int64_t width = window.window_frames, hop = window.window_hop_frames;
    const Value total = graph_.reshape(graph_.slice(graph_.node("Shape", {log_mel}), 0, 0, 1), {});
    const Value last = graph_.subtract(total, graph_.number(width));
    const Value zero = graph_.number(int64_t{0}), one = graph_.number(int64_t{1});
    // Windows begin at 0, hop, 2 hop, ... up to the last frame that one may begin at.
    const Value starts = graph_.node("Range", {zero, graph_.add(last, one), graph_.number(hop)});
    const Value within = graph_.node("Range", {zero, graph_.number(width), one});
    const Value index = graph_.add(graph_.unsqueeze(starts, 1), within);
    return graph_.transpose(graph_.gather(frames, index), {0, 2, 1});
  }

 private:
  /// [bins, bands] float64
  Value filterbank() {
    const kernels::MelFilterbank filters = kernels::slaney_filterbank({.sample_rate_hz = frontend_.sample_rate_hz,
                                                                       .n_fft = frontend_.n_fft,
                                                                       .hop_samples = frontend_.hop_samples,
                                                                       .mel_bands = frontend_.mel_bands});
    const size_t bands = filters.first_bin.size();
    std::vector<float> weights((static_cast<size_t>(frontend_.n_fft) / 2 + 1) * bands, 0.0F);
    for (size_t band = 0; band < bands; ++band) {
      auto bin = static_cast<size_t>(filters.first_bin[band]);
      for (auto at = static_cast<size_t>(filters.offset[band]); at < static_cast<size_t>(filters.offset[band + 1]);
           ++at) {
        weights[bin++ * bands + band] = filters.weight[at];
      }
    }
    const Value tensor =
        graph_.tensor(std::span<const float>(weights),
                      {static_cast<int64_t>(weights.size() / bands), static_cast<int64_t>(bands)}, "mel_filters");
    return graph_.cast(tensor, Element::float64);
  }

  Graph& graph_;
  const io::ModelData& model_;
  const io::FrontendSettings& frontend_;
};

}  // namespace

SoundValues add_log_mel(Graph& graph, const io::ModelData& model, const Value& samples) {
  SoundGraph sound(graph, model);
  SoundValues out;
  out.log_mel = sound.log_mel(samples);
  out.windows = sound.windows(out.log_mel);
  return out;
}

}  // namespace evenflow::experiments::onnx
