#include "tests/bench/gpu/bench_gpu.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <stdexcept>

#include "kernels/device.h"
#include "kernels/event.h"

namespace evenflow::bench {

std::vector<double> device_seconds(kernels::Stream& stream, int64_t rounds, const std::function<void()>& work) {
  kernels::Event begin(stream.device()), end(stream.device());
  std::vector<double> seconds;
  for (int64_t i = -1; i < rounds; ++i) {
    begin.record(stream);
    work();
    end.record(stream);
    stream.synchronise();
    if (i >= 0) {
      seconds.push_back(end.seconds_since(begin));
    }
  }
  return seconds;
}

double median_of(std::vector<double> values) {
  if (values.empty()) {
    throw std::runtime_error("nothing was timed");
  }
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int run_gpu_bench(int argc, char** argv) {
  const std::map<std::string, std::function<void(const GpuBench&)>> parts = {
      {"step", bench_step}, {"elementwise", bench_elementwise}, {"logmel", bench_logmel}, {"run", bench_run}};
  GpuBench bench;
  std::string part, device = "cuda:0";
  CLI::App app("what a GPU does in how long, results verified first");
  app.add_option("part", part, "step, elementwise, logmel or run")->required()->check(CLI::IsMember(parts));
  app.add_option("--device", device, "cuda:N; cpu tries the program where there is no GPU");
  app.add_option("--golden", bench.golden, "tests/golden")->required()->check(CLI::ExistingDirectory);
  app.add_option("--kernels", bench.kernels)->check(CLI::IsMember({"layered", "fused"}));
  app.add_option("--precision", bench.precision)->check(CLI::IsMember({"float32", "tf32", "bf16"}));
  app.add_option("--batch", bench.batch, "windows of a step")->check(CLI::PositiveNumber);
  app.add_option("--windows", bench.windows, "windows resident")->check(CLI::PositiveNumber);
  app.add_option("--rounds", bench.rounds, "timed rounds")->check(CLI::PositiveNumber);
  app.add_option("--steps", bench.steps, "steps in a round")->check(CLI::PositiveNumber);
  app.add_option("--model", bench.model, "a golden case: paper; small_plu tries the program")->capture_default_str();
  app.add_option("--maps", bench.maps, "samples of the element-wise maps")->check(CLI::PositiveNumber);
  app.add_option("--clips", bench.clips)->check(CLI::PositiveNumber);
  app.add_option("--clip-s", bench.clip_s)->check(CLI::PositiveNumber);
  app.add_option("--epochs", bench.epochs)->check(CLI::PositiveNumber);
  app.add_option("--cpu-epochs", bench.cpu_epochs)->check(CLI::PositiveNumber);
  app.add_option("--seconds", bench.seconds, "the long run stops after these")->check(CLI::PositiveNumber);
  app.add_option("--folder", bench.folder, "for the long run's files");
  CLI11_PARSE(app, argc, argv);
  bench.device = kernels::parse_device(device);
  parts.at(part)(bench);
  return 0;
}

}  // namespace evenflow::bench
