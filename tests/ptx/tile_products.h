// The tensor cores' tile products.
#pragma once

#include "tests/ptx/kernel.h"

namespace evenflow::ptx {

/// d = a b + c of a warp: a [16, 8] and b [8, 8] in tf32, of which the bits below are dropped.
void multiply_tiles_tf32(Warp& warp, const Instruction& instruction, uint32_t mask);
/// a [16, 16] and b [16, 8] in bf16, two to a register.
void multiply_tiles_bf16(Warp& warp, const Instruction& instruction, uint32_t mask);

}  // namespace evenflow::ptx
