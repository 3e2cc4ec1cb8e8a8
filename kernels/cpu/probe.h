// The CPU's side of kernels/probe.h.
#pragma once

#include <cstdint>

namespace evenflow::kernels::cpu {

int64_t cache_bytes();
double measure_sgemm();  ///< one thread

/// The instruction set that run-time dispatch chose: "AVX-512", "AVX2".
const char* instruction_set();

}  // namespace evenflow::kernels::cpu
