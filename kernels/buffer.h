// Owned device memory: move-only, 64-byte aligned, zero-initialised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/view.h"

namespace evenflow::kernels {

/// Untyped owner; use Buffer<T>. allocate throws DeviceError naming the size when the device has no room.
class Memory {
 public:
  Memory() = default;
  Memory(size_t bytes, Device device);
  ~Memory();
  Memory(Memory&& other) noexcept { swap(other); }
  Memory& operator=(Memory&& other) noexcept {
    swap(other);
    return *this;
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* data() const { return data_; }
  Device device() const { return device_; }

 private:
  void swap(Memory& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(device_, other.device_);
  }
  void* data_ = nullptr;
  Device device_{};
};

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size, Device device = {})
      : memory_(static_cast<size_t>(size) * sizeof(T), device), size_(size) {}
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
