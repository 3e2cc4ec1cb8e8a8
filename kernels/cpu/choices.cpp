#include "kernels/cpu/choices.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "kernels/check.h"
#include "kernels/cpu/probe.h"

namespace evenflow::kernels::cpu {
namespace {

constexpr const char* target_variable = "EVENFLOW_CPU_TARGET";
constexpr const char* convolutions_variable = "EVENFLOW_CONVOLUTIONS";

struct Target {
  std::string_view name;
  int64_t bit;
};
constexpr std::array<Target, 3> known_targets = {
    {{"avx512", HWY_AVX3}, {"avx2", HWY_AVX2}, {"baseline", HWY_STATIC_TARGET}}};

// A better target has a lower bit.
constexpr int64_t better_than(int64_t target) {
  return target - 1;
}

std::string_view from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

[[noreturn]] void refuse(const char* variable, std::string_view value, const std::string& rest) {
  throw DeviceError(std::string(variable) + "=" + std::string(value) + ": " + rest);
}

bool winograd_chosen = true;

}  // namespace

int64_t targets_to_leave_out(int64_t supported, std::string_view wanted) {
  if (wanted.empty()) {
    return 0;
  }
  const auto* target = std::find_if(known_targets.begin(), known_targets.end(),
                                    [&](const Target& known) { return known.name == wanted; });
  if (target == known_targets.end()) {
    refuse(target_variable, wanted, "takes avx512, avx2 or baseline; unset it to have evenflow choose");
  }
  if ((supported & target->bit) == 0) {
    refuse(target_variable, wanted, "this processor has none; unset it, or take baseline");
  }
  return better_than(target->bit);
}

bool wants_winograd(std::string_view convolutions) {
  if (convolutions.empty() || convolutions == "winograd") {
    return true;
  }
  if (convolutions != "direct") {
    refuse(convolutions_variable, convolutions, "takes winograd or direct; unset it to have evenflow choose");
  }
  return false;
}

int64_t available_targets() {
  return (hwy::SupportedTargets() & HWY_TARGETS) | HWY_STATIC_TARGET;
}

void choose() {
  winograd_chosen = wants_winograd(from_environment(convolutions_variable));
  const int64_t supported = available_targets();
  const int64_t left_out = targets_to_leave_out(supported, from_environment(target_variable)) & supported;
  if (left_out != 0) {
    hwy::DisableTargets(left_out);
  } else {
    hwy::GetChosenTarget().DeInit();  // asking what is supported has chosen already, regardless of what was disabled
  }
}

bool use_winograd() {
  return winograd_chosen;
}

std::string describe_choices() {
  const std::string text = instruction_set();
  return winograd_chosen ? text : text + ", direct convolutions";
}

}  // namespace evenflow::kernels::cpu
