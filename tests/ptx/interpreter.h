// Runs a decoded kernel over the host's memory: blocks one after the other, a block's warps in turns, a warp's lanes
// together under a mask. What a GPU would not forgive is a fault, reported with kernel, line of the text and thread.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/ptx/kernel.h"

namespace evenflow::ptx {

class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What a word of device memory was last written as.
enum class Written : uint8_t { no, bits, f32, f64 };

/// A stretch of what the kernel may touch.
struct Region {
  unsigned char* begin = nullptr;
  size_t bytes = 0;
  std::vector<Written> words{};  ///< of 4 bytes, since the launch began
};

class DeviceMemory {
 public:
  explicit DeviceMemory(std::vector<Region> regions);
  /// The region that holds all of [address, address + bytes); null: none does.
  Region* find(uint64_t address, uint64_t bytes);
  std::span<Region> regions() { return regions_; }

 private:
  std::vector<Region> regions_;  // in order
  size_t last_ = 0;
};

struct Shape {
  std::array<unsigned, 3> grid{1, 1, 1}, block{1, 1, 1};
  size_t shared_bytes = 0;
  bool last_block_first = false;
};

/// Fault, also for a launch that no GPU takes.
void run(const Kernel& kernel, const Shape& shape, std::span<const std::byte> parameters, DeviceMemory& memory);

// What handlers see.

/// For each lane of the mask; whole warps without branches.
template <class F>
void for_lanes(uint32_t mask, const F& f) {
  if (mask == all_lanes) {
    for (int lane = 0; lane < warp_lanes; ++lane) {
      f(lane);
    }
    return;
  }
  for (; mask != 0; mask &= mask - 1) {
    f(std::countr_zero(mask));
  }
}

/// What all warps of a block share, and what a launch gives them.
struct BlockState {
  const Kernel* kernel = nullptr;
  Shape shape;
  std::array<unsigned, 3> at{};
  std::vector<unsigned char> parameters;
  std::vector<unsigned char> shared, shared_written;  // the latter per word
  DeviceMemory* memory = nullptr;
  unsigned threads = 0;
};

struct PendingCopy {
  uint64_t to = 0;
  const unsigned char* from = nullptr;
};
/// A lane's asynchronous copies.
struct Copies {
  std::vector<PendingCopy> open;
  std::vector<std::vector<PendingCopy>> committed;
};

class Warp {
 public:
  Warp(BlockState& block, unsigned index);
  /// At the kernel's beginning, in a new block.
  void begin();
  /// Until a barrier or the end.
  void go();

  template <class T>
  T* at(int place) {
    return reinterpret_cast<T*>(registers_ + place);
  }
  [[noreturn]] void fail(const Instruction& instruction, int lane, const std::string& what) const;

  bool ended() const { return stack_.empty(); }
  uint32_t lanes() const { return lanes_; }

  BlockState& block;
  uint32_t awaited = 0;          ///< lanes that have waited for the kernel before
  uint32_t carry = 0;            ///< CC.CF, by lane
  uint32_t live = 0;             ///< lanes that have not ended
  int barrier = -1;              ///< what it waits for
  unsigned barrier_threads = 0;  ///< so many threads together
  const Instruction* waits_at = nullptr;
  std::vector<unsigned char> local;  ///< by lane
  std::array<Copies, warp_lanes> copies;

 private:
  struct Path {
    int pc = 0, join = 0;
    uint32_t mask = 0;
  };
  void branch(const Instruction& instruction, uint32_t taken);
  void end_lanes(const Instruction& instruction, uint32_t ended);
  void fill_registers();

  unsigned index_ = 0;
  uint32_t lanes_ = 0;  // that there are
  std::vector<unsigned char> storage_;
  unsigned char* registers_ = nullptr;
  std::vector<Path> stack_;  // the last one runs; those below wait at its join
};

}  // namespace evenflow::ptx
