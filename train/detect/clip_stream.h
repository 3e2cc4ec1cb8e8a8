// Clips scored while their sound still arrives.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "frontend/stream.h"
#include "train/detect/score.h"

namespace evenflow::train {

/// One clip after the other, of any length of a window or more. Scores of a clip and of its windows are the bits that
/// Detector::score and Detector::encode give for the same samples in a file, however they are cut into pieces. Memory
/// is that of one clip's frames.
class ClipStream {
 public:
  /// `transform` is of the model's frontend settings, serves others between calls, and outlives this, as the detector
  /// does. Both serve one thread at a time.
  ClipStream(Detector& detector, frontend::LogMel& transform);
  /// Samples at the model's rate; windows that are whole by now are scored at once.
  void push(std::span<const float> samples);
  /// Ends the clip. io::DataError names the clip if it is shorter than a window or too short to pad.
  ClipScore finish(const io::Clip& clip);
  /// Forgets the clip's samples so far.
  void drop();

  /// Samples of the clip so far.
  int64_t samples() const { return logmel_.samples(); }
  /// Of the clip so far; after finish(), of the whole clip until the next push.
  const flow::WindowScores& windows() const { return windows_; }

 private:
  void score_windows();

  Detector* detector_;
  frontend::StreamLogMel logmel_;
  std::vector<float> frames_;  // [frames, bands] in dB
  flow::WindowScores windows_, fresh_;
  bool finished_ = false;
};

}  // namespace evenflow::train
