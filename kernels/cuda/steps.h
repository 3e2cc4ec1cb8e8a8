// Tasks of many flow steps in few launches: as many as fit a kernel's parameters.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "kernels/cuda/launch_limits.h"

namespace evenflow::kernels::cuda {

/// What a kernel takes besides its steps.
inline constexpr size_t other_parameter_bytes = 256;

template <class Step>
struct Steps {
  static constexpr size_t most = (most_parameter_bytes - other_parameter_bytes) / sizeof(Step);
  Step step[most];
};

/// Calls launch_some(steps, first, count) until all are launched.
template <class Step, class LaunchSome>
void launch_all(std::span<const Step> steps, const LaunchSome& launch_some) {
  for (size_t first = 0; first < steps.size(); first += Steps<Step>::most) {
    const size_t count = std::min(Steps<Step>::most, steps.size() - first);
    Steps<Step> some{};
    std::copy_n(steps.begin() + static_cast<std::ptrdiff_t>(first), count, some.step);
    launch_some(some, first, static_cast<unsigned>(count));
  }
}

}  // namespace evenflow::kernels::cuda
