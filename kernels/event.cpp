#include "kernels/event.h"

#include <chrono>

#include "kernels/check.h"
#include "kernels/runtime.h"

namespace evenflow::kernels {

Event::Event(Device device) : device_(device) {
  if (device.type != DeviceType::cpu) {
    handle_ = runtime_of(device).create_event(device);
  }
}

Event::~Event() {
  if (handle_ != nullptr) {
    runtime_of(device_).release_event(handle_);
  }
}

void Event::record(Stream& stream) {
  check(stream.device() == device_, "Event::record", "a stream of the event's device");
  if (handle_ != nullptr) {
    runtime_of(device_).record_event(stream, handle_);
  } else {
    time_ = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
}

double Event::seconds_since(const Event& earlier) const {
  check(earlier.device_ == device_, "Event::seconds_since", "two events of one device");
  return handle_ != nullptr ? runtime_of(device_).event_seconds(earlier.handle_, handle_) : time_ - earlier.time_;
}

}  // namespace evenflow::kernels
