// Samples to log-mel frames, frames to windows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "io/config.h"

namespace evenflow::frontend {

/// The log-mel transform of one frontend configuration. One object per thread: it owns scratch memory.
class LogMel {
 public:
  explicit LogMel(const io::FrontendSettings& settings);
  ~LogMel();
  LogMel(LogMel&&) noexcept;
  LogMel& operator=(LogMel&&) noexcept;
  /// Frames of a clip of `samples` samples: 1 + samples / hop (centred frames).
  int64_t frames(int64_t samples) const;
  /// Log-mel of samples in dB, [frames, mel_bands], as librosa's melspectrogram (Slaney scale and norm), 1e-3 dB.
  std::vector<float> operator()(std::span<const float> samples);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Windows in a clip: 0 if it is too short for one.
int64_t windows_in(int64_t frames, const io::WindowSettings& settings);

/// Decode, transform: one file to [frames, mel_bands] in dB.
std::vector<float> file_features(const std::filesystem::path& file, const io::FrontendSettings& settings,
                                 LogMel& transform);

}  // namespace evenflow::frontend
