// What kernels need of the CUDA runtime beside the interface of all (kernels/runtime.h).
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/runtime.h"
#include "kernels/stream.h"

namespace evenflow::kernels::cuda {

/// The GPU's (runtime.cu), or its stand-in (tests/emulation).
Runtime& runtime();

struct DeviceLimits {
  int multiprocessors = 0;
  int64_t shared_bytes_per_block = 0;  ///< dynamic, asked for
  int64_t memory_bytes = 0, l2_bytes = 0;
};
const DeviceLimits& limits_of(int index);

/// Device memory of the stream for one operation's own use, 256-byte aligned, until the next operation asks. It grows
/// when more is asked for than ever before, which cannot be while a graph is recorded: run an operation once before
/// that.
void* scratch(Stream& stream, int64_t bytes);
inline double* scratch_doubles(Stream& stream, int64_t count) {
  return static_cast<double*>(scratch(stream, count * static_cast<int64_t>(sizeof(double))));
}

/// What the stream carries for a library (a handle, a workspace), empty at first and released with the stream.
enum class Attachment { cublas, cudnn, cufft, count };
std::shared_ptr<void>& attachment(Stream& stream, Attachment which);

}  // namespace evenflow::kernels::cuda
