// For tests: somebody else may run a launch, who sees it as a GPU would.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <vector>

namespace evenflow::emulation {

/// What a GPU is handed.
struct KernelImage {
  const void* function = nullptr;     ///< the kernel, as the host has it
  std::vector<std::byte> parameters;  ///< one after the other, each at its own alignment
};

struct KernelLaunch {
  const char* name = "";
  KernelImage image;
  std::array<unsigned, 3> grid{}, block{};
  size_t shared_bytes = 0;
  bool last_block_first = false;
};

class KernelRunner {
 public:
  KernelRunner() = default;
  virtual ~KernelRunner() = default;
  KernelRunner(const KernelRunner&) = delete;
  KernelRunner& operator=(const KernelRunner&) = delete;
  /// Device memory is open. `emulate` runs the launch as the emulation does. DeviceError ends the stream's work.
  virtual void run(const KernelLaunch& launch, const std::function<void()>& emulate) = 0;
};

/// Launches go to `runner` from now on; null: to the emulation alone.
void run_kernels_by(KernelRunner* runner);

}  // namespace evenflow::emulation
