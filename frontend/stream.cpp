#include "frontend/stream.h"

#include <algorithm>
#include <stdexcept>

namespace evenflow::frontend {

StreamLogMel::StreamLogMel(const io::FrontendSettings& settings, LogMel& transform)
    : transform_(&transform), bands_(settings.mel_bands), hop_(settings.hop_samples), half_(settings.n_fft / 2) {}

/// Frames [next_frame_, end_frame), from the first `samples` samples that are held. They begin a few frames before, so
/// that none of the wanted ones reaches over the beginning of what is held unless that is the clip's own.
void StreamLogMel::transform_held(int64_t samples, int64_t end_frame, std::vector<float>& frames) {
  const std::vector<float> all = (*transform_)(std::span(held_).first(static_cast<size_t>(samples)));
  const int64_t before = next_frame_ - first_ / hop_;
  const float* from = all.data() + before * bands_;
  frames.insert(frames.end(), from, from + (end_frame - next_frame_) * bands_);
  next_frame_ = end_frame;
}

void StreamLogMel::push(std::span<const float> samples_in, std::vector<float>& frames) {
  held_.insert(held_.end(), samples_in.begin(), samples_in.end());
  // Frame t holds [t hop - half, t hop + half).
  const int64_t end = samples() < std::max(transform_->least_samples(), half_) ? 0 : (samples() - half_) / hop_ + 1;
  if (end <= next_frame_) {
    return;
  }
  // The samples that the wanted frames hold and, of the clip's first, what is mirrored.
  const int64_t needed = std::max((end - 1) * hop_ + half_ - first_, transform_->least_samples());
  transform_held(needed, end, frames);
  // What the next frame holds, what the clip's end may mirror, and from a frame's centre on.
  const int64_t keep_from = std::max<int64_t>(0, next_frame_ - half_ / hop_ - 1) * hop_;
  held_.erase(held_.begin(), held_.begin() + (keep_from - first_));
  first_ = keep_from;
}

void StreamLogMel::finish(std::vector<float>& frames) {
  if (samples() < transform_->least_samples()) {
    throw std::invalid_argument("log-mel: the clip has too few samples to be padded");
  }
  const int64_t end = transform_->frames(samples());
  if (end > next_frame_) {
    transform_held(static_cast<int64_t>(held_.size()), end, frames);
  }
  drop();
}

void StreamLogMel::drop() {
  held_.clear();
  first_ = 0;
  next_frame_ = 0;
}

}  // namespace evenflow::frontend
