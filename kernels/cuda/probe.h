// CUDA's side of kernels/probe.h, what needs a library. The emulation has neither.
#pragma once

#include "kernels/precision.h"
#include "kernels/stream.h"
#include "kernels/trace.h"

namespace evenflow::kernels::cuda {

/// FLOP/s of cuBLAS on n = 8192, or less where memory is short.
double measure_gemm(Stream& stream, Precision precision);

/// NVTX ranges on the calling thread.
Tracer* range_marker();

}  // namespace evenflow::kernels::cuda
