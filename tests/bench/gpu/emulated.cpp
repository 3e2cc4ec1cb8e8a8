// bench_gpu on the emulated GPU: that its parts run and find their results right, on a machine without one.
#include "kernels/backend.h"
#include "tests/bench/gpu/bench_gpu.h"
#include "tests/bench/measure.h"

int main(int argc, char** argv) {
  evenflow::kernels::use_cuda_backend(&evenflow::kernels::cuda_backend());
  return evenflow::bench::guarded("bench_gpu_emulated", evenflow::bench::run_gpu_bench, argc, argv);
}
