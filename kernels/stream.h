// An in-order queue of operations on one device.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/device.h"

namespace evenflow::kernels {

class Tracer;

/// The models that a stream's operations are for (lanes.h): `count` of them, `stride` bytes apart. `memory`: the first
/// one's, whose views the operations' tasks name.
struct Lanes {
  int64_t count = 1, stride = 0;
  const void* memory = nullptr;
};

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

  /// Device memory that its operations have come to need for their own use, at once; 0 on the CPU.
  int64_t scratch_bytes();
  /// Makes room for as much, of each of the stream's lanes.
  void reserve_scratch(int64_t bytes_of_lane);

  /// Who hears of the operations run on this stream (trace.h); null: nobody. Not owned.
  Tracer* tracer() const { return tracer_; }
  void set_tracer(Tracer* tracer) { tracer_ = tracer; }

  /// From now on every operation is for these lanes: DeviceError from one whose kernels serve one model only.
  /// ShapeError on the CPU, which has no lanes.
  void serve(const Lanes& lanes);
  const Lanes& lanes() const { return lanes_; }

  /// The backend's own queue; null on the CPU.
  void* handle() const { return handle_; }

 private:
  void swap(Stream& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(tracer_, other.tracer_);
    std::swap(lanes_, other.lanes_);
    std::swap(handle_, other.handle_);
  }
  Device device_{};
  Tracer* tracer_ = nullptr;
  Lanes lanes_;
  void* handle_ = nullptr;
};

}  // namespace evenflow::kernels
