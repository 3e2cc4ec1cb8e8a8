// What a device has besides operations: memory, streams, graphs, events, and what a profiler asks of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "kernels/communicator.h"
#include "kernels/launch_listener.h"
#include "kernels/precision.h"
#include "kernels/stream.h"

namespace evenflow::kernels {

class Tracer;

/// One row from each rank of a job, `bytes` long: rank r's begins at all + r * bytes.
struct RankRows {
  void* all = nullptr;
  int64_t bytes = 0;
};

/// A backend's runtime. Defaults are those of a device that runs everything at once, on the calling thread: it has no
/// queue of its own, records no graph, and its memory is the host's.
class Runtime {
 public:
  Runtime() = default;
  virtual ~Runtime() = default;
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  virtual std::string describe(Device device) = 0;
  virtual int devices() { return 1; }
  /// Why there is none: a sentence without its end.
  virtual std::string why_no_device() { return "there is no device"; }
  /// DeviceError unless the kernels can run on it.
  virtual void require_usable(Device) {}

  virtual void* allocate(size_t bytes, Device device) = 0;  ///< zeroed, 64-byte aligned
  virtual void release(void* data, Device device) noexcept = 0;
  /// Host memory from and to which the device copies fast; zeroed, 64-byte aligned.
  virtual void* allocate_pinned(size_t bytes, Device) { return allocate(bytes, {}); }
  virtual void release_pinned(void* data, Device) noexcept { release(data, {}); }
  /// As cudaMemcpyDefault: the places say themselves where they lie.
  virtual void copy(Stream& stream, const void* from, void* to, int64_t bytes) = 0;
  /// On a stream that serves lanes, the same bytes of every lane.
  virtual void zero(Stream& stream, void* data, int64_t bytes) = 0;

  virtual void* create_stream(Device) { return nullptr; }
  virtual void release_stream(void*, Device) noexcept {}
  virtual void synchronise(Stream&) {}
  // stream.h says what these are.
  virtual int64_t scratch_bytes(Stream&) { return 0; }
  virtual void reserve_scratch(Stream&, int64_t) {}
  virtual void begin_capture(Stream&) {}
  virtual void* end_capture(Stream&) { return nullptr; }
  virtual void launch_graph(Stream&, void*) {}
  virtual int64_t graph_nodes(void*) { return 0; }
  virtual void release_graph(void*) noexcept {}
  virtual void* create_event(Device) { return nullptr; }
  virtual void release_event(void*) noexcept {}
  virtual void record_event(Stream&, void*) {}
  virtual double event_seconds(void*, void*) { return 0; }

  // device_ranks.h says what these are.
  virtual std::string identity(Device) { return ""; }
  virtual void* join_ranks(Device, Communicator& ranks) { return &ranks; }
  virtual void leave_ranks(void* /*joined*/) noexcept {}
  virtual void gather_ranks(Stream&, void* joined, std::span<const RankRows> rows) {
    auto& ranks = *static_cast<Communicator*>(joined);
    for (const RankRows& part : rows) {
      ranks.gather_rows(part.all, part.bytes);
    }
  }

  // probe.h says what these are.
  virtual int64_t cache_bytes(Device) { return 0; }
  virtual double measure_gemm(Stream&, Precision) { return 0; }
  virtual void set_launch_listener(LaunchListener*) {}
  virtual Tracer* range_marker() { return nullptr; }
};

/// The device's. The CUDA backend is a shared library, loaded on first use; DeviceError says why it cannot be used
/// (built without CUDA, no driver, no device).
Runtime& runtime_of(Device device);

}  // namespace evenflow::kernels
