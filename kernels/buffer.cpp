#include "kernels/buffer.h"

#include "kernels/backend.h"

namespace evenflow::kernels {

Memory::Memory(size_t bytes, Device device) : device_(device) {
  if (bytes != 0) data_ = backend_of(device).allocate(bytes, device);
}

Memory::~Memory() {
  if (data_ != nullptr) backend_of(device_).release(data_, device_);
}

}  // namespace evenflow::kernels
