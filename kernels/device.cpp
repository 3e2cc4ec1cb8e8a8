#include "kernels/device.h"

#include <charconv>

#include "kernels/check.h"
#include "kernels/runtime.h"

namespace evenflow::kernels {

Device parse_device(std::string_view text) {
  if (text == "cpu") {
    return {};
  }
  if (text == "auto") {
    try {
      const Device first{DeviceType::cuda, 0};
      runtime_of(first).require_usable(first);
      return first;
    } catch (const DeviceError&) {
      return {};
    }
  }
  constexpr std::string_view prefix = "cuda";
  if (text.starts_with(prefix)) {
    Device device{DeviceType::cuda, 0};
    std::string_view rest = text.substr(prefix.size());
    bool ok = rest.empty();
    if (rest.starts_with(':')) {
      const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), device.index);
      ok = error == std::errc{} && end == rest.data() + rest.size() && device.index >= 0;
    }
    if (ok) {
      runtime_of(device).require_usable(device);
      return device;
    }
  }
  throw DeviceError("unknown device '" + std::string(text) + "'; use auto, cpu or cuda:N (N counts from 0)");
}

std::string to_string(Device device) {
  return device.type == DeviceType::cpu ? "cpu" : "cuda:" + std::to_string(device.index);
}

std::string describe(Device device) {
  return runtime_of(device).describe(device);
}

}  // namespace evenflow::kernels
