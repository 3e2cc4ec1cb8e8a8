// The parts of bench_gpu: each prints JSON rows (tests/bench/measure.h), a wrong result as a row that says so.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "flow/glow.h"
#include "kernels/stream.h"
#include "tests/support/golden_file.h"

namespace evenflow::bench {

struct GpuBench {
  kernels::Device device{};
  std::filesystem::path golden;         ///< tests/golden
  std::string model = "paper";          ///< the golden case whose model is timed; a small one tries the program
  std::string kernels = "layered";      ///< layered, fused
  std::string precision = "tf32";       ///< float32, tf32, bf16
  int64_t batch = 128, windows = 3360;  ///< windows of a step; windows resident
  int64_t rounds = 7, steps = 50;       ///< timed rounds of so many steps
  int64_t maps = 8192;                  ///< samples of the element-wise operations' maps, 128 KiB each
  int64_t clips = 1000, clip_s = 10;
  int64_t epochs = 1000, cpu_epochs = 2;
  double seconds = 120;          ///< after which the long run stops
  std::filesystem::path folder;  ///< for the long run's files
};

/// The model of the golden case, computed as `bench` says.
flow::GlowShape shape_of(const tests::GoldenFile& golden, const GpuBench& bench);
inline std::filesystem::path model_case(const GpuBench& bench) {
  return bench.golden / "conformance" / (bench.model + ".h5");
}

void bench_step(const GpuBench& bench);
void bench_elementwise(const GpuBench& bench);
void bench_logmel(const GpuBench& bench);
void bench_run(const GpuBench& bench);

/// Seconds of each of `rounds` runs of `work`, in order, by the device's own clock, after one that is not counted.
std::vector<double> device_seconds(kernels::Stream& stream, int64_t rounds, const std::function<void()>& work);
double median_of(std::vector<double> values);

/// main() of the program and of its twin on the emulated GPU.
int run_gpu_bench(int argc, char** argv);

}  // namespace evenflow::bench
