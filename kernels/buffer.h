// Owned memory: move-only, 64-byte aligned, zero-initialised. Buffer lies on a device, PinnedBuffer on the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/view.h"

namespace evenflow::kernels {

/// Untyped owner; use Buffer<T>. allocate throws DeviceError naming the size when the device has no room. In a
/// MemoryScope (lanes.h) it may be a lane's memory, which goes with all lanes'.
class Memory {
 public:
  Memory() = default;
  Memory(size_t bytes, Device device);
  /// Host memory from and to which the device copies at full speed, beside the host's own work.
  static Memory pinned(size_t bytes, Device device);
  ~Memory();
  Memory(Memory&& other) noexcept { swap(other); }
  Memory& operator=(Memory&& other) noexcept {
    swap(other);
    return *this;
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* data() const { return data_; }
  /// Where it lies: pinned memory on the CPU.
  Device device() const { return pinned_ ? Device{} : device_; }

 private:
  void swap(Memory& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(device_, other.device_);
    std::swap(pinned_, other.pinned_);
    std::swap(of_lane_, other.of_lane_);
  }
  void* data_ = nullptr;
  Device device_{};
  bool pinned_ = false, of_lane_ = false;
};

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size, Device device = {})
      : memory_(static_cast<size_t>(size) * sizeof(T), device), size_(size) {}
  /// Pinned host memory for copies by `device`.
  static Buffer pinned(int64_t size, Device device) {
    Buffer buffer;
    buffer.memory_ = Memory::pinned(static_cast<size_t>(size) * sizeof(T), device);
    buffer.size_ = size;
    return buffer;
  }
  T* data() const { return static_cast<T*>(memory_.data()); }
  int64_t size() const { return size_; }
  Array<T> view() const { return {data(), size_, memory_.device()}; }
  Array<T> slice(int64_t first, int64_t count) const { return view().slice(first, count); }
  T& operator[](int64_t i) const { return data()[i]; }

 private:
  Memory memory_;
  int64_t size_ = 0;
};

}  // namespace evenflow::kernels
