#include "experiments/monitor/cutter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "frontend/channels.h"
#include "frontend/sound_header.h"
#include "io/error.h"

namespace evenflow::experiments::monitor {
namespace {

constexpr size_t block_frames = 4096;

void require_agreement(const StreamFormat& said, const frontend::PcmFormat& header) {
  const auto differ = [&](const std::string& what, const std::string& here, const std::string& there) {
    throw io::DataError(fmt::format("{} has {} {} by its header, where {} was said; correct one of them", said.name,
                                    what, there, here));
  };
  if (said.sample && *said.sample != header.sample) {
    differ("the format", std::string(io::name_of(*said.sample)), std::string(io::name_of(header.sample)));
  }
  if (said.rate_hz != 0 && said.rate_hz != header.rate_hz) {
    differ("a rate of", std::to_string(said.rate_hz), std::to_string(header.rate_hz));
  }
  if (said.channels != 0 && said.channels != header.channels) {
    differ("a number of channels of", std::to_string(said.channels), std::to_string(header.channels));
  }
}

/// io::UsageError: clips of so many seconds have no window.
void require_window(const LoadedModel& model, double clip_s) {
  const io::Config& config = model.detector.model().config;
  const auto samples = static_cast<int64_t>(clip_s * config.frontend.sample_rate_hz);
  const int64_t frames = samples / config.frontend.hop_samples + 1;
  if (frontend::windows_in(frames, config.window) >= 1 && samples >= model.transform.least_samples()) {
    return;
  }
  const int64_t least = (config.window.window_frames - 1) * config.frontend.hop_samples + config.frontend.n_fft;
  throw io::UsageError(
      fmt::format("clips of {:g} s are too short for a window of this model; give --clip {:.2f} or more", clip_s,
                  static_cast<double>(least) / config.frontend.sample_rate_hz));
}

size_t frame_bytes(const frontend::PcmFormat& pcm) {
  return frontend::sample_bytes(pcm.sample) * static_cast<size_t>(pcm.channels);
}

}  // namespace

Cutter::Cutter(StreamFormat format, std::shared_ptr<LoadedModel> model, double clip_s, const SensorLimits& limits)
    : format_(std::move(format)), asked_clip_s_(clip_s), limits_(limits) {
  if (format_.sample && format_.rate_hz == 0) {
    throw io::UsageError(fmt::format(
        "{}: raw samples do not tell their rate; give --rate (or rate, in a file of machines)", format_.name));
  }
  adopt(std::move(model));
}

void Cutter::adopt(std::shared_ptr<LoadedModel> model) {
  clip_ = std::make_unique<train::ClipStream>(model->detector, model->transform);
  model_ = std::move(model);
  next_model_.reset();
  require_window(*model_, clip_s(*model_));
  if (pcm_) {
    begin_sound();
  }
}

double Cutter::clip_s(const LoadedModel& model) const {
  return asked_clip_s_ > 0 ? asked_clip_s_ : model.clip_s();
}

void Cutter::set_model(std::shared_ptr<LoadedModel> model) {
  require_window(*model, clip_s(*model));
  next_model_ = std::move(model);
}

/// What follows from the format and the model together.
void Cutter::begin_sound() {
  const io::Config& config = model_->detector.model().config;
  const int to_hz = config.frontend.sample_rate_hz;
  const std::optional<int> channel = frontend::wanted_channel(config.frontend.channel);
  if (channel && *channel >= pcm_->channels) {
    throw io::DataError(
        fmt::format("{} has no channel {}, which the model hears: it has {}", format_.name, *channel, pcm_->channels));
  }
  clip_samples_ = std::max<int64_t>(1, std::llround(clip_s(*model_) * pcm_->rate_hz));
  require_window(*model_, static_cast<double>(clip_samples_) / pcm_->rate_hz);
  resampler_.emplace(pcm_->rate_hz, to_hz);
  check_ = SoundCheck(frontend::full_scale(pcm_->sample));
}

int64_t Cutter::drop_clip() {
  clip_->drop();
  if (pcm_) {
    begin_sound();
  }
  return std::exchange(in_clip_, 0);
}

int64_t Cutter::begin_anew() {
  pcm_.reset();
  sound_left_.reset();
  held_.clear();
  bytes_ = whole_bytes_ = behind_ = 0;
  const int64_t lost = drop_clip();
  if (next_model_) {
    adopt(next_model_);
  }
  return lost;
}

void Cutter::count_on(int64_t clips, double start_s, int64_t samples) {
  clips_ = clips;
  start_s_ = start_s;
  samples_ = samples;
}

void Cutter::skip_to(const frontend::PcmFormat& pcm, uint64_t whole_bytes, std::optional<uint64_t> sound_left) {
  pcm_ = pcm;
  sound_left_ = sound_left;
  bytes_ = whole_bytes_ = whole_bytes;
  begin_sound();
}

void Cutter::read_header() {
  constexpr size_t enough = 12;
  if (held_.size() < enough) {
    return;
  }
  if (!frontend::begins_wav(held_)) {
    if (!format_.sample) {
      throw io::DataError(
          fmt::format("{} does not begin with a WAV header; describe raw samples by --format, --rate and --channels",
                      format_.name));
    }
    pcm_ = {*format_.sample, format_.rate_hz, std::max(format_.channels, 1)};
  } else {
    const std::optional<frontend::WavHeader> header = frontend::parse_wav_header(held_, format_.name);
    if (!header) {
      return;
    }
    require_agreement(format_, header->format);
    pcm_ = header->format;
    sound_left_ = format_.grows ? std::nullopt : header->sound_bytes;
    bytes_ = whole_bytes_ = header->bytes;
    held_.erase(0, header->bytes);
  }
  begin_sound();
}

void Cutter::take(std::string_view bytes, const Visitor& visitor) {
  if (!pcm_ || !held_.empty()) {
    held_ += bytes;
    bytes = held_;
  }
  if (!pcm_) {
    read_header();
    if (!pcm_) {
      return;
    }
    bytes = held_;
  }
  if (sound_left_) {
    const uint64_t sound = std::min<uint64_t>(bytes.size(), *sound_left_);
    behind_ += bytes.size() - sound;
    bytes = bytes.substr(0, sound);
  }
  const size_t width = frame_bytes(*pcm_);
  while (bytes.size() >= width) {
    const size_t until_end = static_cast<size_t>(clip_samples_ - in_clip_);
    const size_t count = width * std::min({bytes.size() / width, block_frames, until_end});
    values_.clear();
    frontend::decode_pcm(bytes.substr(0, count), pcm_->sample, values_);
    bytes_ += count;
    bytes.remove_prefix(count);
    if (sound_left_) {
      *sound_left_ -= count;
    }
    take_values(values_, visitor);
  }
  held_ = std::string(bytes);
}

void Cutter::take_values(std::span<const float> values, const Visitor& visitor) {
  const auto channels = static_cast<size_t>(pcm_->channels);
  const size_t frames = values.size() / channels;
  check_.add(values);
  samples_ += static_cast<int64_t>(frames);
  in_clip_ += static_cast<int64_t>(frames);
  mono_.resize(frames);
  if (channels == 1) {
    std::copy(values.begin(), values.end(), mono_.begin());
  } else {
    frontend::to_mono(values.data(), frames, channels, frontend::wanted_channel(model_->frontend().channel),
                      mono_.data());
  }
  resampled_.clear();
  resampler_->push(mono_, resampled_);
  hear(resampled_, visitor);
  if (in_clip_ == clip_samples_) {
    end_clip(visitor);
  }
}

void Cutter::hear(std::span<const float> mono, const Visitor& visitor) {
  const int64_t before = clip_->samples() == 0 ? 0 : clip_->windows().size();
  clip_->push(mono);
  if (clip_->windows().size() > before && visitor.windows) {
    visitor.windows(before);
  }
}

void Cutter::end_clip(const Visitor& visitor) {
  resampled_.clear();
  resampler_->finish(resampled_);
  hear(resampled_, visitor);
  HeardClip heard;
  heard.number = clip_number();
  heard.start_s = start_s_;
  heard.seconds = static_cast<double>(clip_samples_) / pcm_->rate_hz;
  heard.sensor_fault = check_.fault(limits_);
  const int64_t before = clip_->windows().size();
  io::Clip clip;
  clip.path = fmt::format("clip {}", heard.number);
  train::ClipScore score = clip_->finish(clip);
  if (clip_->windows().size() > before && visitor.windows) {
    visitor.windows(before);
  }
  if (score.silent && heard.sensor_fault.empty()) {
    heard.sensor_fault = "silence: nothing in it varies";
  }
  if (check_.finite()) {
    heard.score = std::move(score);
  }
  in_clip_ = 0;
  check_.restart();
  whole_bytes_ = bytes_;
  visitor.clip(heard);
  ++clips_;
  start_s_ += heard.seconds;
  if (next_model_) {
    adopt(next_model_);
  }
}

}  // namespace evenflow::experiments::monitor
