// What is chosen for a processor before its first kernel, and what the environment may choose instead.
//
//   EVENFLOW_CPU_TARGET     avx512, avx2 or baseline: the newest instruction set that kernels may use
//   EVENFLOW_CONVOLUTIONS   winograd or direct: how 3x3 convolutions are computed where both can (winograd.h)
//
// Each choice depends on the processor, the shapes and these two alone, never on a measurement while running: a machine
// always gives the same bits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace evenflow::kernels::cpu {

struct Processor {
  bool amd = false;
  int family = 0;       ///< as /proc/cpuinfo says it
  int64_t targets = 0;  ///< Highway's bits of what it supports and kernels are compiled for
};

/// The targets to leave out: Highway's bits. `wanted`: EVENFLOW_CPU_TARGET's value, or empty. AVX-512 is left out by
/// itself on AMD's family 25 (Zen 4), whose 512-bit operations take two cycles: 0.83 to 0.87 times AVX2's speed in
/// training. Other families keep it: not measured. DeviceError: not a known name, or not of this processor.
int64_t targets_to_leave_out(const Processor& processor, std::string_view wanted);

/// EVENFLOW_CONVOLUTIONS's value, or empty (Winograd's). DeviceError: not a known name.
bool wants_winograd(std::string_view convolutions);

/// Reads the environment and makes the choices. Once, before the first kernel. DeviceError as above.
void choose();

/// What was chosen.
bool use_winograd();
/// For people: "AVX2", why not AVX-512 where the processor has it, and what the environment changed.
std::string describe_choices();

}  // namespace evenflow::kernels::cpu
