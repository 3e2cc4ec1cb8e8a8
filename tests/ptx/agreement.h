// How far a kernel's PTX may be from the emulation.
#pragma once

#include <string>

namespace evenflow::ptx {

struct Distance;

/// DeviceError if it is farther than the kernel's bound.
void require_agreement(const std::string& kernel, const Distance& distance);

}  // namespace evenflow::ptx
