// A source's bytes to scored clips.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/monitor/loaded_model.h"
#include "experiments/monitor/sensor.h"
#include "frontend/pcm.h"
#include "frontend/resample.h"
#include "train/detect/clip_stream.h"

namespace evenflow::experiments::monitor {

/// A clip that has ended.
struct HeardClip {
  int64_t number = 0;  ///< from 1
  double start_s = 0, seconds = 0;
  std::optional<train::ClipScore> score;  ///< none: its samples are not finite
  std::string sensor_fault;               ///< empty: nothing is wrong
};

/// What a stream is; what is not said, its header tells.
struct StreamFormat {
  std::string name;                              ///< "standard input", for errors
  std::optional<frontend::SampleFormat> sample;  ///< none: the stream begins with a WAV header
  int rate_hz = 0, channels = 0;                 ///< 0: not said
  bool grows = false;                            ///< a length that a WAV header tells is not the last word
};

/// Cuts sound at whole clips, from the first sample on, and scores each as `score` does a file that holds it alone. The
/// clip that a source's end leaves unfinished is not scored.
class Cutter {
 public:
  struct Visitor {
    std::function<void(int64_t first)> windows;  ///< the current clip has windows from `first` on that it had not
    std::function<void(HeardClip&)> clip;
  };

  /// `clip_s` 0: the model's. io::UsageError: raw samples without a rate, or clips too short for a window.
  Cutter(StreamFormat format, std::shared_ptr<LoadedModel> model, double clip_s, const SensorLimits& limits);

  /// io::DataError: a header that is none, or that contradicts what was said of the stream.
  void take(std::string_view bytes, const Visitor& visitor);
  /// Forgets the clip in hand. Gives how many samples of it are lost.
  int64_t drop_clip();
  /// The source begins anew, with a header if it has one; the clip in hand is dropped.
  int64_t begin_anew();
  /// Used from the next clip on. io::UsageError: clips are too short for a window of it.
  void set_model(std::shared_ptr<LoadedModel> model);

  bool knows_format() const { return pcm_.has_value(); }
  const frontend::PcmFormat& pcm() const { return *pcm_; }
  /// True where the header told how long the sound is, and all of it has come.
  bool at_end() const { return sound_left_ && *sound_left_ == 0; }
  /// So many bytes came behind such a sound, and were not heard.
  uint64_t bytes_behind() const { return behind_; }
  const LoadedModel& model() const { return *model_; }
  const train::ClipStream& clip() const { return *clip_; }
  /// Of the current clip, from 1, and where it begins.
  int64_t clip_number() const { return clips_ + 1; }
  double clip_start_s() const { return start_s_; }
  /// Samples per channel so far, and bytes up to the end of the last whole clip.
  int64_t samples() const { return samples_; }
  uint64_t whole_bytes() const { return whole_bytes_; }
  /// Bytes of sound behind the last whole clip, if a header told.
  std::optional<uint64_t> left_behind_whole() const {
    return sound_left_ ? std::optional(*sound_left_ + bytes_ - whole_bytes_) : std::nullopt;
  }
  int64_t unfinished_samples() const { return in_clip_; }

  /// Counts on from what an earlier monitor heard.
  void count_on(int64_t clips, double start_s, int64_t samples);
  /// The source stands behind so many bytes of a stream of this format, at a clip's beginning; so many bytes of sound
  /// are left, if a header told.
  void skip_to(const frontend::PcmFormat& pcm, uint64_t whole_bytes, std::optional<uint64_t> sound_left);

 private:
  double clip_s(const LoadedModel& model) const;
  void read_header();
  void begin_sound();
  void adopt(std::shared_ptr<LoadedModel> model);
  void take_values(std::span<const float> values, const Visitor& visitor);
  void hear(std::span<const float> mono, const Visitor& visitor);
  void end_clip(const Visitor& visitor);

  StreamFormat format_;
  double asked_clip_s_;
  SensorLimits limits_;
  std::shared_ptr<LoadedModel> model_, next_model_;
  std::optional<frontend::PcmFormat> pcm_;  // none: not known yet
  std::optional<uint64_t> sound_left_;      // bytes, where the header told
  std::string held_;                        // bytes of a header or of a frame that is not whole
  SoundCheck check_;
  std::unique_ptr<train::ClipStream> clip_;
  std::optional<frontend::Resampler> resampler_;
  std::vector<float> values_, mono_, resampled_;
  int64_t clip_samples_ = 0, in_clip_ = 0, clips_ = 0, samples_ = 0;  // at the source's rate
  double start_s_ = 0;
  uint64_t bytes_ = 0, whole_bytes_ = 0, behind_ = 0;
};

}  // namespace evenflow::experiments::monitor
