// Slaney's mel scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998), as librosa's default.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/anywhere.h"

namespace evenflow::kernels {

inline constexpr double mel_linear_step_hz = 200.0 / 3.0;
inline constexpr double mel_log_start_hz = 1000.0;
inline constexpr double mel_log_start = mel_log_start_hz / mel_linear_step_hz;
inline constexpr double mel_log_step = 0.06875177742094912;  ///< log(6.4) / 27

EVENFLOW_ANYWHERE inline double hz_to_mel(double hz) {
  return hz < mel_log_start_hz ? hz / mel_linear_step_hz : mel_log_start + log(hz / mel_log_start_hz) / mel_log_step;
}

EVENFLOW_ANYWHERE inline double mel_to_hz(double mel) {
  return mel < mel_log_start ? mel * mel_linear_step_hz : mel_log_start_hz * exp(mel_log_step * (mel - mel_log_start));
}

/// From one band's centre to the next: band b of `bands` between 0 Hz and half the rate has its centre at b + 1 of
/// these.
inline double mels_per_band(double sample_rate_hz, int64_t bands) {
  return hz_to_mel(sample_rate_hz / 2.0) / static_cast<double>(bands + 1);
}

/// The ratio of the frequencies of one band's centre and the next where the scale is logarithmic.
inline double band_ratio(double mels_per_band) {
  return exp(mel_log_step * mels_per_band);
}

/// Where the frequency f / ratio lies among `bands` bands, f being the centre of `band`: a position between 0 and
/// bands - 1, whole numbers being centres. Beyond the outermost centres it is the outermost band.
EVENFLOW_ANYWHERE inline double warped_position(int64_t band, double ratio, double mels_per_band, int64_t bands) {
  const double hz = mel_to_hz(static_cast<double>(band + 1) * mels_per_band) / ratio;
  const double position = hz_to_mel(hz) / mels_per_band - 1.0;
  return fmin(fmax(position, 0.0), static_cast<double>(bands - 1));
}

}  // namespace evenflow::kernels
