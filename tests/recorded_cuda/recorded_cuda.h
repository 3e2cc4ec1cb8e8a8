// What the tests see of the two recorded GPUs: cuda:0 with 227 KB of shared memory a block, cuda:1 with 99.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace evenflow::recorded {

struct Gpu {
  int major = 9, minor = 0;
  size_t shared_bytes_per_block = 0;
  bool has_context = false;     ///< something was done on it
  int64_t allocated_bytes = 0;  ///< and not freed
};

struct Launched {
  int device = 0;
  size_t shared_bytes = 0;
};

struct Machine {
  std::vector<Gpu> gpus;
  int driver = 13000, runtime = 13000;
  /// What the library holds: machine code for these, and PTX of the last.
  std::vector<int> architectures{80, 90};
  std::vector<Launched> launches;
};
Machine& machine();

/// The calling thread's, as CUDA starts it.
void forget_device();

/// The backend: the real runtime.cu over this, and the CPU's operations.
const kernels::Backend& backend();

}  // namespace evenflow::recorded
