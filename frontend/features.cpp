#include "frontend/features.h"

#include <fmt/format.h>

#include <string>

#include "frontend/audio.h"
#include "io/error.h"
#include "kernels/logmel.h"

namespace evenflow::frontend {
namespace {

void require(bool holds, const char* key, int value, const char* allowed) {
  if (!holds) throw io::UsageError(fmt::format("frontend.{} = {} cannot be: {}", key, value, allowed));
}

kernels::LogMelSettings kernel_settings(const io::FrontendSettings& settings) {
  require(settings.sample_rate_hz > 0, "sample_rate_hz", settings.sample_rate_hz, "it must be positive");
  require(settings.n_fft >= 2 && settings.n_fft % 2 == 0, "n_fft", settings.n_fft, "it must be even");
  require(settings.hop_samples > 0, "hop_samples", settings.hop_samples, "it must be positive");
  require(settings.mel_bands > 0, "mel_bands", settings.mel_bands, "it must be positive");
  if (settings.pad_mode != "reflect" && settings.pad_mode != "zero") {
    throw io::UsageError(
        fmt::format("frontend.pad_mode = \"{}\" cannot be: \"reflect\" or \"zero\" expected", settings.pad_mode));
  }
  return {.sample_rate_hz = settings.sample_rate_hz,
          .n_fft = settings.n_fft,
          .hop_samples = settings.hop_samples,
          .mel_bands = settings.mel_bands,
          .pad_mode = settings.pad_mode == "zero" ? kernels::PadMode::zero : kernels::PadMode::reflect};
}

}  // namespace

struct LogMel::State {
  std::unique_ptr<kernels::LogMelPlan> plan;
};

LogMel::LogMel(const io::FrontendSettings& settings)
    : state_(std::make_unique<State>(State{kernels::make_logmel_plan(kernel_settings(settings))})) {}
LogMel::~LogMel() = default;
LogMel::LogMel(LogMel&&) noexcept = default;
LogMel& LogMel::operator=(LogMel&&) noexcept = default;

int64_t LogMel::frames(int64_t samples) const {
  return state_->plan->frames(samples);
}

int64_t LogMel::least_samples() const {
  return state_->plan->least_samples();
}

std::vector<float> LogMel::operator()(std::span<const float> samples) {
  const auto count = static_cast<int64_t>(samples.size());
  std::vector<float> out(static_cast<size_t>(frames(count) * state_->plan->settings().mel_bands));
  state_->plan->run(samples.data(), count, out.data());
  return out;
}

int64_t windows_in(int64_t frames, const io::WindowSettings& settings) {
  if (frames < settings.window_frames) return 0;
  return 1 + (frames - settings.window_frames) / settings.window_hop_frames;
}

std::vector<float> clip_features(const std::filesystem::path& file, std::span<const float> samples,
                                 const io::FrontendSettings& settings, LogMel& transform) {
  if (static_cast<int64_t>(samples.size()) < transform.least_samples()) {
    throw io::DataError(fmt::format(
        "'{}' is too short: {} samples at {} Hz, where reflection at its ends needs {}; leave it out or set "
        "frontend.pad_mode to \"zero\"",
        file.string(), samples.size(), settings.sample_rate_hz, transform.least_samples()));
  }
  return transform(samples);
}

std::vector<float> file_features(const std::filesystem::path& file, const io::FrontendSettings& settings,
                                 LogMel& transform) {
  return clip_features(file, read_audio(file, settings), settings, transform);
}

}  // namespace evenflow::frontend
