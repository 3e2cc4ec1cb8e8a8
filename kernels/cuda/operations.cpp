// CUDA's table of operations, every one of the list, and what its library exports. tests/emulation builds it as well.
#include "kernels/operations.h"

#include "kernels/backend.h"
#include "kernels/cuda/runtime.h"

namespace evenflow::kernels {

namespace cuda {
static constexpr Operations operations = EVENFLOW_OPERATION_TABLE;
}

const Backend& cuda_backend() {
  static const Backend backend{&cuda::operations, &cuda::runtime()};
  return backend;
}

}  // namespace evenflow::kernels

// The library's one visible name.
extern "C" __attribute__((visibility("default"))) const evenflow::kernels::Backend* evenflow_cuda_backend() {
  return &evenflow::kernels::cuda_backend();
}
