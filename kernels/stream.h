// An in-order queue of operations on one device.
#pragma once

#include "kernels/device.h"

namespace evenflow::kernels {

class Tracer;

/// On the CPU operations run at once, on the calling thread: parallelism is one stream per thread (parallel.h).
class Stream {
 public:
  explicit Stream(Device device = {}) : device_(device) {}
  Device device() const { return device_; }
  /// Waits until everything queued has run.
  void synchronise();

  /// Who hears of the operations run on this stream (trace.h); null: nobody. Not owned.
  Tracer* tracer() const { return tracer_; }
  void set_tracer(Tracer* tracer) { tracer_ = tracer; }

 private:
  Device device_;
  Tracer* tracer_ = nullptr;
  void* handle_ = nullptr;  // the backend's own queue; none on the CPU
};

}  // namespace evenflow::kernels
