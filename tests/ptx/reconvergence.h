// Where lanes that a branch has parted meet again.
#pragma once

#include <vector>

#include "tests/ptx/kernel.h"

namespace evenflow::ptx {

/// Sets `begins_block` and, for each branch, `join`: the first instruction that all ways from the branch come through
/// (the immediate post-dominator's), or the code's size where there is none before the lanes' end.
void find_joins(std::vector<Instruction>& code);

}  // namespace evenflow::ptx
