// Windows out of resident frames, normalised on the way.
#pragma once

#include <cstdint>

#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// x[i, 0, band, frame] = (frames[start[i] + frame, band] - mean[band]) inverse_std[band]. Windows lie within the
/// frames (not checked). Within 2^-22 (|frame| + |mean|) inverse_std. ShapeError.
struct GatherWindows {
  Array<const float> frames;             ///< [total, bands], dB
  Array<const int64_t> start;            ///< [n], the frame at which each window begins
  Array<const float> mean, inverse_std;  ///< [bands]
  Map x;                                 ///< [n, 1, bands, window frames]
};
void gather_windows(Stream& stream, const GatherWindows& task);
Cost cost(const GatherWindows& task);

}  // namespace evenflow::kernels
