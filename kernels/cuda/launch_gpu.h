// Launching on a GPU: the host's side of execution_gpu.h, which needs no compiler for a GPU.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/check.h"
#include "kernels/cuda/launch_limits.h"
#include "kernels/stream.h"

namespace evenflow::kernels::cuda {

/// From the memory of one lane to that of the next, in bytes.
struct LaneStrides {
  int64_t memory = 0, scratch = 0;
};

/// DeviceError with CUDA's own words unless it succeeded.
inline void check_cuda(cudaError_t status, const char* operation) {
  if (status == cudaSuccess) {
    return;
  }
  throw DeviceError(std::string(operation) + ": " + cudaGetErrorString(status));
}

struct Launch {
  const char* name = nullptr;
  dim3 grid, block;
  size_t shared_bytes = 0;
};

/// Lets the function take as much shared memory as the current device has, once: a later launch of less must not take
/// it from a graph's node of more. DeviceError if that is not enough for this launch.
void allow_shared_memory(const Launch& shape, const void* function);
/// What a profiler learns of a launch.
void note_launch(const Launch& shape, const void* kernel);
/// The stream's own, with the calling thread's device set to the stream's: for what serves one model. DeviceError on a
/// stream that serves several lanes.
cudaStream_t queue_of(Stream& stream);
/// The same for what serves all of the stream's lanes.
cudaStream_t queue_of_lanes(Stream& stream);
/// The stream's, scratch memory as runtime.h's scratch() last dealt it out.
LaneStrides strides_of(Stream& stream);
/// Whether the stream's GPU makes a kernel ready before the one ahead of it is done.
bool launches_overlap(Stream& stream);

template <class... Parameters, class... Arguments>
void launch_on(cudaStream_t queue, bool overlap, const Launch& shape, void (*kernel)(Parameters...),
               Arguments... arguments) {
  static_assert(bytes_of_parameters<Parameters...>() <= most_parameter_bytes, "parameters that not every driver takes");
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) {
    return;
  }
  require_grid(shape);
  const void* function = reinterpret_cast<const void*>(kernel);
  constexpr size_t without_asking = 48 * 1024;
  if (shape.shared_bytes > without_asking) {
    allow_shared_memory(shape, function);
  }
  note_launch(shape, function);
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = queue;
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &early;
  config.numAttrs = overlap ? 1 : 0;
  check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), shape.name);
}

/// Queues a kernel; nothing if the grid is empty.
template <class... Parameters, class... Arguments>
void launch(Stream& stream, const Launch& shape, void (*kernel)(Parameters...), Arguments... arguments) {
  launch_on(queue_of(stream), launches_overlap(stream), shape, kernel, arguments...);
}
/// The same, once for each of the stream's lanes; the grid's z is theirs.
template <class... Parameters, class... Arguments>
void launch(Stream& stream, Launch shape, void (*kernel)(LaneStrides, Parameters...), Arguments... arguments) {
  shape.grid.z = static_cast<unsigned>(stream.lanes().count);
  launch_on(queue_of_lanes(stream), launches_overlap(stream), shape, kernel, strides_of(stream), arguments...);
}

}  // namespace evenflow::kernels::cuda
