// For tests: a GPU runs a grid's blocks in whatever order it likes.
#pragma once

namespace evenflow::emulation {

/// Kernels' blocks run from the last to the first from now on, or in order again.
void run_last_block_first(bool yes);

}  // namespace evenflow::emulation
