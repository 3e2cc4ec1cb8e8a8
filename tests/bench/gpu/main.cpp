// evenflow on a GPU, beside what its memory can do: steps, element-wise operations, log-mel, a whole training.
//
//   bench_gpu step|elementwise|logmel|run --golden tests/golden [options]
#include "tests/bench/gpu/bench_gpu.h"
#include "tests/bench/measure.h"

int main(int argc, char** argv) {
  return evenflow::bench::guarded("bench_gpu", evenflow::bench::run_gpu_bench, argc, argv);
}
