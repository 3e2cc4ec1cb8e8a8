#include "kernels/cpu/choices.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#if HWY_ARCH_X86
#include <cpuid.h>
#endif

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

bool slower_with_512_bits(const Processor& processor) {
  return processor.amd && processor.family == 25;
}

std::string_view from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

[[noreturn]] void refuse(const char* variable, std::string_view value, const std::string& rest) {
  throw DeviceError(std::string(variable) + "=" + std::string(value) + ": " + rest);
}

Processor this_processor() {
  Processor processor;
  processor.targets = hwy::SupportedTargets() & HWY_TARGETS;
#if HWY_ARCH_X86
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d) != 0) {
    constexpr unsigned auth = 0x68747541;  // the first letters of AuthenticAMD
    processor.amd = b == auth;
  }
  if (__get_cpuid(1, &a, &b, &c, &d) != 0) {
    const unsigned family = (a >> 8U) & 0xFU;
    processor.family = static_cast<int>(family == 0xFU ? family + ((a >> 20U) & 0xFFU) : family);
  }
#endif
  return processor;
}

bool winograd_chosen = true;
bool left_out_avx512 = false;

}  // namespace

int64_t targets_to_leave_out(const Processor& processor, std::string_view wanted) {
  if (wanted.empty()) {
    return slower_with_512_bits(processor) ? better_than(HWY_AVX2) : 0;
  }
  const auto* target = std::find_if(known_targets.begin(), known_targets.end(),
                                    [&](const Target& known) { return known.name == wanted; });
  if (target == known_targets.end()) {
    refuse(target_variable, wanted, "takes avx512, avx2 or baseline; unset it to have evenflow choose");
  }
  if ((processor.targets & target->bit) == 0) {
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

void choose() {
  winograd_chosen = wants_winograd(from_environment(convolutions_variable));
  const Processor processor = this_processor();
  const std::string_view wanted = from_environment(target_variable);
  const int64_t left_out = targets_to_leave_out(processor, wanted) & processor.targets;
  if (left_out != 0) {
    hwy::DisableTargets(left_out);
  } else {
    hwy::GetChosenTarget().DeInit();  // asking what is supported has chosen already, regardless of what was disabled
  }
  left_out_avx512 = wanted.empty() && (left_out & HWY_AVX3) != 0;
}

bool use_winograd() {
  return winograd_chosen;
}

std::string describe_choices() {
  std::string text = instruction_set();
  if (left_out_avx512) {
    text += " (its AVX-512 is slower; EVENFLOW_CPU_TARGET=avx512 takes it)";
  }
  return winograd_chosen ? text : text + ", direct convolutions";
}

}  // namespace evenflow::kernels::cpu
