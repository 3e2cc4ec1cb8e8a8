// What a row of a map is on average: a latent pooled over time.
#pragma once

#include <cstdint>

#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// Of row (channel c, h) of sample i, w elements: moments[i * stride + c * height + h] is their mean, and
/// moments[i * stride + channels * height + c * height + h] the root of the mean of their squares. Summed in float64
/// and rounded to float32: within 2^-23 of the mean magnitude. What lies between the samples' rows is left as it is.
/// ShapeError.
struct RowMoments {
  ConstMap z;            ///< [n, channels, height, w]
  Array<float> moments;  ///< (n - 1) * stride + 2 channels * height or longer
  int64_t stride = 0;    ///< 2 channels * height or more
};
void row_moments(Stream& stream, const RowMoments& task);
Cost cost(const RowMoments& task);

}  // namespace evenflow::kernels
