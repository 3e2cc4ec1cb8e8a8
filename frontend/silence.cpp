#include "frontend/silence.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "frontend/sound_notes.h"
#include "io/error.h"

namespace evenflow::frontend {
namespace {

constexpr float constant_db = 1e-4f;  // less than a pure tone in 16 bits varies
constexpr float nothing_db = -130.0f;

struct Range {
  std::vector<float> low, high;  // per band
};

/// Over the frames that lie within the clip, or over all if none does.
Range range_of(std::span<const float> logmel_db, const io::FrontendSettings& settings) {
  const auto bands = static_cast<size_t>(settings.mel_bands);
  const size_t frames = logmel_db.size() / bands;
  size_t edge = static_cast<size_t>((settings.n_fft / 2 + settings.hop_samples - 1) / settings.hop_samples);
  if (frames <= 2 * edge) edge = 0;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  Range range{std::vector<float>(bands, infinity), std::vector<float>(bands, -infinity)};
  for (size_t frame = edge; frame < frames - edge; ++frame) {
    const float* const values = logmel_db.data() + frame * bands;
    for (size_t band = 0; band < bands; ++band) {
      range.low[band] = std::min(range.low[band], values[band]);
      range.high[band] = std::max(range.high[band], values[band]);
    }
  }
  return range;
}

bool is_constant(float low, float high) {
  return low <= high && high - low < constant_db;
}

bool says_nothing(const Range& range) {
  for (size_t band = 0; band < range.low.size(); ++band) {
    const float low = range.low[band], high = range.high[band];
    if (!is_constant(low, high) && !(low <= high && high < nothing_db)) return false;
  }
  return true;
}

}  // namespace

bool says_nothing(std::span<const float> logmel_db, const io::FrontendSettings& settings) {
  return says_nothing(range_of(logmel_db, settings));
}

TrainingSound::TrainingSound(const io::FrontendSettings& settings)
    : settings_(settings),
      low_(static_cast<size_t>(settings.mel_bands), std::numeric_limits<float>::infinity()),
      high_(low_.size(), -std::numeric_limits<float>::infinity()) {}

void TrainingSound::add(const std::string& clip, std::span<const float> logmel_db) {
  const Range range = range_of(logmel_db, settings_);
  ++clips_;
  if (says_nothing(range)) silent_.push_back(clip);
  for (size_t band = 0; band < low_.size(); ++band) {
    low_[band] = std::min(low_[band], range.low[band]);
    high_[band] = std::max(high_[band], range.high[band]);
  }
}

std::string TrainingSound::warning() const {
  if (silent_.empty()) return {};
  return fmt::format("{} of {} training clips {} silent or never {}: {}; check the recordings", silent_.size(), clips_,
                     silent_.size() == 1 ? "is" : "are", silent_.size() == 1 ? "varies" : "vary", first_names(silent_));
}

void TrainingSound::require() const {
  if (clips_ == 0) return;
  if (static_cast<int64_t>(silent_.size()) == clips_) {
    throw io::DataError(
        fmt::format("all {} training clips are silent or never vary ({}): there is nothing to learn from them; check "
                    "the recordings",
                    clips_, first_names(silent_)));
  }
  for (size_t band = 0; band < low_.size(); ++band) {
    if (!is_constant(low_[band], high_[band])) continue;
    throw io::DataError(fmt::format(
        "mel band {} of {} is {:.1f} dB throughout all {} training clips, and a model can learn nothing from what "
        "never "
        "varies; check the recordings, or prepare them with a frontend.sample_rate_hz that they fill, a larger "
        "frontend.n_fft or fewer frontend.mel_bands",
        band + 1, low_.size(), static_cast<double>(low_[band]), clips_));
  }
}

}  // namespace evenflow::frontend
