// What a profiler learns of each kernel that a device is given.
#pragma once

#include <cstdint>

namespace evenflow::kernels {

struct KernelLaunch {
  const char* name = nullptr;
  int64_t blocks = 0, threads_per_block = 0, shared_bytes = 0;  ///< static and dynamic
  int64_t registers = 0, local_bytes = 0;                       ///< per thread
  double occupancy = 0;                                         ///< resident warps of a multiprocessor over its most
};

class LaunchListener {
 public:
  virtual ~LaunchListener() = default;
  virtual void launched(const KernelLaunch& launch) = 0;
};

}  // namespace evenflow::kernels
