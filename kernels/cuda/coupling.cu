// Which kernels compute a coupling.
#include "kernels/check.h"
#include "kernels/cuda/ops.h"

namespace evenflow::kernels::cuda {

const CouplingKernels& coupling_kernels(const CouplingShape& shape) {
  if (shape.path == CouplingPath::layered) return layered_coupling();
  const std::string reason = why_not_fused(shape);
  if (reason.empty()) return fused_coupling();
  if (shape.path == CouplingPath::fused) {
    throw ShapeError("the fused coupling kernels cannot be used: " + reason + "; use train.kernels = \"layered\"");
  }
  return layered_coupling();
}

}  // namespace evenflow::kernels::cuda
