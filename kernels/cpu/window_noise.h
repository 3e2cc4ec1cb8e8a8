// The noise of a window (gather.h), many cells at a time.
#pragma once

#include <cstdint>

namespace evenflow::kernels::cpu {

/// out[cell] += deviation times window_noise(key, cell).
void add_window_noise(uint64_t key, float deviation, float* out, int64_t cells);

}  // namespace evenflow::kernels::cpu
