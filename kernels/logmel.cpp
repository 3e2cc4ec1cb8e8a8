#include "kernels/logmel.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>

#include "kernels/cpu/logmel.h"

namespace evenflow::kernels {
namespace {

constexpr double linear_step_hz = 200.0 / 3.0;
constexpr double log_start_hz = 1000.0;
constexpr double log_start_mel = log_start_hz / linear_step_hz;

double log_step() {
  return std::log(6.4) / 27.0;
}

double hz_to_mel(double hz) {
  return hz < log_start_hz ? hz / linear_step_hz : log_start_mel + std::log(hz / log_start_hz) / log_step();
}

double mel_to_hz(double mel) {
  return mel < log_start_mel ? mel * linear_step_hz : log_start_hz * std::exp(log_step() * (mel - log_start_mel));
}

void require(bool holds, const char* what, int came) {
  if (!holds) throw std::invalid_argument("log-mel: " + std::string(what) + ", came " + std::to_string(came));
}

void check(const LogMelSettings& settings) {
  require(settings.sample_rate_hz > 0, "sample_rate_hz must be positive", settings.sample_rate_hz);
  require(settings.n_fft >= 2 && settings.n_fft % 2 == 0, "n_fft must be even and at least 2", settings.n_fft);
  require(settings.hop_samples > 0, "hop_samples must be positive", settings.hop_samples);
  require(settings.mel_bands > 0, "mel_bands must be positive", settings.mel_bands);
}

}  // namespace

MelFilterbank slaney_filterbank(const LogMelSettings& settings) {
  check(settings);
  const int bands = settings.mel_bands;
  const double top_mel = hz_to_mel(settings.sample_rate_hz / 2.0);
  std::vector<double> edge_hz(static_cast<size_t>(bands) + 2);
  for (size_t i = 0; i < edge_hz.size(); ++i) edge_hz[i] = mel_to_hz(top_mel * static_cast<double>(i) / (bands + 1));

  MelFilterbank filters;
  filters.offset.push_back(0);
  const int bins = settings.n_fft / 2 + 1;
  for (size_t band = 0; band < static_cast<size_t>(bands); ++band) {
    const double low = edge_hz[band], peak = edge_hz[band + 1], high = edge_hz[band + 2];
    const double norm = 2.0 / (high - low);
    int first = 0;
    for (int bin = 0; bin < bins; ++bin) {
      const double hz = static_cast<double>(bin) * settings.sample_rate_hz / settings.n_fft;
      const double height = std::min((hz - low) / (peak - low), (high - hz) / (high - peak));
      const auto weight = static_cast<float>(std::max(0.0, height) * norm);
      if (!(weight > 0.0f)) continue;
      if (static_cast<int>(filters.weight.size()) == filters.offset.back()) first = bin;
      filters.weight.push_back(weight);
    }
    filters.first_bin.push_back(first);
    filters.offset.push_back(static_cast<int>(filters.weight.size()));
  }
  return filters;
}

std::vector<double> periodic_hann(int n) {
  std::vector<double> window(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) window[static_cast<size_t>(i)] = 0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * i / n);
  return window;
}

std::unique_ptr<LogMelPlan> make_logmel_plan(const LogMelSettings& settings) {
  check(settings);
  return cpu::make_logmel_plan(settings);
}

}  // namespace evenflow::kernels
