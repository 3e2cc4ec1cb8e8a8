// What each opcode does to a warp's registers: the table that the decoder looks opcodes up in.
#pragma once

#include <string_view>
#include <vector>

#include "tests/ptx/kernel.h"

namespace evenflow::ptx {

/// Of an operand: how wide a register is, and how an immediate value is written.
enum class Kind : uint8_t { predicate, b16, b32, b64, f32, f64 };

/// Of a register's lane.
constexpr int bytes_of(Kind kind) {
  return kind == Kind::b16 ? 2 : kind == Kind::b64 || kind == Kind::f64 ? 8 : 4;
}

struct Form {
  Handler run = nullptr;
  std::vector<Kind> operands;  ///< results first
  Flow flow = Flow::next;
};

/// Null: nobody wrote one. What reads and writes memory is in memory.h.
const Form* find_form(std::string_view opcode);

}  // namespace evenflow::ptx
