// Which device an operation runs on.
#pragma once

#include <string>
#include <string_view>

namespace evenflow::kernels {

enum class DeviceType { cpu, cuda };

struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

/// "auto" (CUDA if a usable device is there, else CPU), "cpu" or "cuda:N". DeviceError says why a device asked for by
/// name cannot be used: built without CUDA, no driver, no such device.
Device parse_device(std::string_view text);

std::string to_string(Device device);

/// A line for a log: "CPU AMD EPYC, 2 cores, AVX2".
std::string describe(Device device);

}  // namespace evenflow::kernels
