#include "tests/ptx/interpreter.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

namespace evenflow::ptx {
namespace {

std::string text_of(const std::array<unsigned, 3>& at) {
  return "(" + std::to_string(at[0]) + ", " + std::to_string(at[1]) + ", " + std::to_string(at[2]) + ")";
}

std::array<unsigned, 3> place_in(const std::array<unsigned, 3>& size, size_t index) {
  return {static_cast<unsigned>(index % size[0]), static_cast<unsigned>(index / size[0] % size[1]),
          static_cast<unsigned>(index / size[0] / size[1])};
}

}  // namespace

DeviceMemory::DeviceMemory(std::vector<Region> regions) : regions_(std::move(regions)) {
  std::sort(regions_.begin(), regions_.end(), [](const Region& a, const Region& b) { return a.begin < b.begin; });
  for (Region& region : regions_) {
    region.words.assign((region.bytes + 3) / 4, Written::no);
  }
}

Region* DeviceMemory::find(uint64_t address, uint64_t bytes) {
  const auto holds = [&](const Region& region) {
    const auto begin = reinterpret_cast<uint64_t>(region.begin);
    return address >= begin && address + bytes <= begin + region.bytes;
  };
  if (last_ < regions_.size() && holds(regions_[last_])) {
    return &regions_[last_];
  }
  const auto after = std::upper_bound(regions_.begin(), regions_.end(), address, [](uint64_t at, const Region& region) {
    return at < reinterpret_cast<uint64_t>(region.begin);
  });
  if (after == regions_.begin() || !holds(*(after - 1))) {
    return nullptr;
  }
  last_ = static_cast<size_t>(after - regions_.begin()) - 1;
  return &regions_[last_];
}

Warp::Warp(BlockState& of, unsigned index) : block(of), index_(index) {
  const unsigned count = std::min<unsigned>(warp_lanes, block.threads - index * warp_lanes);
  lanes_ = count == warp_lanes ? all_lanes : (1U << count) - 1;
  constexpr size_t alignment = 64;
  storage_.resize(block.kernel->register_bytes + alignment);
  void* at = storage_.data();
  size_t space = storage_.size();
  registers_ = static_cast<unsigned char*>(std::align(alignment, block.kernel->register_bytes, at, space));
  local.resize(block.kernel->local_bytes * warp_lanes);
  fill_registers();
}

void Warp::fill_registers() {
  for (const Constant& constant : block.kernel->constants) {
    if (constant.bytes == 0) {
      *at<uint32_t>(constant.place) = static_cast<uint32_t>(constant.bits);
    }
    for (int lane = 0; lane < warp_lanes; ++lane) {
      std::memcpy(at<unsigned char>(constant.place) + lane * constant.bytes, &constant.bits,
                  static_cast<size_t>(constant.bytes));
    }
  }
}

void Warp::begin() {
  for (const SpecialRegister& special : block.kernel->specials) {
    auto* values = at<uint32_t>(special.place);
    for (int lane = 0; lane < warp_lanes; ++lane) {
      const std::array<unsigned, 3> thread =
          place_in(block.shape.block, index_ * static_cast<unsigned>(warp_lanes) + static_cast<unsigned>(lane));
      const auto what = static_cast<size_t>(special.what);
      const std::array all{thread, block.shape.block, block.at, block.shape.grid};
      values[lane] = special.what == Special::laneid ? static_cast<uint32_t>(lane) : all[what / 3][what % 3];
    }
  }
  live = lanes_;
  awaited = block.kernel->overlaps ? 0 : lanes_;
  carry = 0;
  barrier = -1;
  stack_.assign(1, {0, static_cast<int>(block.kernel->code.size()), lanes_});
}

void Warp::fail(const Instruction& instruction, int lane, const std::string& what) const {
  const std::array<unsigned, 3> thread =
      place_in(block.shape.block, index_ * static_cast<unsigned>(warp_lanes) + static_cast<unsigned>(lane));
  throw Fault("kernel " + block.kernel->name + ", block " + text_of(block.at) + ", thread " + text_of(thread) + ", " +
              block.kernel->file + ":" + std::to_string(instruction.line) + ": " + what);
}

void Warp::go() {
  const Instruction* code = block.kernel->code.data();
  while (!stack_.empty()) {
    Path path = stack_.back();
    for (bool here = true; here;) {
      const Instruction& instruction = code[path.pc];
      if (instruction.begins_block && path.pc == path.join) {
        stack_.pop_back();
        break;
      }
      uint32_t active = path.mask;
      if (instruction.guard >= 0) {
        const uint32_t guard = *at<uint32_t>(instruction.guard);
        active &= instruction.guard_negated ? ~guard : guard;
      }
      instruction.ran = instruction.ran || active != 0;
      switch (instruction.flow) {
        case Flow::next:
          if (active != 0) {
            instruction.run(*this, instruction, active);
          }
          ++path.pc;
          break;
        case Flow::branch:
          if (active == path.mask) {
            path.pc = instruction.target;
          } else if (active == 0) {
            ++path.pc;
          } else {
            stack_.back().pc = path.pc;
            branch(instruction, active);
            here = false;
          }
          break;
        case Flow::ret:
          if (active == 0) {
            ++path.pc;
          } else {
            stack_.back().pc = path.pc + 1;
            end_lanes(instruction, active);
            here = false;
          }
          break;
        case Flow::barrier:
          ++path.pc;
          if (active != 0) {
            stack_.back().pc = path.pc;
            instruction.run(*this, instruction, active);
            waits_at = &instruction;
            return;
          }
          break;
      }
    }
  }
}

/// The path parts: its lanes meet again at the join, which the path itself becomes.
void Warp::branch(const Instruction& instruction, uint32_t taken) {
  const Path from = stack_.back();
  if (instruction.join == from.join) {
    stack_.pop_back();  // whoever waits there waits for these lanes as well
  } else {
    stack_.back().pc = instruction.join;
  }
  const Path stays{from.pc + 1, instruction.join, from.mask & ~taken};
  const Path goes{instruction.target, instruction.join, taken};
  for (const Path& path : {stays, goes}) {
    if (path.pc != path.join) {
      stack_.push_back(path);
    }
  }
}

void Warp::end_lanes(const Instruction& instruction, uint32_t ended) {
  for (int lane = 0; lane < warp_lanes; ++lane) {
    if ((ended >> lane & 1U) != 0 && !(copies[lane].open.empty() && copies[lane].committed.empty())) {
      fail(instruction, lane, "the thread ends with asynchronous copies that it has not waited for");
    }
  }
  live &= ~ended;
  for (Path& path : stack_) {
    path.mask &= ~ended;
  }
  std::erase_if(stack_, [](const Path& path) { return path.mask == 0; });
}

namespace {

/// Lets warps go on whose barrier all have reached that it waits for.
void meet(std::vector<std::unique_ptr<Warp>>& warps) {
  constexpr int barriers = 16;
  for (int id = 0; id < barriers; ++id) {
    unsigned arrived = 0;
    Warp* one = nullptr;
    for (const auto& warp : warps) {
      if (warp->barrier != id) {
        continue;
      }
      arrived += static_cast<unsigned>(std::popcount(warp->lanes()));
      if (one != nullptr && one->barrier_threads != warp->barrier_threads) {
        warp->fail(*warp->waits_at, 0, "waits for another number of threads than others at this barrier");
      }
      one = warp.get();
    }
    if (one == nullptr || arrived < one->barrier_threads) {
      continue;
    }
    if (arrived > one->barrier_threads) {
      one->fail(*one->waits_at, 0, "more threads come to the barrier than it waits for");
    }
    for (const auto& warp : warps) {
      warp->barrier = warp->barrier == id ? -1 : warp->barrier;
    }
  }
}

void run_block(std::vector<std::unique_ptr<Warp>>& warps) {
  for (const auto& warp : warps) {
    warp->begin();
  }
  for (bool backwards = true;; backwards = !backwards) {  // the emulation begins with the first
    bool ran = false, all_ended = true;
    for (size_t k = 0; k < warps.size(); ++k) {
      Warp& warp = *warps[backwards ? warps.size() - 1 - k : k];
      if (!warp.ended() && warp.barrier < 0) {
        warp.go();
        ran = true;
      }
    }
    const Warp* waits = nullptr;
    bool any_ended = false;
    for (const auto& warp : warps) {
      all_ended = all_ended && warp->ended();
      any_ended = any_ended || warp->ended();
      waits = warp->ended() ? waits : warp.get();
    }
    if (all_ended) {
      return;
    }
    meet(warps);
    if (!ran) {
      waits->fail(*waits->waits_at, 0,
                  any_ended ? "waits for threads that have ended" : "waits for threads that wait elsewhere");
    }
  }
}

}  // namespace

void run(const Kernel& kernel, const Shape& shape, std::span<const std::byte> parameters, DeviceMemory& memory) {
  BlockState block;
  block.kernel = &kernel;
  block.shape = shape;
  block.memory = &memory;
  block.threads = shape.block[0] * shape.block[1] * shape.block[2];
  constexpr unsigned most_threads = 1024;
  const unsigned most = kernel.most_threads > 0 ? static_cast<unsigned>(kernel.most_threads) : most_threads;
  if (block.threads == 0 || block.threads > most) {
    throw Fault("kernel " + kernel.name + ": a block of " + std::to_string(block.threads) + " threads where " +
                std::to_string(most) + " are the most");
  }
  if (parameters.size() != kernel.parameter_bytes) {
    throw Fault("kernel " + kernel.name + ": " + std::to_string(parameters.size()) + " bytes of parameters for " +
                std::to_string(kernel.parameter_bytes));
  }
  block.parameters.resize(parameters.size() + 16);
  std::memcpy(block.parameters.data(), parameters.data(), parameters.size());
  block.shared.resize(shape.shared_bytes + 16);
  block.shared_written.resize(shape.shared_bytes / 4 + 1);
  std::vector<std::unique_ptr<Warp>> warps;
  for (unsigned first = 0; first < block.threads; first += warp_lanes) {
    warps.push_back(std::make_unique<Warp>(block, first / warp_lanes));
  }
  const size_t blocks = static_cast<size_t>(shape.grid[0]) * shape.grid[1] * shape.grid[2];
  for (size_t i = 0; i < blocks; ++i) {
    block.at = place_in(shape.grid, shape.last_block_first ? blocks - 1 - i : i);
    std::fill(block.shared.begin(), block.shared.end(), static_cast<unsigned char>(0xFF));  // NaN
    std::fill(block.shared_written.begin(), block.shared_written.end(), static_cast<unsigned char>(0));
    run_block(warps);
  }
}

}  // namespace evenflow::ptx
