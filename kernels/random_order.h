// A random permutation that (seed, stream) alone decide, the same on every device.
#pragma once

#include <cstdint>

#include "kernels/cost.h"
#include "kernels/random.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// order = 0 .. n-1 sorted by random_bits(seed, order_stream, i), ties by index: exactly the same permutation
/// everywhere. ShapeError.
struct RandomOrder {
  uint64_t seed = 0, order_stream = 0;
  Array<int64_t> order;            ///< [n]
  Array<unsigned char> workspace;  ///< random_order_workspace_bytes or longer
};
void random_order(Stream& stream, const RandomOrder& task);
Cost cost(const RandomOrder& task);

int64_t random_order_workspace_bytes(Device device, int64_t n);

/// What is asked of a backend: bytes of the workspace.
struct RandomOrderBuffers {
  int64_t n = 0;
};

}  // namespace evenflow::kernels
