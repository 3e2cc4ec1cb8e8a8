#include "kernels/stream.h"

#include "kernels/check.h"
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

void Stream::serve(const Lanes& lanes) {
  check(lanes.count == 1 || device_.type != DeviceType::cpu, "Stream::serve", "lanes of a GPU");
  lanes_ = lanes;
}

int64_t Stream::scratch_bytes() {
  return runtime_of(device_).scratch_bytes(*this);
}

void Stream::reserve_scratch(int64_t bytes_of_lane) {
  runtime_of(device_).reserve_scratch(*this, bytes_of_lane);
}

}  // namespace evenflow::kernels
