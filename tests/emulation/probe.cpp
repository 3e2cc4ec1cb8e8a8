// kernels/cuda/probe.h without cuBLAS and Nsight: nothing to measure, nobody to tell.
#include "kernels/cuda/probe.h"

namespace evenflow::kernels::cuda {

double measure_gemm(Stream&, Precision) {
  return 0;
}

Tracer* range_marker() {
  return nullptr;
}

}  // namespace evenflow::kernels::cuda
