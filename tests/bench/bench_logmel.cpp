// evenflow's log-mel of a 10 s clip, one thread, from samples in memory: milliseconds.
//
//   bench_logmel GOLDEN.h5 [SECONDS]
//
// GOLDEN.h5 is tests/golden/logmel/logmel.h5; its recording must come out within 1e-3 dB before anything is timed.
#include <cmath>
#include <cstdint>
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/logmel.h"
#include "tests/bench/measure.h"
#include "tests/support/golden_file.h"
#include "train/statistics/random.h"

namespace evenflow::bench {
namespace {

double verify(const tests::GoldenFile& golden, const kernels::LogMelPlan& plan) {
  const std::vector<double> stored = golden.read("recording/samples").values;
  const std::vector<double> expected = golden.read("recording/reflect").values;
  std::vector<float> samples;
  for (const double s : stored) {
    samples.push_back(static_cast<float>(s / 32768.0));
  }
  const auto count = static_cast<int64_t>(samples.size());
  std::vector<float> out(static_cast<size_t>(plan.frames(count) * plan.settings().mel_bands));
  if (out.size() != expected.size()) {
    throw std::runtime_error("the golden log-mel has another shape");
  }
  plan.run(samples.data(), count, out.data());
  double error = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const double here = std::abs(static_cast<double>(out[i]) - expected[i]);
    if (!(here <= error)) {
      error = here;
    }
  }
  if (!(error <= 1e-3)) {
    throw std::runtime_error("log-mel is off by " + std::to_string(error) + " dB: not timed");
  }
  return error;
}

// Noise and a rising tone, as the references have it.
std::vector<float> clip(int64_t rate, int64_t seconds) {
  std::vector<float> samples(static_cast<size_t>(rate * seconds));
  for (size_t i = 0; i < samples.size(); ++i) {
    const double t = static_cast<double>(i) / static_cast<double>(rate);
    samples[i] = static_cast<float>(0.1 * train::random_normal(1, 0, i) +
                                    0.3 * std::sin(2 * std::numbers::pi * (200 + 300 * t) * t));
  }
  return samples;
}

int run(int argc, char** argv) {
  if (argc < 2) {
    throw std::runtime_error("usage: bench_logmel GOLDEN.h5 [SECONDS]");
  }
  const double seconds = argc > 2 ? std::stod(argv[2]) : 0.3;
  const kernels::LogMelPlan plan({});
  const double error = verify(tests::GoldenFile(argv[1]), plan);
  constexpr int64_t clip_s = 10;
  const std::vector<float> samples = clip(plan.settings().sample_rate_hz, clip_s);
  const auto count = static_cast<int64_t>(samples.size());
  std::vector<float> out(static_cast<size_t>(plan.frames(count) * plan.settings().mel_bands));
  const Timing timing = best_of(seconds, 30, [&] { plan.run(samples.data(), count, out.data()); });
  print_result({{"name", "evenflow_logmel"},
                {"what", "logmel"},
                {"threads", 1},
                {"clip_s", clip_s},
                {"verified_db", error},
                {"value", timing.best * 1e3},
                {"unit", "ms"},
                {"median", timing.median * 1e3},
                {"repeat", timing.repetitions}});
  return 0;
}

}  // namespace
}  // namespace evenflow::bench

int main(int argc, char** argv) {
  return evenflow::bench::guarded("bench_logmel", evenflow::bench::run, argc, argv);
}
