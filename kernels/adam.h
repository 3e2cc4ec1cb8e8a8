// The optimiser's arithmetic over the parameter arena, and the reductions a training step needs.
#pragma once

#include <cstdint>

#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// Kingma & Ba 2015, with bias correction.
struct AdamStep {
  double learning_rate = 1e-4;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  int64_t step = 1;             ///< counts from 1
  double gradient_scale = 1.0;  ///< multiplies the gradient first (clipping, averaging)
};
void adam_update(Stream& stream, const AdamStep& settings, Array<const float> gradient, Array<float> parameter,
                 Array<float> m, Array<float> v);

/// out[j] = sum over rows i of in[i * row_stride + j], rows in order: columns can be dealt out without changing a bit.
void sum_rows(Stream& stream, Array<const float> in, int64_t rows, int64_t row_stride, Array<float> out);

/// out[0] = sum of squares, in float64; NaN or infinity anywhere makes it non-finite.
void squared_norm(Stream& stream, Array<const float> x, Array<double> out);

}  // namespace evenflow::kernels
