// The backends themselves: the CPU's, always there, and CUDA's, a library that is loaded when a device of it is wanted.
#pragma once

#include "kernels/operations.h"
#include "kernels/runtime.h"

namespace evenflow::kernels {

struct Backend {
  const Operations* operations = nullptr;
  Runtime* runtime = nullptr;
};

const Backend& cpu_backend();

/// Defined in CUDA's library and in the tests' emulation of it alone.
const Backend& cuda_backend();

/// Takes the place of the library for every CUDA device from now on; null: the library again. For tests.
void use_cuda_backend(const Backend* backend);

/// What the library exports: extern "C" const Backend* evenflow_cuda_backend().
inline constexpr const char* cuda_library_name = "libevenflow_cuda.so";
inline constexpr const char* cuda_library_entry = "evenflow_cuda_backend";

/// DeviceError unless the library's operations are those of this program.
void require_same_operations(const Backend& library);

}  // namespace evenflow::kernels
