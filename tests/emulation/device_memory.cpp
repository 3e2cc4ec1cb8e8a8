#include "device_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <new>

#include "kernels/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace evenflow::emulation {
namespace {

constexpr size_t capacity = size_t{2} << 30;
constexpr size_t granule = 256;    // as cudaMalloc's alignment
constexpr size_t red_zone = 1024;  // between two allocations

/// First fit over one reserved stretch of addresses.
class Heap {
 public:
  Heap() {
    base_ = static_cast<unsigned char*>(
        mmap(nullptr, capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (base_ == MAP_FAILED) {
      throw std::bad_alloc();
    }
    free_[base_] = capacity;
  }

  void* allocate(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const size_t whole = (bytes + red_zone + granule - 1) / granule * granule;
    for (auto at = free_.begin(); at != free_.end(); ++at) {
      if (at->second < whole) {
        continue;
      }
      unsigned char* data = at->first;
      const size_t left = at->second - whole;
      free_.erase(at);
      if (left > 0) {
        free_[data + whole] = left;
      }
      used_[data] = {bytes, whole};
      if (data + whole > base_ + reached_) {
        reached_ = static_cast<size_t>(data + whole - base_);
        if (open_ > 0) {
          protect(PROT_READ | PROT_WRITE);
        }
      }
      poison(data, whole);
      unpoison(data, bytes);
      return data;
    }
    size_t free_bytes = 0;
    for (const auto& [data, size] : free_) {
      free_bytes += size;
    }
    throw kernels::DeviceError("cuda:0 is out of memory: " + std::to_string(bytes) + " bytes asked for, " +
                               std::to_string(free_bytes) + " of " + std::to_string(capacity) +
                               " free; lower train.batch or train.resident_mib, or use --device cpu");
  }

  void release(void* data) noexcept {
    const std::lock_guard lock(mutex_);
    const auto used = used_.find(static_cast<unsigned char*>(data));
    unsigned char* begin = used->first;
    size_t size = used->second.whole;
    used_.erase(used);
    poison(begin, size);
    auto next = free_.lower_bound(begin);
    if (next != free_.end() && begin + size == next->first) {
      size += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      auto before = std::prev(next);
      if (before->first + before->second == begin) {
        before->second += size;
        return;
      }
    }
    free_[begin] = size;
  }

  int64_t bytes() {
    const std::lock_guard lock(mutex_);
    int64_t sum = 0;
    for (const auto& [data, used] : used_) {
      sum += static_cast<int64_t>(used.bytes);
    }
    return sum;
  }

  std::vector<DeviceAllocation> allocations() {
    const std::lock_guard lock(mutex_);
    std::vector<DeviceAllocation> all;
    for (const auto& [data, used] : used_) {
      all.push_back({data, used.bytes});
    }
    return all;
  }

  bool holds(const void* data) const {
    const auto* at = static_cast<const unsigned char*>(data);
    return at >= base_ && at < base_ + capacity;
  }

  void open() {
    const std::lock_guard lock(mutex_);
    if (open_++ == 0) {
      protect(PROT_READ | PROT_WRITE);
    }
  }
  void close() {
    const std::lock_guard lock(mutex_);
    if (--open_ == 0) {
      protect(PROT_NONE);
    }
  }

 private:
  struct Used {
    size_t bytes, whole;
  };
  void protect(int how) const {
    if (reached_ > 0) {
      mprotect(base_, (reached_ + 4095) / 4096 * 4096, how);
    }
  }
  static void poison([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_poison_memory_region(data, bytes);
#endif
  }
  static void unpoison([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(data, bytes);
#endif
  }

  std::mutex mutex_;
  unsigned char* base_ = nullptr;
  size_t reached_ = 0;
  int open_ = 0;
  std::map<unsigned char*, size_t> free_;
  std::map<unsigned char*, Used> used_;
};

Heap& heap() {
  static Heap& heap = *new Heap;  // outlives every static buffer
  return heap;
}

}  // namespace

void* device_allocate(size_t bytes) {
  return heap().allocate(bytes);
}
void device_release(void* data) noexcept {
  heap().release(data);
}
bool is_device(const void* data) {
  return heap().holds(data);
}
int64_t device_bytes() {
  return heap().bytes();
}
std::vector<DeviceAllocation> device_allocations() {
  return heap().allocations();
}
DeviceMemoryOpen::DeviceMemoryOpen() {
  heap().open();
}
DeviceMemoryOpen::~DeviceMemoryOpen() {
  heap().close();
}

}  // namespace evenflow::emulation
