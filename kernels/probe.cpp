#include "kernels/probe.h"

#include <cstdlib>

#include "kernels/runtime.h"

namespace evenflow::kernels {

int64_t cache_bytes(Device device) {
  return runtime_of(device).cache_bytes(device);
}

double measure_gemm(Stream& stream, Precision precision) {
  return runtime_of(stream.device()).measure_gemm(stream, precision);
}

void set_launch_listener(Device device, LaunchListener* listener) {
  runtime_of(device).set_launch_listener(listener);
}

Tracer* range_marker(Device device) {
  return runtime_of(device).range_marker();
}

bool tool_attached() {
  // What the tools set for the programs that they start.
  return std::getenv("NVTX_INJECTION64_PATH") != nullptr || std::getenv("CUDA_INJECTION64_PATH") != nullptr;
}

}  // namespace evenflow::kernels
