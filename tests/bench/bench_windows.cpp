// What a training of more windows costs: time per window and memory of the real trainer over a shard that holds so
// many.
//
//   bench_windows WINDOWS resident|streamed FOLDER [--threads N] [--steps N]
//
// Writes the shard into FOLDER if it is not there yet, and a run folder that it removes. A bounded number of steps is
// timed between the trainer's own reports: gathering, prefetching and the model are what they are in any training.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/measure.h"
#include "tests/bench/noise_shard.h"
#include "train/loop/trainer.h"
#include "train/loop/training_data.h"

namespace evenflow::bench {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

io::Config configuration(bool streamed, int threads) {
  io::Config config = noise_configuration();
  config.train.device = "cpu";
  config.train.threads = threads;
  config.train.resident_mib = streamed ? 0 : 4096;
  return config;
}

struct Steps {
  std::vector<double> seconds;  // of every step between two reports
  double loss = NAN;
};

Steps train_steps(const io::Config& config, const fs::path& shard, const fs::path& run, int64_t steps) {
  Steps out;
  auto last = Clock::now();
  bool timed = false;
  train::TrainOptions options;
  options.config = config;
  options.shards = {shard};
  options.run = run;
  options.replace = true;
  options.stop_after_steps = steps + 1;  // the first warms up
  options.progress = [&](const train::TrainProgress& progress) {
    const auto now = Clock::now();
    // An epoch's end saves and validates; an epoch's last step may be a short one.
    const bool whole = !progress.epoch_end && progress.step < progress.steps_per_epoch;
    if (timed && whole) {
      out.seconds.push_back(std::chrono::duration<double>(now - last).count());
    }
    timed = true;
    out.loss = progress.loss;
    last = now;
  };
  train::train(options);
  if (out.seconds.empty() || !std::isfinite(out.loss)) {
    throw std::runtime_error("no step gave a finite loss");
  }
  std::sort(out.seconds.begin(), out.seconds.end());
  return out;
}

// Seconds in which the loader hands out a batch that lies in memory.
double next_batch_seconds(const io::Config& config, const fs::path& shard) {
  const train::TrainingData data = train::open_training_data(config, {shard});
  data.train->start_epoch(1, 0, config.train.batch, 0);
  std::vector<double> seconds;
  for (;;) {
    const auto begin = Clock::now();
    const int64_t windows = data.train->next().size();
    if (windows < config.train.batch) {
      break;
    }
    seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds.at(seconds.size() / 2);
}

int run(int argc, char** argv) {
  CLI::App app("time per window and memory of a training over so many windows");
  int64_t windows = 0, steps = 12;
  int threads = 2;
  std::string held;
  fs::path folder;
  app.add_option("windows", windows)->required()->check(CLI::PositiveNumber);
  app.add_option("held", held, "resident or streamed")->required()->check(CLI::IsMember({"resident", "streamed"}));
  app.add_option("folder", folder)->required();
  app.add_option("--threads", threads)->check(CLI::PositiveNumber);
  app.add_option("--steps", steps)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  const bool streamed = held == "streamed";
  const io::Config config = configuration(streamed, threads);
  fs::create_directories(folder);
  const fs::path shard = folder / (std::to_string(windows) + ".h5"), run_folder = folder / "run";
  if (!fs::exists(shard)) {
    write_noise_shard(shard, config, windows);
  }
  const auto begin = Clock::now();
  const Steps timed = train_steps(config, shard, run_folder, steps);
  const double whole = std::chrono::duration<double>(Clock::now() - begin).count();
  fs::remove_all(run_folder);
  const double median = timed.seconds[timed.seconds.size() / 2], batch = static_cast<double>(config.train.batch);
  double sum = 0;
  for (const double s : timed.seconds) {
    sum += s;
  }
  nlohmann::json result = {{"name", "evenflow_windows"},
                           {"what", "windows"},
                           {"threads", threads},
                           {"held", held},
                           {"windows", windows},
                           {"value", median / batch * 1e3},
                           {"unit", "ms"},
                           {"best", timed.seconds.front() / batch * 1e3},
                           {"steps", timed.seconds.size()},
                           {"around_s", whole - sum},
                           {"peak_mib", peak_mib()}};
  if (!streamed) {
    result["next_batch_us"] = next_batch_seconds(config, shard) * 1e6;
  }
  print_result(result);
  return 0;
}

}  // namespace
}  // namespace evenflow::bench

int main(int argc, char** argv) {
  return evenflow::bench::guarded("bench_windows", evenflow::bench::run, argc, argv);
}
