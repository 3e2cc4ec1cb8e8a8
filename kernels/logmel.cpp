#include "kernels/logmel.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>

#include "kernels/check.h"
#include "kernels/copy.h"
#include "kernels/mel_scale.h"
#include "kernels/operations.h"

namespace evenflow::kernels {

namespace cpu {
std::shared_ptr<LogMelTransform> make_logmel_transform(const LogMelSettings& settings);  // cpu/logmel.cpp
}

namespace {

void require(bool holds, const char* what, int came) {
  if (!holds) {
    throw ShapeError("log-mel: " + std::string(what) + ", got " + std::to_string(came));
  }
}

void check_settings(const LogMelSettings& settings) {
  require(settings.sample_rate_hz > 0, "sample_rate_hz must be positive", settings.sample_rate_hz);
  require(settings.n_fft >= 2 && settings.n_fft % 2 == 0, "n_fft must be even and at least 2", settings.n_fft);
  require(settings.hop_samples > 0, "hop_samples must be positive", settings.hop_samples);
  require(settings.mel_bands > 0, "mel_bands must be positive", settings.mel_bands);
}

constexpr int least_fused_fft = 32, most_fused_fft = 4096;

bool can_fuse(int n_fft) {
  return std::has_single_bit(static_cast<unsigned>(n_fft)) && n_fft >= least_fused_fft && n_fft <= most_fused_fft;
}

int64_t least_samples_of(const LogMelSettings& settings) {
  return settings.pad_mode == PadMode::reflect ? settings.n_fft / 2 + 1 : 1;
}

std::vector<float> half_window(int n_fft) {
  std::vector<float> half;
  for (const double w : periodic_hann(n_fft)) {
    half.push_back(static_cast<float>(0.5 * w));
  }
  return half;
}

/// cos and sign * sin of 2 pi `turns`.
void append_root(std::vector<float>& roots, double turns, double sign) {
  roots.push_back(static_cast<float>(std::cos(2.0 * std::numbers::pi * turns)));
  roots.push_back(static_cast<float>(sign * std::sin(2.0 * std::numbers::pi * turns)));
}

/// Of the passes of a transform of `points` points: radix 8 as long as can be, then what is left.
std::vector<float> pass_twiddles(int points) {
  std::vector<float> twiddles;
  for (int done = 8; done < points;) {
    const int radix = std::min(8, points / done);
    for (int leg = 1; leg < radix; ++leg) {
      for (int k = 0; k < done; ++k) {
        append_root(twiddles, static_cast<double>(leg * k) / (done * radix), -1.0);
      }
    }
    done *= radix;
  }
  return twiddles;
}

std::vector<float> untangling_roots(int n_fft) {
  std::vector<float> roots;
  for (int k = 0; k <= n_fft / 4; ++k) {
    append_root(roots, static_cast<double>(k) / n_fft, 1.0);
  }
  return roots;
}

void check_clips(const LogMel& task) {
  const int64_t least = least_samples_of(task.settings);
  const int64_t frames = task.frames_out.size / task.settings.mel_bands;
  for (int64_t i = 0; i < task.clips.size; ++i) {
    const LogMelClip& clip = task.clips[i];
    if (clip.samples < least) {
      throw ShapeError("log-mel: " + std::to_string(clip.samples) + " samples, at least " + std::to_string(least) +
                       " expected with this padding");
    }
    check(clip.first_sample >= 0 && clip.first_sample + clip.samples <= task.samples.size && clip.first_frame >= 0 &&
              clip.first_frame + 1 + clip.samples / task.settings.hop_samples <= frames,
          "log-mel", "clips within the samples and frames");
  }
}

template <class T>
Buffer<T> on_device(Stream& stream, const std::vector<T>& values) {
  Buffer<T> buffer(static_cast<int64_t>(values.size()), stream.device());
  upload<T>(stream, values, buffer.view());
  return buffer;
}

}  // namespace

MelFilterbank slaney_filterbank(const LogMelSettings& settings) {
  check_settings(settings);
  const int bands = settings.mel_bands;
  const double top_mel = hz_to_mel(settings.sample_rate_hz / 2.0);
  std::vector<double> edge_hz(static_cast<size_t>(bands) + 2);
  for (size_t i = 0; i < edge_hz.size(); ++i) {
    edge_hz[i] = mel_to_hz(top_mel * static_cast<double>(i) / (bands + 1));
  }

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
      if (!(weight > 0.0f)) {
        continue;
      }
      if (static_cast<int>(filters.weight.size()) == filters.offset.back()) {
        first = bin;
      }
      filters.weight.push_back(weight);
    }
    filters.first_bin.push_back(first);
    filters.offset.push_back(static_cast<int>(filters.weight.size()));
  }
  return filters;
}

std::vector<double> periodic_hann(int n) {
  std::vector<double> window(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) {
    window[static_cast<size_t>(i)] = 0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * i / n);
  }
  return window;
}

