// What a batch pays once (the optimiser's arithmetic over the arena), gathering a window, and log-mel.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "flow/glow.h"
#include "kernels/adam.h"
#include "kernels/gather.h"
#include "kernels/logmel.h"
#include "kernels/reduce.h"
#include "tests/bench/coupling_case.h"
#include "tests/bench/kernels_bench.h"
#include "tests/support/golden_file.h"

namespace evenflow::bench {
namespace {

constexpr int64_t rows = 32;  // of gradients: the workers' chunks

struct ArenaCase {
  explicit ArenaCase(int64_t floats)
      : gradient64(dyadic(floats, 64, 1024, 21)),
        parameter64(dyadic(floats, 64, 1024, 22)),
        gradient(narrowed(gradient64)),
        parameter(narrowed(parameter64)),
        m(floats),
        v(floats),
        many(rows * floats),
        sum(floats) {
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(gradient.data(), floats, many.data() + r * floats);
    }
  }
  void adam() {
    kernels::adam_update(stream, {.settings = settings,
                                  .gradient = gradient.view(),
                                  .parameter = parameter.view(),
                                  .m = m.view(),
                                  .v = v.view()});
  }
  void sum_rows() {
    kernels::sum_rows(stream, {.in = many.view(), .rows = rows, .row_stride = sum.size(), .out = sum.view()});
  }
  void squared_norm() { kernels::squared_norm(stream, {.x = gradient.view(), .out = norm.view()}); }
  void verify() {
    reference::Vector m64(gradient64.size()), v64(gradient64.size());
    reference::adam_update({}, 1, gradient64, parameter64, m64, v64);
    adam();
    require_close(parameter, parameter64, 1e-5, "adam_update's parameters");
    require_close(m, m64, 1e-5, "adam_update's m");
    require_close(v, v64, 1e-5, "adam_update's v");
    sum_rows();
    std::vector<double> sums = gradient64;
    for (double& value : sums) {
      value *= static_cast<double>(rows);
    }
    require_close(sum, sums, 1e-6, "sum_rows");
    squared_norm();
    require_close(std::vector<double>{norm[0]}, {reference::squared_norm(gradient64)}, 1e-6, "squared_norm");
  }
  std::vector<double> gradient64, parameter64;
  kernels::Buffer<float> gradient, parameter, m, v, many, sum;
  kernels::Buffer<double> norm{1};
  kernels::AdamSettings settings;
  kernels::Stream stream;
};

struct GatherCase {
  static constexpr int64_t total = 313, bands = 128, width = 64;  // frames of a 10 s clip
  GatherCase()
      : frames64(dyadic(total * bands, 64, 2, 23)),
        mean64(dyadic(bands, 64, 2, 24)),
        inverse_std64(static_cast<size_t>(bands), 0.125),
        frames(narrowed(frames64)),
        mean(narrowed(mean64)),
        inverse_std(narrowed(inverse_std64)),
        start(1),
        x(bands * width) {
    start[0] = 100;
  }
  void gather() {
    kernels::gather_windows(stream, {.frames = frames.view(),
                                     .start = start.view(),
                                     .mean = mean.view(),
                                     .inverse_std = inverse_std.view(),
                                     .x = kernels::make_map(x.data(), 1, 1, bands, width)});
  }
  void verify() {
    gather();
    require_close(x, reference::gather_windows(frames64, {100}, mean64, inverse_std64, width).values, 1e-6,
                  "gather_windows");
  }
  std::vector<double> frames64, mean64, inverse_std64;
  kernels::Buffer<float> frames, mean, inverse_std;
  kernels::Buffer<int64_t> start;
  kernels::Buffer<float> x;
  kernels::Stream stream;
};

struct LogMelCase {
  LogMelCase() : plan({}), samples(160000), out(size(160000)) {
    const std::vector<double> noise = dyadic(160000, 1024, 4096, 25);
    std::transform(noise.begin(), noise.end(), samples.begin(), [](double s) { return static_cast<float>(s); });
  }
  size_t size(int64_t count) const { return static_cast<size_t>(plan.frames(count) * plan.settings().mel_bands); }
  void run() { plan.run(samples.data(), static_cast<int64_t>(samples.size()), out.data()); }
  void verify() {
    const tests::GoldenFile golden(EVENFLOW_GOLDEN_DIR "/logmel/logmel.h5");
    std::vector<float> recording;
    for (const double s : golden.read("recording/samples").values) {
      recording.push_back(static_cast<float>(s / 32768.0));
    }
    const auto count = static_cast<int64_t>(recording.size());
    const std::vector<double> expected = golden.read("recording/reflect").values;
    std::vector<float> actual(size(count));
    plan.run(recording.data(), count, actual.data());
    for (size_t i = 0; i < expected.size(); ++i) {
      if (!(std::abs(static_cast<double>(actual.at(i)) - expected[i]) <= 1e-3)) {
        throw std::runtime_error("log-mel is off by more than 1e-3 dB: not timed");
      }
    }
  }
  kernels::LogMelPlan plan;
  std::vector<float> samples, out;
};

}  // namespace

void register_optimizer() {
  const int64_t floats = flow::Glow({}, 1).layout().size();  // the paper's model
  const double arena = static_cast<double>(floats) * sizeof(float);
  register_timed<ArenaCase>(
      "adam_update", 0, 7 * arena, [](ArenaCase& a) { a.adam(); }, floats);
  register_timed<ArenaCase>(
      "sum_rows/32", 0, (rows + 1) * arena, [](ArenaCase& a) { a.sum_rows(); }, floats);
  register_timed<ArenaCase>(
      "squared_norm", 0, arena, [](ArenaCase& a) { a.squared_norm(); }, floats);
  register_timed<GatherCase>("gather_windows/128x64", 0, 2.0 * GatherCase::bands * GatherCase::width * sizeof(float),
                             [](GatherCase& g) { g.gather(); });
  // A real transform of n points takes 2.5 n log2 n by the usual count; power and bands are left out.
  const double transforms = 313 * 2.5 * 1024 * 10;
  register_timed<LogMelCase>("logmel/10s", transforms, 0, [](LogMelCase& l) { l.run(); });
}

}  // namespace evenflow::bench
