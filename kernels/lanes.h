// Many models of one shape on one GPU, served by one launch: each is a lane.
//
// Every lane's memory is laid out alike, a fixed stride behind the one before. An operation on a stream that serves
// lanes is the first lane's, and runs once for each: what its task names of the first lane's memory stands for the same
// places of all, what is shared (frames, tables of windows) for itself. Which of a task's views are a lane's own, its
// kernels say (kernels/cuda). A lane's results are the bits that it would have alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "kernels/buffer.h"
#include "kernels/stream.h"

namespace evenflow::kernels {

/// The buffers of one lane, in the order in which they are made.
class LaneLayout {
 public:
  void add(size_t bytes) { sizes_.push_back(bytes); }
  const std::vector<size_t>& sizes() const { return sizes_; }
  /// How far a buffer of so many bytes carries.
  static int64_t padded(size_t bytes);
  /// A lane's whole memory: the sum of its padded buffers.
  int64_t bytes() const;

 private:
  std::vector<size_t> sizes_;
};

/// What a stream that serves so many lanes keeps on a GPU beside their memory: a counter of blocks for each.
constexpr int64_t lane_counter_bytes(int64_t lanes) {
  constexpr int64_t least = 256;
  return (lanes > least ? lanes : least) * static_cast<int64_t>(sizeof(unsigned));
}

/// One allocation for so many lanes. Not released in parts: a lane's memory may be taken anew once its owners are gone.
class LaneMemory {
 public:
  /// DeviceError if there is no room for lanes * layout.bytes().
  LaneMemory(Device device, int64_t lanes, LaneLayout layout);
  LaneMemory(const LaneMemory&) = delete;
  LaneMemory& operator=(const LaneMemory&) = delete;

  Device device() const { return stream_.device(); }
  int64_t lanes() const { return lanes_; }
  /// Of all: lanes * layout.bytes().
  int64_t bytes() const { return memory_.size(); }
  /// What a stream needs that serves the lanes [first, first + count): `first` is the one whose views tasks name.
  Lanes serve(int64_t first, int64_t count) const;
  /// The lane's next buffer, zeroed. ShapeError, an internal one, unless it is as the layout says. Lanes may be made by
  /// threads side by side.
  void* take(int64_t lane, size_t bytes);
  /// The lane is empty again: its buffers' owners are gone.
  void clear(int64_t lane) { taken_[static_cast<size_t>(lane)] = {}; }

 private:
  struct Taken {
    size_t buffers = 0;
    int64_t bytes = 0;
  };
  int64_t lanes_;
  LaneLayout layout_;
  Stream stream_;
  std::mutex mutex_;  // of stream_
  Buffer<unsigned char> memory_;
  std::vector<Taken> taken_;
};

/// Where the calling thread's device memory (buffer.h) comes from, until the scope ends. Scopes nest; the innermost
/// holds.
class MemoryScope {
 public:
  /// A lane's memory, behind what has been taken of it.
  MemoryScope(LaneMemory& memory, int64_t lane);
  /// The device itself, and `layout` hears of every buffer on it.
  MemoryScope(Device device, LaneLayout& layout);
  /// The device itself: what lanes share.
  MemoryScope();
  ~MemoryScope();
  MemoryScope(const MemoryScope&) = delete;
  MemoryScope& operator=(const MemoryScope&) = delete;

  struct Source {
    LaneMemory* memory = nullptr;
    int64_t lane = 0;
    LaneLayout* heard = nullptr;
    Device device{};
  };

 private:
  Source before_;
};

/// For buffer.cpp: a lane's memory if the calling thread takes from one of this device, else null.
void* take_lane_memory(size_t bytes, Device device);

/// A stream serves lanes until the scope ends; then one model again.
class LanesServed {
 public:
  LanesServed(Stream& stream, const Lanes& lanes) : stream_(stream) { stream.serve(lanes); }
  ~LanesServed() { stream_.serve({}); }
  LanesServed(const LanesServed&) = delete;
  LanesServed& operator=(const LanesServed&) = delete;

 private:
  Stream& stream_;
};

}  // namespace evenflow::kernels
