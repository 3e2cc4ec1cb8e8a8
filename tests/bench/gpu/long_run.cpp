// A training from shard to run folder by the real trainer: how long it takes, and where its loss stands beside the
// CPU's after the same epochs.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "tests/bench/gpu/bench_gpu.h"
#include "tests/bench/measure.h"
#include "tests/bench/noise_shard.h"
#include "train/loop/trainer.h"

namespace evenflow::bench {
namespace {

namespace fs = std::filesystem;

struct LongRun {
  std::vector<double> loss;  // of every epoch that was finished
  double seconds = 0, windows_per_second = 0;
};

LongRun train_epochs(io::Config config, const GpuBench& bench, const std::string& device, int64_t epochs,
                     double seconds) {
  using Clock = std::chrono::steady_clock;
  config.train.device = device;
  config.train.epochs = epochs;
  config.train.schedule =
      io::Schedule::constant;  // so that both devices take the same steps, however many epochs each makes
  const auto begin = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  LongRun run;
  std::atomic<bool> stop = false;
  train::TrainOptions options;
  options.config = config;
  options.shards = {bench.folder / "noise.h5"};
  options.run = bench.folder / ("run_" + device.substr(0, device.find(':')));
  options.replace = true;
  options.stop = &stop;
  options.progress = [&](const train::TrainProgress& progress) {
    if (!progress.epoch_end) {
      return;
    }
    run.loss.push_back(progress.loss);
    if (elapsed() > seconds) {
      stop = true;
    }
  };
  const train::TrainResult result = train::train(options);
  run.seconds = elapsed();
  run.windows_per_second = result.windows_per_second;
  fs::remove_all(options.run);
  if (run.loss.empty() || !std::isfinite(run.loss.back())) {
    throw std::runtime_error("no epoch gave a finite loss");
  }
  return run;
}

}  // namespace

void bench_run(const GpuBench& bench) {
  fs::create_directories(bench.folder);
  io::Config config = noise_configuration();
  const flow::GlowShape shape = shape_of(tests::GoldenFile(model_case(bench)), bench);
  config.model.blocks = shape.blocks;
  config.model.steps = shape.steps;
  config.model.hidden = shape.hidden;
  config.frontend.mel_bands = static_cast<int>(shape.height);
  config.window.window_frames = static_cast<int>(shape.width);
  config.train.precision = io::value_of<io::Precision>(bench.precision).value();
  config.train.kernels = io::value_of<io::CouplingKernels>(bench.kernels).value();
  config.train.batch = bench.batch;
  write_noise_shard(bench.folder / "noise.h5", config, bench.windows);
  const LongRun device = train_epochs(config, bench, kernels::to_string(bench.device), bench.epochs, bench.seconds);
  const LongRun cpu = train_epochs(config, bench, "cpu", bench.cpu_epochs, bench.seconds);
  fs::remove(bench.folder / "noise.h5");
  const size_t both = std::min(device.loss.size(), cpu.loss.size());
  const double done = static_cast<double>(device.loss.size());
  // Rounding alone sets two trainings apart; a wrong gradient does so at once.
  constexpr double bound = 1e-2;
  print_result({{"name", "long_run_" + bench.kernels + "_" + bench.precision},
                {"what", "run"},
                {"value", device.seconds},
                {"unit", "s"},
                {"epochs", device.loss.size()},
                {"epochs_wanted", bench.epochs},
                {"seconds_of_1000_epochs", device.seconds / done * 1000},
                {"windows", bench.windows},
                {"windows_per_second", device.windows_per_second},
                {"first_loss", device.loss.front()},
                {"final_loss", device.loss.back()},
                {"epochs_compared", both},
                {"loss_then", device.loss[both - 1]},
                {"cpu_loss_then", cpu.loss[both - 1]},
                {"cpu_seconds", cpu.seconds},
                {"cpu_windows_per_second", cpu.windows_per_second},
                {"ok", std::abs(device.loss[both - 1] - cpu.loss[both - 1]) <= bound * std::abs(cpu.loss[both - 1])}});
}

}  // namespace evenflow::bench
