#include "kernels/stream.h"

#include "kernels/backend.h"

namespace evenflow::kernels {

Stream::Stream(Device device) : device_(device) {
  if (device.type != DeviceType::cpu) handle_ = backend_of(device).create_stream(device);
}

Stream::~Stream() {
  if (handle_ != nullptr) backend_of(device_).release_stream(handle_, device_);
}

void Stream::synchronise() {
  if (device_.type != DeviceType::cpu) backend_of(device_).synchronise(*this);
}

}  // namespace evenflow::kernels
