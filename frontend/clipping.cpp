#include "frontend/clipping.h"

#include <algorithm>
#include <cmath>

namespace evenflow::frontend {
namespace {

constexpr float least_level = 0.01F;
constexpr int64_t least_run = 3;

void add_runs(std::span<const float> samples, float limit, int rate_hz, Clipping& out) {
  if (!(std::abs(limit) >= least_level)) {
    return;
  }
  const auto n = static_cast<int64_t>(samples.size());
  for (int64_t i = 0; i < n;) {
    if (samples[static_cast<size_t>(i)] != limit) {
      ++i;
      continue;
    }
    int64_t end = i + 1;
    while (end < n && samples[static_cast<size_t>(end)] == limit) {
      ++end;
    }
    if (end - i >= least_run) {
      const double from = static_cast<double>(i) / rate_hz, to = static_cast<double>(end - 1) / rate_hz;
      out.first_s = out.runs == 0 ? from : std::min(out.first_s, from);
      out.last_s = std::max(out.last_s, to);
      out.level = std::max(out.level, static_cast<double>(std::abs(limit)));
      out.samples += end - i;
      ++out.runs;
    }
    i = end;
  }
}

}  // namespace

Clipping clipping_of(std::span<const float> samples, int rate_hz) {
  Clipping out;
  if (samples.empty()) {
    return out;
  }
  const auto [low, high] = std::minmax_element(samples.begin(), samples.end());
  if (*low == *high) {
    return out;
  }
  add_runs(samples, *high, rate_hz, out);
  add_runs(samples, *low, rate_hz, out);
  return out;
}

}  // namespace evenflow::frontend
