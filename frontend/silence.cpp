#include "frontend/silence.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "io/error.h"
#include "io/text.h"

namespace evenflow::frontend {
namespace {

constexpr float constant_db = 1e-4f;  // less than a pure tone in 16 bits varies
constexpr float nothing_db = -130.0f;

bool is_constant(float low, float high) {
  return low <= high && high - low < constant_db;
}

/// The least and the largest value of every band.
struct Range {
  explicit Range(size_t bands)
      : low(bands, std::numeric_limits<float>::infinity()), high(bands, -std::numeric_limits<float>::infinity()) {}

  void add(std::span<const float> frames) {
    for (size_t at = 0; at < frames.size(); at += low.size()) {
      for (size_t band = 0; band < low.size(); ++band) {
        low[band] = std::min(low[band], frames[at + band]);
        high[band] = std::max(high[band], frames[at + band]);
      }
    }
  }

  bool says_nothing() const {
    for (size_t band = 0; band < low.size(); ++band) {
      const bool nothing = low[band] <= high[band] && high[band] < nothing_db;
      if (!nothing && !is_constant(low[band], high[band])) {
        return false;
      }
    }
    return true;
  }

  std::vector<float> low, high;
};

/// The frames that lie within the clip, or all if none does.
std::span<const float> inner_frames(std::span<const float> logmel_db, const io::FrontendSettings& settings) {
  const auto bands = static_cast<size_t>(settings.mel_bands);
  const auto edge = static_cast<size_t>((settings.n_fft / 2 + settings.hop_samples - 1) / settings.hop_samples);
  const size_t frames = logmel_db.size() / bands;
  return frames <= 2 * edge ? logmel_db : logmel_db.subspan(edge * bands, (frames - 2 * edge) * bands);
}

}  // namespace

bool says_nothing(std::span<const float> logmel_db, const io::FrontendSettings& settings) {
  const auto bands = static_cast<size_t>(settings.mel_bands);
  const std::span<const float> frames = inner_frames(logmel_db, settings);
  Range range(bands);
  const size_t look = 8 * bands;  // sound shows itself in the first few frames
  for (size_t at = 0; at < frames.size(); at += look) {
    range.add(frames.subspan(at, std::min(look, frames.size() - at)));
    if (!range.says_nothing()) {
      return false;
    }
  }
  return true;
}

TrainingSound::TrainingSound(const io::FrontendSettings& settings)
    : settings_(settings),
      low_(static_cast<size_t>(settings.mel_bands), std::numeric_limits<float>::infinity()),
      high_(low_.size(), -std::numeric_limits<float>::infinity()) {}

void TrainingSound::add(const std::string& clip, std::span<const float> logmel_db) {
  Range range(low_.size());
  range.add(inner_frames(logmel_db, settings_));
  ++clips_;
  if (range.says_nothing()) {
    silent_.push_back(clip);
  }
  for (size_t band = 0; band < low_.size(); ++band) {
    low_[band] = std::min(low_[band], range.low[band]);
    high_[band] = std::max(high_[band], range.high[band]);
  }
}

std::string TrainingSound::warning() const {
  if (silent_.empty()) {
    return {};
  }
  return fmt::format("{} of {} training clips {} silent or never {}: {}; check the recordings", silent_.size(), clips_,
                     silent_.size() == 1 ? "is" : "are", silent_.size() == 1 ? "varies" : "vary",
                     io::first_names(silent_));
}

void TrainingSound::require() const {
  if (clips_ == 0) {
    return;
  }
  if (static_cast<int64_t>(silent_.size()) == clips_) {
    throw io::DataError(
        fmt::format("all {} training clips are silent or never vary ({}): there is nothing to learn from them; check "
                    "the recordings",
                    clips_, io::first_names(silent_)));
  }
  for (size_t band = 0; band < low_.size(); ++band) {
    if (!is_constant(low_[band], high_[band])) {
      continue;
    }
    throw io::DataError(fmt::format(
        "mel band {} of {} is {:.1f} dB throughout all {} training clips, and a model can learn nothing from what "
        "never "
        "varies; check the recordings, or prepare them with a frontend.sample_rate_hz that they fill, a larger "
        "frontend.n_fft or fewer frontend.mel_bands",
        band + 1, low_.size(), static_cast<double>(low_[band]), clips_));
  }
}

}  // namespace evenflow::frontend
