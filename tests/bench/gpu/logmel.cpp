// Log-mel of many clips at once, their samples on the device: microseconds per clip.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/copy.h"
#include "kernels/logmel.h"
#include "tests/bench/gpu/bench_gpu.h"
#include "tests/bench/measure.h"
#include "tests/support/golden_file.h"
#include "train/statistics/random.h"

namespace evenflow::bench {
namespace {

// A float32 transform cannot see what lies this far below the frame's loudest band.
constexpr double seen_db = 100, bound_db = 1e-2;

std::vector<float> run_on_device(kernels::Stream& stream, const kernels::LogMelPlan& plan,
                                 const kernels::LogMelLayout& layout, const std::vector<float>& samples) {
  const kernels::Device device = stream.device();
  const kernels::Buffer<float> in(layout.samples, device);
  const kernels::Buffer<kernels::LogMelClip> clips(static_cast<int64_t>(layout.clips.size()), device);
  const kernels::Buffer<float> out(layout.frames * plan.settings().mel_bands, device);
  kernels::upload<float>(stream, samples, in.slice(0, static_cast<int64_t>(samples.size())));
  kernels::upload<kernels::LogMelClip>(stream, layout.clips, clips.view());
  kernels::logmel(stream, plan.task(in.view(), clips.view(), out.view()));
  return kernels::to_host(stream, out.view());
}

// Largest error in dB among the bands within seen_db of their frame's loudest.
double error_on_golden(const GpuBench& bench, kernels::Stream& stream, const kernels::LogMelPlan& plan) {
  const tests::GoldenFile golden(bench.golden / "logmel" / "logmel.h5");
  const std::vector<double> stored = golden.read("recording/samples").values;
  const std::vector<double> expected = golden.read("recording/reflect").values;
  std::vector<float> samples;
  samples.reserve(stored.size());
  for (const double s : stored) {
    samples.push_back(static_cast<float>(s / 32768.0));
  }
  const std::vector<int64_t> lengths = {static_cast<int64_t>(samples.size())};
  const kernels::LogMelLayout layout = kernels::lay_out_clips(plan.settings(), lengths);
  const std::vector<float> got = run_on_device(stream, plan, layout, samples);
  if (got.size() != expected.size()) {
    return INFINITY;
  }
  const auto bands = static_cast<size_t>(plan.settings().mel_bands);
  double error = 0;
  for (size_t frame = 0; frame < expected.size(); frame += bands) {
    const double loudest = *std::max_element(expected.begin() + static_cast<int64_t>(frame),
                                             expected.begin() + static_cast<int64_t>(frame + bands));
    for (size_t i = frame; i < frame + bands; ++i) {
      if (expected[i] < loudest - seen_db) {
        continue;
      }
      const double here = std::abs(static_cast<double>(got[i]) - expected[i]);
      if (!(here <= error)) {
        error = here;
      }
    }
  }
  return error;
}

void time_path(const GpuBench& bench, const char* name, kernels::LogMelPath path) {
  kernels::Stream stream(bench.device);
  const kernels::LogMelPlan plan({}, bench.device, path);
  const double error = error_on_golden(bench, stream, plan);
  const int64_t length = bench.clip_s * plan.settings().sample_rate_hz;
  const std::vector<int64_t> lengths(static_cast<size_t>(bench.clips), length);
  const kernels::LogMelLayout layout = kernels::lay_out_clips(plan.settings(), lengths);
  const kernels::Buffer<float> samples(layout.samples, bench.device);
  const kernels::Buffer<kernels::LogMelClip> clips(bench.clips, bench.device);
  const kernels::Buffer<float> out(layout.frames * plan.settings().mel_bands, bench.device);
  {
    std::vector<float> noise(static_cast<size_t>(layout.samples));
    // One clip of noise for all: what it holds does not change the work.
    for (size_t i = 0; i < noise.size(); ++i) {
      const auto period = static_cast<size_t>(length);
      noise[i] = i < period ? static_cast<float>(0.1 * train::random_normal(1, 0, i)) : noise[i - period];
    }
    kernels::upload<float>(stream, noise, samples.view());
    kernels::upload<kernels::LogMelClip>(stream, layout.clips, clips.view());
  }
  const std::vector<double> seconds = device_seconds(
      stream, bench.rounds, [&] { kernels::logmel(stream, plan.task(samples.view(), clips.view(), out.view())); });
  const double median = median_of(seconds), count = static_cast<double>(bench.clips);
  const double bytes = static_cast<double>(samples.size() + out.size()) * sizeof(float);
  print_result({{"name", std::string("logmel_") + name},
                {"what", "logmel"},
                {"value", median / count * 1e6},
                {"unit", "us"},
                {"best", *std::min_element(seconds.begin(), seconds.end()) / count * 1e6},
                {"clips", bench.clips},
                {"clip_s", bench.clip_s},
                {"gb_s", bytes / median * 1e-9},
                {"verified_db", error},
                {"ok", error <= bound_db}});
}

}  // namespace

void bench_logmel(const GpuBench& bench) {
  time_path(bench, "fused", kernels::LogMelPath::fused);
  time_path(bench, "layered", kernels::LogMelPath::layered);
}

}  // namespace evenflow::bench
