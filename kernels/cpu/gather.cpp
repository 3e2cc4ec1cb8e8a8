#include "kernels/gather.h"

#include <algorithm>

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {

void run(Stream&, const GatherWindows& task) {
  const Map& x = task.x;
  const int64_t bands = x.h;
  // A transpose in tiles of one cache line's worth of bands, so that neither side is walked with a large stride.
  constexpr int64_t tile = 16;
  for (int64_t n = 0; n < x.n; ++n) {
    const float* in = task.frames.data + task.start[n] * bands;
    float* out = x.sample(n);
    for (int64_t first = 0; first < bands; first += tile) {
      const int64_t last = std::min(first + tile, bands);
      for (int64_t t = 0; t < x.w; ++t) {
        for (int64_t band = first; band < last; ++band) {
          out[band * x.w + t] = (in[t * bands + band] - task.mean[band]) * task.inverse_std[band];
        }
      }
    }
  }
}

}  // namespace evenflow::kernels::cpu
