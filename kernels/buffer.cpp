#include "kernels/buffer.h"

#include "kernels/lanes.h"
#include "kernels/runtime.h"

namespace evenflow::kernels {

Memory::Memory(size_t bytes, Device device) : device_(device) {
  if (bytes == 0) {
    return;
  }
  data_ = take_lane_memory(bytes, device);
  of_lane_ = data_ != nullptr;
  if (!of_lane_) {
    data_ = runtime_of(device).allocate(bytes, device);
  }
}

Memory Memory::pinned(size_t bytes, Device device) {
  Memory memory;
  memory.device_ = device;
  memory.pinned_ = true;
  if (bytes != 0) {
    memory.data_ = runtime_of(device).allocate_pinned(bytes, device);
  }
  return memory;
}

Memory::~Memory() {
  if (data_ == nullptr || of_lane_) {
    return;
  }
  if (pinned_) {
    runtime_of(device_).release_pinned(data_, device_);
  } else {
    runtime_of(device_).release(data_, device_);
  }
}

}  // namespace evenflow::kernels
