// What a profiler asks of a device beside its operations.
#pragma once

#include <cstdint>

#include "kernels/launch_listener.h"
#include "kernels/precision.h"
#include "kernels/trace.h"

namespace evenflow::kernels {

/// The last-level cache: what has to be overwritten for an operation to find nothing of its data there.
int64_t cache_bytes(Device device);

/// FLOP/s of a large square matrix product by the device's own library, the best of several: cuBLAS, and on the CPU one
/// thread of OpenBLAS, which is loaded when this is called. 0 where the library is not there or has no such precision.
double measure_gemm(Stream& stream, Precision precision);

/// Who hears of every kernel that the device is given from now on; null: nobody. Kernels within a library's calls are
/// not heard. Slow: for a step that is not timed.
void set_launch_listener(Device device, LaunchListener* listener);

/// Names the operations' ranges for Nsight (NVTX), for a stream's tracer; null where there is none (CPU).
Tracer* range_marker(Device device);

/// Whether Nsight Systems or Nsight Compute started this program.
bool tool_attached();

}  // namespace evenflow::kernels
