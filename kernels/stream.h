// An in-order queue of operations on one device.
#pragma once

#include <utility>

#include "kernels/device.h"

namespace evenflow::kernels {

class Tracer;

/// On the CPU operations run at once, on the calling thread: parallelism is one stream per thread (parallel.h). On a
/// GPU they are queued; what they write may be read after synchronise().
class Stream {
 public:
  explicit Stream(Device device = {});
  ~Stream();
  Stream(Stream&& other) noexcept { swap(other); }
  Stream& operator=(Stream&& other) noexcept {
    swap(other);
    return *this;
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Device device() const { return device_; }
  /// Waits until everything queued has run. DeviceError if something in it failed.
  void synchronise();

  /// Who hears of the operations run on this stream (trace.h); null: nobody. Not owned.
  Tracer* tracer() const { return tracer_; }
  void set_tracer(Tracer* tracer) { tracer_ = tracer; }

  /// The backend's own queue; null on the CPU.
  void* handle() const { return handle_; }

 private:
  void swap(Stream& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(tracer_, other.tracer_);
    std::swap(handle_, other.handle_);
  }
  Device device_{};
  Tracer* tracer_ = nullptr;
  void* handle_ = nullptr;
};

}  // namespace evenflow::kernels
