// The CUDA runtime behind plain functions: memory, queues, graphs, events, limits. runtime.cu is the GPU's;
// tests/emulation has the stand-in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/launch_listener.h"
#include "kernels/stream.h"

namespace evenflow::kernels::cuda {

int device_count();
/// Why there is none: "CUDA driver version is insufficient for CUDA runtime version".
std::string why_no_device();
/// "NVIDIA H200, 132 multiprocessors, 141 GB, driver 13.0".
std::string describe_device(int index);
/// DeviceError unless kernels were built for it.
void require_supported(int index);

struct DeviceLimits {
  int multiprocessors = 0;
  int64_t shared_bytes_per_block = 0;  ///< dynamic, asked for
  int64_t memory_bytes = 0, l2_bytes = 0;
};
const DeviceLimits& limits_of(int index);

void* allocate(size_t bytes, int device);  ///< zeroed; DeviceError says what was asked for and what is free
void release(void* data, int device) noexcept;
void* allocate_pinned(size_t bytes);  ///< plain memory where pinned cannot be had
void release_pinned(void* data) noexcept;

void* create_queue(int device);
void release_queue(void* queue, int device) noexcept;
void synchronise(Stream& stream);
void copy(Stream& stream, const void* from, void* to, int64_t bytes);
void zero(Stream& stream, void* data, int64_t bytes);

/// Device memory of the stream for one operation's own use, 256-byte aligned, until the next operation asks. It grows
/// when more is asked for than ever before, which cannot be while a graph is recorded: run an operation once before
/// that.
void* scratch(Stream& stream, int64_t bytes);

/// What the stream carries for a library (a handle, a workspace), empty at first and released with the stream.
enum class Attachment { cublas, cudnn, cufft, count };
std::shared_ptr<void>& attachment(Stream& stream, Attachment which);

void begin_capture(Stream& stream);
void* end_capture(Stream& stream);
void launch_graph(Stream& stream, void* graph);
int64_t graph_nodes(void* graph);
void release_graph(void* graph) noexcept;

void* create_event(int device);
void release_event(void* event) noexcept;
void record_event(Stream& stream, void* event);
double event_seconds(void* from, void* to);

/// Who hears of every launch; null: nobody.
void set_launch_listener(LaunchListener* listener);

}  // namespace evenflow::kernels::cuda
