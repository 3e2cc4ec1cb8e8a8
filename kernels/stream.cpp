#include "kernels/stream.h"

#include "kernels/runtime.h"

namespace evenflow::kernels {

Stream::Stream(Device device) : device_(device) {
  if (device.type != DeviceType::cpu) {
    handle_ = runtime_of(device).create_stream(device);
  }
}

Stream::~Stream() {
  if (handle_ != nullptr) {
    runtime_of(device_).release_stream(handle_, device_);
  }
}

void Stream::synchronise() {
  if (device_.type != DeviceType::cpu) {
    runtime_of(device_).synchronise(*this);
  }
}

}  // namespace evenflow::kernels
