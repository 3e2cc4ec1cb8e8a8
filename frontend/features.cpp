#include "frontend/features.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "io/error.h"
#include "kernels/buffer.h"
#include "kernels/copy.h"
#include "kernels/logmel.h"
#include "kernels/stream.h"

namespace evenflow::frontend {
namespace {

void require(bool holds, const char* key, int value, const char* allowed) {
  if (!holds) {
    throw io::UsageError(fmt::format("frontend.{} = {} is not allowed: {}", key, value, allowed));
  }
}

kernels::LogMelSettings kernel_settings(const io::FrontendSettings& settings) {
  require(settings.sample_rate_hz > 0, "sample_rate_hz", settings.sample_rate_hz, "it must be positive");
  require(settings.n_fft >= 2 && settings.n_fft % 2 == 0, "n_fft", settings.n_fft, "it must be even");
  require(settings.hop_samples > 0, "hop_samples", settings.hop_samples, "it must be positive");
  require(settings.mel_bands > 0, "mel_bands", settings.mel_bands, "it must be positive");
  return {.sample_rate_hz = settings.sample_rate_hz,
          .n_fft = settings.n_fft,
          .hop_samples = settings.hop_samples,
          .mel_bands = settings.mel_bands,
          .pad_mode = settings.pad_mode == io::PadMode::zero ? kernels::PadMode::zero : kernels::PadMode::reflect};
}

}  // namespace

struct LogMel::State {
  kernels::LogMelPlan plan;
};

LogMel::LogMel(const io::FrontendSettings& settings)
    : state_(std::make_unique<State>(State{kernels::LogMelPlan(kernel_settings(settings))})) {}
LogMel::~LogMel() = default;
LogMel::LogMel(LogMel&&) noexcept = default;
LogMel& LogMel::operator=(LogMel&&) noexcept = default;

int64_t LogMel::frames(int64_t samples) const {
  return state_->plan.frames(samples);
}

int64_t LogMel::least_samples() const {
  return state_->plan.least_samples();
}

std::vector<float> LogMel::operator()(std::span<const float> samples) {
  const auto count = static_cast<int64_t>(samples.size());
  std::vector<float> out(static_cast<size_t>(frames(count) * state_->plan.settings().mel_bands));
  state_->plan.run(samples.data(), count, out.data());
  return out;
}

struct BatchLogMel::State {
  State(const io::FrontendSettings& settings, kernels::Device on)
      : device(on), plan(kernel_settings(settings), on), stream(on) {}

  kernels::Device device;
  kernels::LogMelPlan plan;
  kernels::Stream stream;
  // As large as the largest batch so far; the host's pinned.
  kernels::Buffer<float> samples_here, samples, frames_here, frames;
  kernels::Buffer<kernels::LogMelClip> clips;
};

BatchLogMel::BatchLogMel(const io::FrontendSettings& settings, kernels::Device device)
    : state_(std::make_unique<State>(settings, device)) {}
BatchLogMel::~BatchLogMel() = default;
BatchLogMel::BatchLogMel(BatchLogMel&&) noexcept = default;
BatchLogMel& BatchLogMel::operator=(BatchLogMel&&) noexcept = default;

std::vector<std::vector<float>> BatchLogMel::operator()(std::span<const std::vector<float>> clips) {
  State& s = *state_;
  std::vector<int64_t> lengths;
  for (const std::vector<float>& clip : clips) {
    lengths.push_back(static_cast<int64_t>(clip.size()));
  }
  const kernels::LogMelLayout layout = lay_out_clips(s.plan.settings(), lengths);
  const auto count = static_cast<int64_t>(clips.size());
  const int64_t bands = s.plan.settings().mel_bands;
  if (s.samples.size() < layout.samples) {
    s.samples_here = kernels::Buffer<float>::pinned(layout.samples, s.device);
    s.samples = kernels::Buffer<float>(layout.samples, s.device);
  }
  if (s.frames.size() < layout.frames * bands) {
    s.frames_here = kernels::Buffer<float>::pinned(layout.frames * bands, s.device);
    s.frames = kernels::Buffer<float>(layout.frames * bands, s.device);
  }
  if (s.clips.size() < count) {
    s.clips = kernels::Buffer<kernels::LogMelClip>(count, s.device);
  }

  for (size_t i = 0; i < clips.size(); ++i) {
    std::copy(clips[i].begin(), clips[i].end(), s.samples_here.data() + layout.clips[i].first_sample);
  }
  const auto frames_there = s.frames.slice(0, layout.frames * bands);
  const auto frames_here = s.frames_here.slice(0, layout.frames * bands);
  kernels::copy(s.stream, s.samples_here.slice(0, layout.samples), s.samples.slice(0, layout.samples));
  kernels::copy(s.stream, kernels::Array<const kernels::LogMelClip>{layout.clips.data(), count, {}},
                s.clips.slice(0, count));
  kernels::logmel(s.stream, s.plan.task(s.samples.slice(0, layout.samples), s.clips.slice(0, count), frames_there));
  kernels::copy(s.stream, frames_there, frames_here);
  s.stream.synchronise();

  std::vector<std::vector<float>> out;
  for (const kernels::LogMelClip& clip : layout.clips) {
    const float* first = frames_here.data + clip.first_frame * bands;
    out.emplace_back(first, first + s.plan.frames(clip.samples) * bands);
  }
  return out;
}

int64_t windows_in(int64_t frames, const io::WindowSettings& settings) {
  if (frames < settings.window_frames) {
    return 0;
  }
  return 1 + (frames - settings.window_frames) / settings.window_hop_frames;
}

void require_paddable(const std::filesystem::path& file, int64_t samples, const io::FrontendSettings& settings,
                      const LogMel& transform) {
  if (samples >= transform.least_samples()) {
    return;
  }
  throw io::DataError(fmt::format(
      "'{}' is too short: {} {} at {} Hz, where reflection at its ends needs {}; leave it out", file.string(), samples,
      samples == 1 ? "sample" : "samples", settings.sample_rate_hz, transform.least_samples()));
}

std::vector<float> clip_features(const std::filesystem::path& file, std::span<const float> samples,
                                 const io::FrontendSettings& settings, LogMel& transform) {
  require_paddable(file, static_cast<int64_t>(samples.size()), settings, transform);
  return transform(samples);
}

FileFeatures file_features(const std::filesystem::path& file, const io::FrontendSettings& settings, LogMel& transform) {
  Audio audio = read_audio(file, settings);
  return {clip_features(file, audio.samples, settings, transform), std::move(audio.source)};
}

std::vector<float> sample_features(const std::string& name, const Samples& samples,
                                   const io::FrontendSettings& settings, LogMel& transform) {
  std::vector<float> room;
  return clip_features(name, one_channel(name, samples, settings, room), settings, transform);
}

}  // namespace evenflow::frontend
