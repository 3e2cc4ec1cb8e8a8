// What kernels need of the CUDA runtime beside the interface of all (kernels/runtime.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/check.h"
#include "kernels/runtime.h"
#include "kernels/stream.h"

namespace evenflow::kernels::cuda {

/// The GPU's (runtime.cu), or its stand-in (tests/emulation).
Runtime& runtime();

/// DeviceError if the stream serves several lanes: before what serves one model.
inline void require_one_model(const Stream& stream) {
  if (stream.lanes().count > 1) {
    throw DeviceError("an operation that serves one model was asked to serve " + std::to_string(stream.lanes().count) +
                      " lanes");
  }
}

struct DeviceLimits {
  int multiprocessors = 0;
  int64_t shared_bytes_per_block = 0;  ///< dynamic, asked for
  int64_t memory_bytes = 0, l2_bytes = 0;
  bool launches_overlap = false;  ///< programmatic dependent launch
};
const DeviceLimits& limits_of(int index);

/// Device memory of the stream for one operation's own use, 256-byte aligned, until the next operation asks. It grows
/// when more is asked for than ever before, which cannot be while a graph is recorded: run an operation once before
/// that. On a stream that serves lanes it is the first lane's, with as much behind it for each of the others.
void* scratch(Stream& stream, int64_t bytes);
/// How far a lane's scratch memory of so many bytes carries.
constexpr int64_t scratch_stride(int64_t bytes) {
  constexpr int64_t alignment = 256;
  return (bytes + alignment - 1) / alignment * alignment;
}
inline double* scratch_doubles(Stream& stream, int64_t count) {
  return static_cast<double*>(scratch(stream, count * static_cast<int64_t>(sizeof(double))));
}

/// A word of device memory for each of the stream's lanes, 0 between kernels: is_last_block's (last_block.h). As with
/// scratch memory, there must be enough of them before a graph is recorded.
unsigned* arrival_counters(Stream& stream);
/// How many there are at least: lanes are seldom more.
inline constexpr int64_t first_counters = 256;

/// What the stream carries for a library (a handle, a workspace), empty at first and released with the stream.
enum class Attachment { cublas, cudnn, cufft, count };
std::shared_ptr<void>& attachment(Stream& stream, Attachment which);

}  // namespace evenflow::kernels::cuda
