#include "experiments/monitor/sensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace evenflow::experiments::monitor {
namespace {

constexpr double stretch_s = 20;  // a block of a recorder's is some 0.1 s of it

double seconds(ArrivalClock::Time from, ArrivalClock::Time to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

void SoundCheck::add(std::span<const float> values) {
  for (const float value : values) {
    if (!std::isfinite(value)) {
      ++not_finite_;
      continue;
    }
    clipped_ += value >= full_scale_ || value <= -1.0f ? 1 : 0;
    low_ = values_ == 0 ? value : std::min(low_, value);
    high_ = values_ == 0 ? value : std::max(high_, value);
    ++values_;
  }
}

void SoundCheck::restart() {
  *this = SoundCheck(full_scale_);
}

std::string SoundCheck::fault(const SensorLimits& limits) const {
  if (not_finite_ > 0) {
    return fmt::format("{} samples are not finite numbers", not_finite_);
  }
  if (values_ > 0 && low_ == high_) {
    return low_ == 0.0f ? "digital silence" : fmt::format("all samples are {:.6g}", low_);
  }
  const double share = static_cast<double>(clipped_) / static_cast<double>(std::max<int64_t>(values_, 1));
  if (share > limits.clipped_share) {
    return fmt::format("{:.3g} % of the samples are at full scale", 100.0 * share);
  }
  return "";
}

std::string ArrivalClock::arrived(int64_t samples, Time now) {
  if (!begun_ || in_gap_) {
    if (in_gap_) {
      missing_ += std::llround(seconds(last_, now) * rate_hz_);
    }
    begun_ = true;
    in_gap_ = false;
    last_ = stretch_ = now;
    in_stretch_ = 0;  // what waited in the pipe arrives at once
    return "";
  }
  last_ = now;
  in_stretch_ += samples;
  const double elapsed = seconds(stretch_, now);
  if (elapsed < stretch_s) {
    return "";
  }
  const double rate = static_cast<double>(in_stretch_) / elapsed, expected = elapsed * rate_hz_;
  std::string fault;
  if (std::abs(rate - rate_hz_) > limits_.rate_tolerance * rate_hz_) {
    fault = fmt::format("{:.0f} samples a second arrive, where {} are said", rate, rate_hz_);
    missing_ += std::max<int64_t>(0, std::llround(expected) - in_stretch_);
  }
  stretch_ = now;
  in_stretch_ = 0;
  return fault;
}

std::string ArrivalClock::gap(Time now) {
  if (!begun_ || in_gap_ || seconds(last_, now) < limits_.gap_s) {
    return "";
  }
  in_gap_ = true;
  return fmt::format("no sound for {:.0f} s", seconds(last_, now));
}

}  // namespace evenflow::experiments::monitor
