#include "kernels/lanes.h"

#include <numeric>
#include <string>
#include <utility>

#include "kernels/check.h"
#include "kernels/copy.h"

namespace evenflow::kernels {
namespace {

// As a GPU's own allocations are aligned.
constexpr size_t alignment = 256;

thread_local MemoryScope::Source source;

}  // namespace

int64_t LaneLayout::padded(size_t bytes) {
  return static_cast<int64_t>((bytes + alignment - 1) / alignment * alignment);
}

int64_t LaneLayout::bytes() const {
  return std::accumulate(sizes_.begin(), sizes_.end(), int64_t{0},
                         [](int64_t sum, size_t bytes) { return sum + padded(bytes); });
}

LaneMemory::LaneMemory(Device device, int64_t lanes, LaneLayout layout)
    : lanes_(lanes), layout_(std::move(layout)), stream_(device), taken_(static_cast<size_t>(lanes)) {
  check(lanes >= 1, "LaneMemory", "one lane or more");
  const MemoryScope whole;
  memory_ = Buffer<unsigned char>(lanes * layout_.bytes(), device);
}

Lanes LaneMemory::serve(int64_t first, int64_t count) const {
  check(first >= 0 && count >= 1 && first + count <= lanes_, "LaneMemory::serve", "lanes that there are");
  return {.count = count, .stride = layout_.bytes(), .memory = memory_.data() + first * layout_.bytes()};
}

void* LaneMemory::take(int64_t lane, size_t bytes) {
  check(lane >= 0 && lane < lanes_, "LaneMemory::take", "a lane that there is");
  Taken& taken = taken_[static_cast<size_t>(lane)];
  const std::vector<size_t>& sizes = layout_.sizes();
  if (taken.buffers == sizes.size() || sizes[taken.buffers] != bytes) {
    const std::string expected =
        taken.buffers == sizes.size() ? "no more" : "of " + std::to_string(sizes[taken.buffers]) + " bytes";
    throw ShapeError("lane " + std::to_string(lane) + " takes a buffer of " + std::to_string(bytes) +
                     " bytes as number " + std::to_string(taken.buffers) + ", expected " + expected +
                     ": lanes must be made alike, in the same order");
  }
  unsigned char* data = memory_.data() + lane * layout_.bytes() + taken.bytes;
  {
    const std::lock_guard lock(mutex_);
    zero_bytes(stream_, data, device(), static_cast<int64_t>(bytes));
    stream_.synchronise();
  }
  ++taken.buffers;
  taken.bytes += LaneLayout::padded(bytes);
  return data;
}

MemoryScope::MemoryScope(LaneMemory& memory, int64_t lane)
    : before_(std::exchange(source, {.memory = &memory, .lane = lane, .heard = nullptr, .device = memory.device()})) {}

MemoryScope::MemoryScope(Device device, LaneLayout& layout)
    : before_(std::exchange(source, {.memory = nullptr, .lane = 0, .heard = &layout, .device = device})) {}

MemoryScope::MemoryScope() : before_(std::exchange(source, {})) {}

MemoryScope::~MemoryScope() {
  source = before_;
}

void* take_lane_memory(size_t bytes, Device device) {
  if (device != source.device) {
    return nullptr;
  }
  if (source.heard != nullptr) {
    source.heard->add(bytes);
  }
  return source.memory == nullptr ? nullptr : source.memory->take(source.lane, bytes);
}

}  // namespace evenflow::kernels
