// The reductions that a training step needs.
#pragma once

#include <cstdint>

#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// out[j] = sum over rows i of in[i * row_stride + j] in float32, rows in order, so that columns can be dealt out
/// without changing a bit; 0 of no rows. ShapeError.
struct SumRows {
  Array<const float> in;
  int64_t rows = 0, row_stride = 0;  ///< row_stride at least out's size
  Array<float> out;
};
void sum_rows(Stream& stream, const SumRows& task);
Cost cost(const SumRows& task);

/// out = sum of squares, in float64 and within 2^-52 (4 + 2 sqrt(size)) of itself; NaN or infinity anywhere makes it
/// non-finite.
struct SquaredNorm {
  Array<const float> x;
  Array<double> out;  ///< [1]
};
void squared_norm(Stream& stream, const SquaredNorm& task);
Cost cost(const SquaredNorm& task);

}  // namespace evenflow::kernels
