// Every operation of the CPU backend alone, at the paper's shapes: FLOP/s or bytes/s, by Google Benchmark.
//
//   bench_kernels [--benchmark_filter=REGEX] [--benchmark_format=json] ...        bench_kernels --help
//
// Each operation's result is compared with float64 (log-mel: with librosa's) right before it is timed; a wrong one is
// an error. Instruction set and convolutions by hand: kernels/cpu/choices.h.
#include "tests/bench/kernels_bench.h"
#include "tests/bench/measure.h"
#include "tests/bench/paper_model.h"

namespace evenflow::bench {
namespace {

int run(int argc, char** argv) {
  register_coupling();
  register_maps();
  register_optimizer();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::AddCustomContext("device", kernels::describe({}));
  benchmark::RunSpecifiedBenchmarks();
  return wrong() ? 1 : 0;
}

}  // namespace
}  // namespace evenflow::bench

int main(int argc, char** argv) {
  return evenflow::bench::guarded("bench_kernels", evenflow::bench::run, argc, argv);
}
