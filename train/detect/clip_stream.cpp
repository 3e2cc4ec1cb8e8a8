#include "train/detect/clip_stream.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "io/error.h"
#include "train/detect/detector_state.h"
#include "train/detect/score_clips.h"

namespace evenflow::train {
namespace {

template <class T>
void append(flow::Rows<T>& rows, int64_t first, const flow::Rows<T>& more, int64_t count) {
  const std::span<const T> values = more.range(0, count);
  std::copy(values.begin(), values.end(), rows[first].data());
}

}  // namespace

ClipStream::ClipStream(Detector& detector, frontend::LogMel& transform)
    : detector_(&detector),
      logmel_(detector.model().config.frontend, transform),
      windows_(detector.network()),
      fresh_(detector.network()) {}

void ClipStream::drop() {
  logmel_.drop();
  frames_.clear();
  windows_.resize(0);
  finished_ = false;
}

void ClipStream::push(std::span<const float> samples) {
  if (finished_) {
    drop();
  }
  logmel_.push(samples, frames_);
  score_windows();
}

void ClipStream::score_windows() {
  const io::Config& config = detector_->model().config;
  const int64_t frames = static_cast<int64_t>(frames_.size()) / config.frontend.mel_bands;
  const int64_t done = windows_.size(), count = frontend::windows_in(frames, config.window) - done;
  if (count <= 0) {
    return;
  }
  std::vector<int64_t> start;
  for (int64_t w = done; w < done + count; ++w) {
    start.push_back(w * config.window.window_hop_frames);
  }
  const size_t parameters = detector_->model().condition.names.size();
  const std::vector<double> v(static_cast<size_t>(count) * parameters, std::numeric_limits<double>::quiet_NaN());
  fresh_.resize(count);
  detector_->state_->engine->score({.frames = frames_, .start = start, .v = v}, fresh_);
  windows_.resize(done + count);
  append(windows_.scores, done, fresh_.scores, count);
  append(windows_.terms, done, fresh_.terms, count);
  append(windows_.estimates, done, fresh_.estimates, count);
  append(windows_.posteriors, done, fresh_.posteriors, count);
  append(windows_.memberships, done, fresh_.memberships, count);
  append(windows_.descriptors, done, fresh_.descriptors, count);
}

ClipScore ClipStream::finish(const io::Clip& clip) {
  const io::Config& config = detector_->model().config;
  finished_ = true;
  try {
    logmel_.finish(frames_);
  } catch (const std::invalid_argument&) {
    throw io::DataError("clip '" + clip.path.string() + "' has " + std::to_string(samples()) +
                        " samples, too few to be padded; cut longer clips");
  }
  score_windows();
  ClipGroup group;
  add_clip(group, clip, frames_, detector_->state_->values(clip, {}, {}), config.window, config.frontend);
  return aggregate(detector_->state_->scoring(), group, windows_).front();
}

}  // namespace evenflow::train
