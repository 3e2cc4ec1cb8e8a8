// What lies on a device, as the host sees it.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/buffer.h"
#include "kernels/copy.h"

namespace evenflow::tests {

/// The map's values, sample after sample, once the stream has come this far.
inline std::vector<float> fetch(kernels::Stream& stream, kernels::ConstMap map) {
  std::vector<float> out;
  for (int64_t i = 0; i < map.n; ++i) {
    const kernels::Array<const float> sample{map.sample(i), map.c * map.pixels(), map.device};
    const std::vector<float> values = kernels::to_host(stream, sample);
    out.insert(out.end(), values.begin(), values.end());
  }
  return out;
}

inline void put(kernels::Stream& stream, const std::vector<float>& values, kernels::Map map) {
  const int64_t size = map.c * map.pixels();
  for (int64_t i = 0; i < map.n; ++i) {
    const std::span<const float> sample(values.data() + i * size, static_cast<size_t>(size));
    kernels::upload<float>(stream, sample, {map.sample(i), size, map.device});
  }
}

inline kernels::Buffer<float> to_device(kernels::Stream& stream, const std::vector<float>& values) {
  kernels::Buffer<float> out(static_cast<int64_t>(values.size()), stream.device());
  kernels::upload<float>(stream, values, out.view());
  return out;
}

}  // namespace evenflow::tests
