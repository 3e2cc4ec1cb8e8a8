// Tasks of many flow steps in few launches: as many as fit a kernel's parameters.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

namespace evenflow::kernels::cuda {

/// Of the 4 KB that every GPU and driver takes.
inline constexpr size_t parameter_bytes = 3840;

template <class Step>
struct Steps {
  static constexpr size_t most = parameter_bytes / sizeof(Step);
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
