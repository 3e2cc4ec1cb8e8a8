// Windows out of resident frames, normalised on the way.
#pragma once

#include <cstdint>

#include "kernels/anywhere.h"
#include "kernels/cost.h"
#include "kernels/random.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// What windows at one operating point become at another, band by band in dB, a row for each move.
struct BandMoves {
  Array<const float> factor, offset;  ///< [moves, bands]
  Array<const float> error;           ///< [errors, bands], where moves may be wrong
};

/// How a window is changed on its way: warped or moved, normalised, noise added, masked, in this order. Nothing by
/// default.
struct WindowChange {
  /// r > 0: the value of frequency f moves to r f. A band takes what lies at its centre over r (mel_scale.h), linear
  /// between bands, in dB; beyond the outermost centres the outermost band's. 1: none.
  float warp = 1;
  /// In place of a warp: x of each band becomes factor x + offset + error_size error (BandMoves). Below 0: not.
  int32_t move = -1;
  int32_t error = 0;  ///< a row of BandMoves::error, where error_size is not 0
  float error_size = 0;
  float noise = 0;         ///< standard deviation of noise on the normalised window; 0: none
  uint64_t noise_key = 0;  ///< names the noise: window_noise
  /// These bands of all frames, and these frames of all bands, become 0, the normalised mean.
  int32_t first_masked_band = 0, masked_bands = 0;
  int32_t first_masked_frame = 0, masked_frames = 0;
};
/// N(0, 1) of a window's cell, numbered band by band.
EVENFLOW_ANYWHERE inline float window_noise(uint64_t key, int64_t cell) {
  const NormalPair pair = normal_pair(mix_bits(key ^ static_cast<uint64_t>(cell / 2)));
  return cell % 2 == 0 ? pair.first : pair.second;
}

/// x[i, 0, band, frame] = (frames[start[i] + frame, band] - mean[band]) inverse_std[band]. Windows lie within the
/// frames (not checked). Within 2^-22 (|frame| + |mean|) inverse_std; warped within 2^-21 (the larger of the two bands
/// between which it lies + |mean|) inverse_std; moved within 2^-20 (factor |frame| + |offset| + |error_size error| +
/// |mean|) inverse_std; noise within 2^-20 of itself. A window that nothing changes has the bits it has without
/// `changes`. ShapeError.
struct GatherWindows {
  Array<const float> frames;             ///< [total, bands], dB
  Array<const int64_t> start;            ///< [n], the frame at which each window begins
  Array<const float> mean, inverse_std;  ///< [bands]
  Map x;                                 ///< [n, 1, bands, window frames]
  Array<const WindowChange> changes{};   ///< [n], or empty: none
  double mels_per_band = 0;              ///< of the frames (mel_scale.h), where there are changes
  BandMoves moves{};                     ///< that changes name; their rows are not checked
};
void gather_windows(Stream& stream, const GatherWindows& task);
Cost cost(const GatherWindows& task);

}  // namespace evenflow::kernels