LogMelLayout lay_out_clips(const LogMelSettings& settings, std::span<const int64_t> samples) {
  check_settings(settings);
  constexpr int64_t samples_of_16_bytes = 4;
  const int64_t least = least_samples_of(settings);
  LogMelLayout layout;
  for (const int64_t count : samples) {
    if (count < least) {
      throw ShapeError("log-mel: clip " + std::to_string(layout.clips.size()) + " has " + std::to_string(count) +
                       " samples, at least " + std::to_string(least) + " expected");
    }
    layout.clips.push_back({.first_sample = layout.samples, .samples = count, .first_frame = layout.frames});
    layout.samples += (count + samples_of_16_bytes - 1) / samples_of_16_bytes * samples_of_16_bytes;
    layout.frames += 1 + count / settings.hop_samples;
  }
  return layout;
}

LogMelPlan::LogMelPlan(const LogMelSettings& settings, Device device, LogMelPath path) {
  check_settings(settings);
  check(path != LogMelPath::fused || can_fuse(settings.n_fft), "log-mel, fused",
        "n_fft a power of two from 32 to 4096");
  tables_.settings = settings;
  if (device.type == DeviceType::cpu) {
    transform_ = cpu::make_logmel_transform(settings);
    tables_.transform = transform_.get();
    return;
  }
  tables_.fused = path != LogMelPath::layered && can_fuse(settings.n_fft);
  Stream stream(device);
  window_ = on_device(stream, half_window(settings.n_fft));
  tables_.window = window_.view();
  if (tables_.fused) {
    twiddles_ = on_device(stream, pass_twiddles(settings.n_fft / 2));
    untangle_ = on_device(stream, untangling_roots(settings.n_fft));
    tables_.twiddles = twiddles_.view();
    tables_.untangle = untangle_.view();
  }
  const MelFilterbank filters = slaney_filterbank(settings);
  const auto bands = static_cast<size_t>(settings.mel_bands);
  std::vector<int32_t> run_length(bands);
  for (size_t band = 0; band < bands; ++band) {
    run_length[band] = filters.offset[band + 1] - filters.offset[band];
  }
  // A row more than needed would do no harm; none at all cannot be allocated.
  const auto longest = static_cast<size_t>(std::max(1, *std::max_element(run_length.begin(), run_length.end())));
  std::vector<float> weight(longest * bands);
  for (size_t band = 0; band < bands; ++band) {
    const auto run = static_cast<size_t>(run_length[band]), from = static_cast<size_t>(filters.offset[band]);
    for (size_t i = 0; i < run; ++i) {
      weight[i * bands + band] = filters.weight[from + i];
    }
  }
  first_bin_ = on_device(stream, std::vector<int32_t>(filters.first_bin.begin(), filters.first_bin.end()));
  run_length_ = on_device(stream, run_length);
  weight_ = on_device(stream, weight);
  tables_.first_bin = first_bin_.view();
  tables_.run_length = run_length_.view();
  tables_.weight = weight_.view();
}

int64_t LogMelPlan::least_samples() const {
  return least_samples_of(settings());
}

LogMel LogMelPlan::task(Array<const float> samples, Array<const LogMelClip> clips, Array<float> frames_out) const {
  LogMel task = tables_;
  task.samples = samples;
  task.clips = clips;
  task.frames_out = frames_out;
  return task;
}

void LogMelPlan::run(const float* samples, int64_t count, float* frames_out) const {
  Stream stream;
  const LogMelClip clip{.samples = count};
  logmel(stream, task({samples, count, {}}, {&clip, 1, {}}, {frames_out, frames(count) * settings().mel_bands, {}}));
}

void logmel(Stream& stream, const LogMel& task) {
  const Device device = stream.device();
  check(task.samples.device == device && task.clips.device == device && task.frames_out.device == device &&
            (device.type == DeviceType::cpu) == (task.transform != nullptr),
        "log-mel", "stream, samples, clips and frames on the transform's device");
  check(task.frames_out.size % task.settings.mel_bands == 0, "log-mel", "whole frames");
  check((task.clips.size == 0) == (task.frames_out.size == 0), "log-mel", "frames for clips");
  if (task.clips.size == 0) {
    return;
  }
  if (device.type == DeviceType::cpu) {
    check_clips(task);
  }
  dispatch(stream, "logmel_batch", task);
}

// A real transform of n points takes 2.5 n log2 n by the usual count; window, power and bands are left out.
Cost cost(const LogMel& task) {
  const auto frames = static_cast<double>(task.frames_out.size) / task.settings.mel_bands;
  const double n = task.settings.n_fft;
  return {bytes_of_floats(task.samples.size + task.frames_out.size), frames * 2.5 * n * std::log2(n)};
}

}  // namespace evenflow::kernels
