// Log-mel frames of sound that is still arriving.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "frontend/features.h"

namespace evenflow::frontend {

/// One clip's frames, as its samples come: the bits of LogMel on the whole clip, however it is cut into pieces. A frame
/// is there with the last sample it holds, so that n_fft/2 samples behind its centre suffice; those that reach over the
/// clip's end wait for finish().
class StreamLogMel {
 public:
  /// `transform` is of the same settings, serves others between calls, and outlives this.
  StreamLogMel(const io::FrontendSettings& settings, LogMel& transform);
  /// Appends the frames that are whole by now to `frames`, [frames, mel_bands] in dB.
  void push(std::span<const float> samples, std::vector<float>& frames);
  /// Appends the rest of the clip's frames; the next sample begins another clip. std::invalid_argument if the clip has
  /// fewer than LogMel::least_samples().
  void finish(std::vector<float>& frames);
  /// Forgets the clip; the next sample begins another.
  void drop();
  /// Of this clip, so far.
  int64_t samples() const { return first_ + static_cast<int64_t>(held_.size()); }

 private:
  void transform_held(int64_t samples, int64_t end_frame, std::vector<float>& frames);

  LogMel* transform_;
  int64_t bands_, hop_, half_;  // half: n_fft / 2
  std::vector<float> held_;     // samples from first_ on, a multiple of hop_
  int64_t first_ = 0;
  int64_t next_frame_ = 0;  // the first that was not handed on
};

}  // namespace evenflow::frontend
