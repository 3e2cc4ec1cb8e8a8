// The emulated device's memory: a stretch of address space that the host may touch only while a queue runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace evenflow::emulation {

/// What a block may ask for, as on compute capability 9.0.
inline constexpr size_t most_shared_bytes = 227 * 1024;

void* device_allocate(size_t bytes);
void device_release(void* data) noexcept;
bool is_device(const void* data);
/// Of all that is allocated, as asked for.
int64_t device_bytes();
struct DeviceAllocation {
  unsigned char* data = nullptr;
  size_t bytes = 0;
};
std::vector<DeviceAllocation> device_allocations();

/// While one lives, device memory can be touched.
class DeviceMemoryOpen {
 public:
  DeviceMemoryOpen();
  ~DeviceMemoryOpen();
  DeviceMemoryOpen(const DeviceMemoryOpen&) = delete;
  DeviceMemoryOpen& operator=(const DeviceMemoryOpen&) = delete;
};

}  // namespace evenflow::emulation
