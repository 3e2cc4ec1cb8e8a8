// A recorded sequence of operations that a device runs as one.
#pragma once

#include <cstdint>
#include <functional>

#include "kernels/stream.h"

namespace evenflow::kernels {

/// On a GPU, `record` is called once and what it queues becomes one graph: no launch by the host between its nodes. It
/// must not allocate, wait or copy to pageable memory. On the CPU `record` itself runs at every launch.
class Graph {
 public:
  Graph() = default;
  Graph(Stream& stream, std::function<void()> record);
  ~Graph();
  Graph(Graph&& other) noexcept { swap(other); }
  Graph& operator=(Graph&& other) noexcept {
    swap(other);
    return *this;
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  bool empty() const { return handle_ == nullptr && !record_; }
  void launch(Stream& stream);
  /// Kernels, copies and fills in it; 0 on the CPU.
  int64_t nodes() const;

 private:
  void swap(Graph& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(record_, other.record_);
    std::swap(handle_, other.handle_);
  }
  Device device_{};
  std::function<void()> record_;  // CPU
  void* handle_ = nullptr;        // the backend's own
};

}  // namespace evenflow::kernels
