// An in-order queue of operations on one device.
#pragma once

#include "kernels/device.h"

namespace evenflow::kernels {

/// On the CPU operations run at once, on the calling thread: parallelism is one stream per thread (parallel.h).
class Stream {
 public:
  explicit Stream(Device device = {}) : device_(device) {}
  Device device() const { return device_; }
  /// Waits until everything queued has run.
  void synchronise();

 private:
  Device device_;
  void* handle_ = nullptr;  // the backend's own queue; none on the CPU
};

}  // namespace evenflow::kernels
