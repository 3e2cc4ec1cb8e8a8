#include "kernels/buffer.h"

#include "kernels/backend.h"

namespace evenflow::kernels {

Memory::Memory(size_t bytes, Device device) : device_(device) {
  if (bytes != 0) data_ = backend_of(device).allocate(bytes, device);
}

Memory Memory::pinned(size_t bytes, Device device) {
  Memory memory;
  memory.device_ = device;
  memory.pinned_ = true;
  if (bytes != 0) memory.data_ = backend_of(device).allocate_pinned(bytes);
  return memory;
}

Memory::~Memory() {
  if (data_ == nullptr) return;
  if (pinned_) {
    backend_of(device_).release_pinned(data_);
  } else {
    backend_of(device_).release(data_, device_);
  }
}

}  // namespace evenflow::kernels
