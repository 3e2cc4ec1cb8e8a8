// Points in a stream's time, for measuring what a device does between two of them.
#pragma once

#include <utility>

#include "kernels/stream.h"

namespace evenflow::kernels {

/// A GPU's own clock where the stream lies on one (resolution about 0.5 us), else the host's steady clock.
class Event {
 public:
  explicit Event(Device device = {});
  ~Event();
  Event(Event&& other) noexcept { swap(other); }
  Event& operator=(Event&& other) noexcept {
    swap(other);
    return *this;
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(Stream& stream);
  /// Until the stream has come to it.
  void wait() const { (void)seconds_since(*this); }
  /// From `earlier` to this, in seconds; waits until both have been reached.
  double seconds_since(const Event& earlier) const;

 private:
  void swap(Event& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(handle_, other.handle_);
    std::swap(time_, other.time_);
  }
  Device device_{};
  void* handle_ = nullptr;  // the backend's own
  double time_ = 0;         // CPU
};

}  // namespace evenflow::kernels
