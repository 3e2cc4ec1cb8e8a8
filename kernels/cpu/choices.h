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

/// The targets that kernels are compiled for and this processor has, as Highway's bits; the static one among them.
int64_t available_targets();

/// The targets to leave out, as Highway's bits; of an empty `wanted` (EVENFLOW_CPU_TARGET's value) none: the newest
/// instruction set is the fastest where that was measured (docs/performance.md). `supported`: those available.
/// DeviceError: not a known name, or not of this processor.
int64_t targets_to_leave_out(int64_t supported, std::string_view wanted);

/// EVENFLOW_CONVOLUTIONS's value, or empty (Winograd's). DeviceError: not a known name.
bool wants_winograd(std::string_view convolutions);

/// Reads the environment and makes the choices. Once, before the first kernel. DeviceError as above.
void choose();

/// What was chosen.
bool use_winograd();
/// For people: "AVX2", and what the environment changed.
std::string describe_choices();

}  // namespace evenflow::kernels::cpu
