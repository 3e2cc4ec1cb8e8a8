#include "experiments/profile/ceilings.h"

#include <algorithm>
#include <limits>

#include "kernels/buffer.h"
#include "kernels/copy.h"
#include "kernels/event.h"
#include "kernels/probe.h"

namespace evenflow::experiments {

int64_t flush_bytes(kernels::Device device) {
  // On a GPU long enough, too, for the host to queue an operation's launches while the flush runs.
  const int64_t cache = kernels::cache_bytes(device);
  const bool cpu = device.type == kernels::DeviceType::cpu;
  constexpr int64_t least = int64_t{1} << 20, most = int64_t{1} << 29;
  return std::clamp(cpu ? cache + cache / 4 : 4 * cache, least, most);
}

Ceilings measure_ceilings(kernels::Stream& stream) {
  const kernels::Device device = stream.device();
  Ceilings out;
  {
    const int64_t floats = flush_bytes(device) / static_cast<int64_t>(sizeof(float));
    const kernels::Buffer<float> from(floats, device), to(floats, device);
    kernels::Event begin(device), end(device);
    double best = std::numeric_limits<double>::infinity();
    constexpr int repetitions = 10;
    for (int i = 0; i <= repetitions; ++i) {
      begin.record(stream);
      kernels::copy(stream, from.view(), to.view());
      end.record(stream);
      const double seconds = end.seconds_since(begin);
      if (i > 0) {
        best = std::min(best, seconds);  // the first one warms up
      }
    }
    out.copy = 2.0 * static_cast<double>(floats) * sizeof(float) / best;
  }
  for (const auto& [name, precision] : gemm_precisions) {
    out.gemm[static_cast<size_t>(precision)] = kernels::measure_gemm(stream, precision);
  }
  if (out.gemm_of(kernels::Precision::float32) == 0) {
    out.gemm_missing = device.type == kernels::DeviceType::cpu
                           ? "not measured: libopenblas.so.0 is not installed"
                           : "not measured: this backend has no library for matrix products";
  }
  return out;
}

}  // namespace evenflow::experiments
