// Windows out of resident frames, normalised on the way.
#pragma once

#include <cstdint>

#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// x[i, 0, band, frame] = (frames[start[i] + frame, band] - mean[band]) * inverse_std[band].
/// frames [total, bands] in dB, start [n] (frame index of each window), x [n, 1, bands, window frames].
void gather_windows(Stream& stream, Array<const float> frames, Array<const int64_t> start, Array<const float> mean,
                    Array<const float> inverse_std, Map x);

}  // namespace evenflow::kernels
