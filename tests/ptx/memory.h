// Loads, stores, copies and atomics: how the opcodes of memory are looked up.
#pragma once

#include <optional>
#include <string_view>

#include "tests/ptx/kernel.h"

namespace evenflow::ptx {

enum class Space : uint8_t { parameter, global, shared, local };

struct Access {
  bool load = false, constant = false;  ///< constant: ld.global.nc, of what the kernel must not have written
  Space space{};
  int elements = 1;       ///< 2 and 4: a vector
  std::string_view type;  ///< f32, u8, ...
  int element_bytes = 0;
};

/// Of ld and st; none if the opcode is not known.
std::optional<Access> find_access(std::string_view opcode);
/// For registers of so many bytes; null: they do not go together.
Handler access_handler(const Access& access, int register_bytes);

void copy_async(Warp& warp, const Instruction& instruction, uint32_t mask);
void commit_copies(Warp& warp, const Instruction& instruction, uint32_t mask);
void wait_copies(Warp& warp, const Instruction& instruction, uint32_t mask);
void increment_counter(Warp& warp, const Instruction& instruction, uint32_t mask);

}  // namespace evenflow::ptx
