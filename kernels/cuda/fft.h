// Fourier transforms. fft.cu calls cuFFT; tests/emulation has the stand-in.
#pragma once

#include <cstdint>

#include "kernels/stream.h"

namespace evenflow::kernels::cuda {

/// `batch` transforms of n real points each, n even.
struct RealFft {
  int n = 0, batch = 0;
};

/// Device memory that real_fft needs to work in. The first call for a shape makes its plan, which the stream keeps.
int64_t real_fft_workspace_bytes(Stream& stream, const RealFft& shape);

/// in [batch, n] -> out [batch, n/2 + 1, 2 (real, imaginary)]: sum over i of in[i] exp(-2 pi i k / n), not scaled.
/// `workspace` and `out` 16-byte aligned.
void real_fft(Stream& stream, const RealFft& shape, const float* in, float* out, void* workspace);

}  // namespace evenflow::kernels::cuda
