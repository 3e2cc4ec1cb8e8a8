// For tests: what a GPU's shared memory would make of a kernel's accesses. Its 32 banks give a word of 4 bytes each at
// a time, and a warp's lanes that want different words of one bank wait for each other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace evenflow::emulation {

/// What one place in the source asked of shared memory, by its lanes' n-th accesses between two barriers taken
/// together, as a warp's are whose lanes take the same branches.
struct SharedAccesses {
  std::string kernel, file;
  unsigned line = 0;
  bool store = false;
  int bytes = 4;           ///< that a lane has at once: 4, 8 or 16
  int64_t requests = 0;    ///< of a warp
  int64_t wavefronts = 0;  ///< the times that banks are asked: as often as the most words of one bank, for so many
                           ///< lanes at a time as have 128 bytes together
  int64_t least = 0;       ///< the same without conflicts
  int64_t uneven = 0;  ///< requests, not among the others, of warps whose lanes came here more or less often: which of
                       ///< their accesses belong together is not known
};

/// Accesses are counted from now on, or no more. Either forgets what was counted.
void count_shared_accesses(bool yes);
/// Copies that do not wait (copy_async) are not among them.
std::vector<SharedAccesses> shared_accesses();

}  // namespace evenflow::emulation
