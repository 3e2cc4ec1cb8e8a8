// Samples to log-mel frames, frames to windows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "frontend/audio.h"
#include "io/config.h"
#include "kernels/device.h"

namespace evenflow::frontend {

/// The log-mel transform of one frontend configuration. One object per thread: it owns scratch memory.
class LogMel {
 public:
  /// io::UsageError names the setting that cannot be (an odd n_fft, an unknown pad mode).
  explicit LogMel(const io::FrontendSettings& settings);
  ~LogMel();
  LogMel(LogMel&&) noexcept;
  LogMel& operator=(LogMel&&) noexcept;
  /// Frames of a clip of `samples` samples: 1 + samples / hop (centred frames).
  int64_t frames(int64_t samples) const;
  /// The least number of samples a clip must have: 1 with zero padding, n_fft/2 + 1 with reflection.
  int64_t least_samples() const;
  /// Log-mel of samples in dB, [frames, mel_bands], as librosa's melspectrogram (Slaney scale and norm), 1e-3 dB.
  /// std::invalid_argument if there are fewer than least_samples().
  std::vector<float> operator()(std::span<const float> samples);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The log-mel transform of several clips in one go, on a device: what pays on a GPU. One object per thread.
class BatchLogMel {
 public:
  /// Throws what LogMel throws; kernels::DeviceError if the device cannot be used or has no room.
  BatchLogMel(const io::FrontendSettings& settings, kernels::Device device);
  ~BatchLogMel();
  BatchLogMel(BatchLogMel&&) noexcept;
  BatchLogMel& operator=(BatchLogMel&&) noexcept;
  /// Log-mel of each clip in dB, [frames, mel_bands]. On a GPU from float32 spectra (kernels/logmel.h says how near
  /// they come to the CPU's), on the CPU the bits of LogMel. std::invalid_argument if a clip is too short to pad.
  std::vector<std::vector<float>> operator()(std::span<const std::vector<float>> clips);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Windows in a clip: 0 if it is too short for one.
int64_t windows_in(int64_t frames, const io::WindowSettings& settings);

/// io::DataError names the file if its samples are too few to pad.
void require_paddable(const std::filesystem::path& file, int64_t samples, const io::FrontendSettings& settings,
                      const LogMel& transform);

/// The transform of a file's samples, [frames, mel_bands] in dB. io::DataError names the file if it is too short to
/// pad.
std::vector<float> clip_features(const std::filesystem::path& file, std::span<const float> samples,
                                 const io::FrontendSettings& settings, LogMel& transform);

struct FileFeatures {
  std::vector<float> logmel_db;  ///< [frames, mel_bands]
  SoundSource source;
};

/// Decode, transform. Throws what read_audio and clip_features throw.
FileFeatures file_features(const std::filesystem::path& file, const io::FrontendSettings& settings, LogMel& transform);

/// The same of samples in memory, [frames, mel_bands] in dB. Throws what one_channel and clip_features throw.
std::vector<float> sample_features(const std::string& name, const Samples& samples,
                                   const io::FrontendSettings& settings, LogMel& transform);

}  // namespace evenflow::frontend
