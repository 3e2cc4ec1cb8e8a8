// Element-wise operations on maps larger than any L2: GB/s beside a copy's, each with the bytes it must move at least.
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/actnorm.h"
#include "kernels/actnorm_invconv.h"
#include "kernels/adam.h"
#include "kernels/copy.h"
#include "kernels/gather.h"
#include "kernels/gaussian.h"
#include "kernels/invconv.h"
#include "kernels/reduce.h"
#include "kernels/squeeze.h"
#include "tests/bench/gpu/bench_gpu.h"
#include "tests/bench/measure.h"

namespace evenflow::bench {
namespace {

using kernels::Array;
using kernels::Buffer;
using kernels::Map;

struct Operation {
  std::string name;
  double bytes;
  std::function<void()> run;
  std::function<float()> expected_at_1;  // empty: not looked at
};

}  // namespace

void bench_elementwise(const GpuBench& bench) {
  const kernels::Device device = bench.device;
  kernels::Stream stream(device);
  // A step's maps in block 1 of the paper's model, of many more windows than a batch.
  constexpr int64_t channels = 4, height = 64, width = 32;
  const int64_t n = bench.maps, size = n * channels * height * width;
  const std::vector<float> row = {0.5F, -1.25F, 0.75F, 2.0F};
  Buffer<float> a(size, device), b(size, device), parameters(4 * channels, device), weight(16, device);
  Buffer<float> gradients(4 * channels, device), dweight(16, device), m(size, device), v(size, device);
  Buffer<double> doubles(2 * n, device);
  Buffer<int64_t> start(n, device);
  {
    std::vector<float> values(static_cast<size_t>(size));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = row[i % row.size()];
    }
    kernels::upload<float>(stream, values, a.view());
    kernels::upload<float>(stream, {values.data(), static_cast<size_t>(4 * channels)}, parameters.view());
    kernels::upload<float>(stream, {values.data(), 16}, weight.view());
    std::vector<int64_t> starts(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
      starts[static_cast<size_t>(i)] = i * 64;
    }
    kernels::upload<int64_t>(stream, starts, start.view());
  }
  const Map x = kernels::make_map(a.data(), n, channels, height, width, device);
  const Map y = kernels::make_map(b.data(), n, channels, height, width, device);
  const Map third = kernels::make_map(m.data(), n, channels, height, width, device);
  const Map wide = kernels::make_map(b.data(), n, 1, 2 * height, 2 * width, device);
  const kernels::ActnormParameters actnorm{parameters.slice(0, channels), parameters.slice(channels, channels)};
  const kernels::ActnormGradients dactnorm{gradients.slice(0, channels), gradients.slice(channels, channels)};
  const double whole = static_cast<double>(size) * sizeof(float);

  const std::vector<Operation> operations = {
      {"copy", 2 * whole, [&] { kernels::copy(stream, Array<const float>(a.view()), b.view()); },
       [&] { return row[1]; }},
      {"squeeze",
       2 * whole,
       [&] {
         kernels::squeeze(stream,
                          {.x = kernels::make_map<const float>(a.data(), n, 1, 2 * height, 2 * width, device), .y = y});
       },
       {}},
      {"unsqueeze", 2 * whole, [&] { kernels::unsqueeze(stream, {.y = x, .x = wide}); }, {}},
      {"actnorm_forward", 2 * whole, [&] { kernels::actnorm_forward(stream, {.x = x, .parameters = actnorm, .y = y}); },
       [&] { return (row[1] + row[0]) * std::exp(row[0]); }},
      {"actnorm_inverse", 2 * whole, [&] { kernels::actnorm_inverse(stream, {.y = x, .parameters = actnorm, .x = y}); },
       [&] { return row[1] * std::exp(-row[0]) - row[0]; }},
      {"actnorm_backward", 3 * whole,
       [&] {
         kernels::actnorm_backward(stream, {.y = x, .dy = x, .parameters = actnorm, .dx = y, .gradients = dactnorm});
       },
       [&] { return row[1] * std::exp(row[0]); }},
      {"invconv_apply",
       2 * whole,
       [&] { kernels::invconv_apply(stream, {.x = x, .weight = weight.view(), .y = y}); },
       {}},
      {"invconv_backward",
       3 * whole,
       [&] {
         kernels::invconv_backward(stream,
                                   {.x = x, .dy = x, .weight = weight.view(), .dx = y, .dweight = dweight.view()});
       },
       {}},
      {"gaussian_squares",
       whole,
       [&] { kernels::gaussian_squares(stream, {.z = x, .squares = doubles.slice(0, n)}); },
       {}},
      {"gaussian_moments",
       whole,
       [&] {
         kernels::gaussian_moments(stream,
                                   {.z = x, .sum = doubles.slice(0, n), .centred_squares = doubles.slice(n, n)});
       },
       {}},
      {"gaussian_backward", 2 * whole,
       [&] {
         kernels::zero(stream, doubles.view());
         kernels::gaussian_backward(stream, {.z = x, .shift = doubles.slice(0, n), .scale = 2.0, .dz = y});
       },
       [&] { return 2 * row[1]; }},
      {"gather_windows", 2 * whole,
       [&] {
         kernels::gather_windows(stream, {.frames = a.view(),
                                          .start = start.view(),
                                          .mean = m.slice(0, 128),
                                          .inverse_std = v.slice(0, 128),
                                          .x = kernels::make_map(b.data(), n, 1, 128, 64, device)});
       },
       [&] { return 0.0F; }},
      {"adam_update",
       7 * whole,
       [&] {
         kernels::adam_update(
             stream,
             {.settings = {.step = 1}, .gradient = a.view(), .parameter = b.view(), .m = m.view(), .v = v.view()});
       },
       {}},
      {"squared_norm", whole, [&] { kernels::squared_norm(stream, {.x = a.view(), .out = doubles.slice(0, 1)}); }, {}},
      {"actnorm_invconv_forward",
       3 * whole,
       [&] {
         kernels::actnorm_invconv_forward(
             stream, {.x = x, .parameters = actnorm, .weight = weight.view(), .normalised = third, .y = y});
       },
       {}},
      {"actnorm_invconv_backward",
       3 * whole,
       [&] {
         kernels::actnorm_invconv_backward(stream, {.normalised = x,
                                                    .dy = x,
                                                    .parameters = actnorm,
                                                    .weight = weight.view(),
                                                    .dx = y,
                                                    .gradients = dactnorm,
                                                    .dweight = dweight.view(),
                                                    .workspace = third});
       },
       {}},
  };
  double copy_rate = 0;
  for (const Operation& operation : operations) {
    const double seconds = median_of(device_seconds(stream, bench.rounds, operation.run));
    bool ok = true;
    if (operation.expected_at_1) {
      const float got = kernels::to_host(stream, b.slice(1, 1))[0], expected = operation.expected_at_1();
      ok = std::abs(got - expected) <= 1e-5F * std::max(1.0F, std::abs(expected));
    }
    const double rate = operation.bytes / seconds;
    if (operation.name == "copy") {
      copy_rate = rate;
    }
    print_result({{"name", operation.name},
                  {"what", "elementwise"},
                  {"value", rate * 1e-9},
                  {"unit", "GB/s"},
                  {"of_copy", rate / copy_rate},
                  {"megabytes", operation.bytes * 1e-6},
                  {"ms", seconds * 1e3},
                  {"rounds", bench.rounds},
                  {"ok", ok}});
  }
}

}  // namespace evenflow::bench
