// Is it the sensor, rather than the machine? What raw samples and their arrival tell.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include "experiments/monitor/settings.h"

namespace evenflow::experiments::monitor {

/// Counts over the raw values of one clip, of all channels.
class SoundCheck {
 public:
  /// `full_scale`: the largest value that the recorder can give; the smallest is -1.
  explicit SoundCheck(float full_scale = 1.0f) : full_scale_(full_scale) {}
  void add(std::span<const float> values);
  /// The next clip.
  void restart();
  /// "0.4 % of the values are at full scale"; empty: nothing is wrong. Values that are not finite, one value
  /// throughout, or more than limits.clipped_share of them at full scale.
  std::string fault(const SensorLimits& limits) const;
  bool finite() const { return not_finite_ == 0; }

 private:
  float full_scale_;
  int64_t values_ = 0, clipped_ = 0, not_finite_ = 0;
  float low_ = 0, high_ = 0;
};

/// How fast a live source's samples arrive, by a clock that nobody sets.
class ArrivalClock {
 public:
  using Time = std::chrono::steady_clock::time_point;
  ArrivalClock(int rate_hz, const SensorLimits& limits) : rate_hz_(rate_hz), limits_(limits) {}
  /// `samples` per channel have arrived. A fault in words at the end of every 20 s in which their rate was wrong.
  std::string arrived(int64_t samples, Time now);
  /// A gap in words, once, when nothing has come for limits.gap_s.
  std::string gap(Time now);
  bool in_gap() const { return in_gap_; }
  /// Samples per channel that the clock says should have come, in the stretches that were too slow and in gaps.
  int64_t missing() const { return missing_; }

 private:
  int rate_hz_;
  SensorLimits limits_;
  bool begun_ = false, in_gap_ = false;
  Time last_ = {}, stretch_ = {};
  int64_t in_stretch_ = 0, missing_ = 0;
};

}  // namespace evenflow::experiments::monitor
