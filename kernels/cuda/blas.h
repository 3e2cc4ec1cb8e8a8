// Matrix products through cuBLAS (blas.cu; tests/emulation has plain loops).
#pragma once

#include <cstdint>

#include "kernels/precision.h"
#include "kernels/stream.h"

namespace evenflow::kernels::cuda {

/// c[i] = op(a[i]) op(b[i]) for i in [0, batch): c [rows, columns], summed over `inner`; all row-major and dense, op
/// the transpose where asked for, matrices `stride` floats apart (0: the same one for all).
struct BatchedProduct {
  int64_t batch = 0, rows = 0, columns = 0, inner = 0;
  bool transpose_a = false, transpose_b = false;
  int64_t stride_a = 0, stride_b = 0, stride_c = 0;
  bool add = false;                          ///< to what c holds
  Precision precision = Precision::float32;  ///< bf16 computes as tf32 does
};
/// The same bits every time; may be recorded into a graph. DeviceError with cuBLAS's own words.
void multiply(Stream& stream, const BatchedProduct& shape, const float* a, const float* b, float* c);

}  // namespace evenflow::kernels::cuda
