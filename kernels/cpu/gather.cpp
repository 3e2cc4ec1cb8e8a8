#include "kernels/gather.h"

#include <algorithm>
#include <array>

#include "kernels/cpu/window_noise.h"
#include "kernels/mel_scale.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cpu {
namespace {

// A transpose in tiles of one cache line's worth of bands, so that neither side is walked with a large stride.
constexpr int64_t tile = 16;

void gather(const GatherWindows& task, const float* in, float* out) {
  const int64_t bands = task.x.h, width = task.x.w;
  for (int64_t first = 0; first < bands; first += tile) {
    const int64_t last = std::min(first + tile, bands);
    for (int64_t t = 0; t < width; ++t) {
      for (int64_t band = first; band < last; ++band) {
        out[band * width + t] = (in[t * bands + band] - task.mean[band]) * task.inverse_std[band];
      }
    }
  }
}

void gather_warped(const GatherWindows& task, double ratio, const float* in, float* out) {
  const int64_t bands = task.x.h, width = task.x.w;
  std::array<int64_t, tile> low{}, high{};
  std::array<float, tile> part{};
  for (int64_t first = 0; first < bands; first += tile) {
    const auto count = static_cast<size_t>(std::min(tile, bands - first));
    for (size_t i = 0; i < count; ++i) {
      const double position = warped_position(first + static_cast<int64_t>(i), ratio, task.mels_per_band, bands);
      low[i] = static_cast<int64_t>(position);
      high[i] = std::min(low[i] + 1, bands - 1);
      part[i] = static_cast<float>(position - static_cast<double>(low[i]));
    }
    for (int64_t t = 0; t < width; ++t) {
      const float* frame = in + t * bands;
      for (size_t i = 0; i < count; ++i) {
        const int64_t band = first + static_cast<int64_t>(i);
        const float value = frame[low[i]] + part[i] * (frame[high[i]] - frame[low[i]]);
        out[band * width + t] = (value - task.mean[band]) * task.inverse_std[band];
      }
    }
  }
}

void gather_moved(const GatherWindows& task, const WindowChange& change, const float* in, float* out) {
  const int64_t bands = task.x.h, width = task.x.w;
  const float* factor = task.moves.factor.data + change.move * bands;
  const float* offset = task.moves.offset.data + change.move * bands;
  std::array<float, tile> slope{}, rest{};
  for (int64_t first = 0; first < bands; first += tile) {
    const auto count = static_cast<size_t>(std::min(tile, bands - first));
    for (size_t i = 0; i < count; ++i) {
      const int64_t band = first + static_cast<int64_t>(i);
      const float error =
          change.error_size == 0 ? 0.0F : change.error_size * task.moves.error[change.error * bands + band];
      slope[i] = factor[band];
      rest[i] = offset[band] + error - task.mean[band];
    }
    for (int64_t t = 0; t < width; ++t) {
      for (size_t i = 0; i < count; ++i) {
        const int64_t band = first + static_cast<int64_t>(i);
        out[band * width + t] = (slope[i] * in[t * bands + band] + rest[i]) * task.inverse_std[band];
      }
    }
  }
}

void mask(const WindowChange& change, const Map& x, float* out) {
  std::fill_n(out + change.first_masked_band * x.w, change.masked_bands * x.w, 0.0F);
  for (int64_t band = 0; band < x.h; ++band) {
    std::fill_n(out + band * x.w + change.first_masked_frame, change.masked_frames, 0.0F);
  }
}

}  // namespace

void run(Stream&, const GatherWindows& task) {
  const Map& x = task.x;
  for (int64_t n = 0; n < x.n; ++n) {
    const float* in = task.frames.data + task.start[n] * x.h;
    float* out = x.sample(n);
    if (task.changes.size == 0) {
      gather(task, in, out);
      continue;
    }
    const WindowChange& change = task.changes[n];
    if (change.move >= 0) {
      gather_moved(task, change, in, out);
    } else if (change.warp == 1.0F) {
      gather(task, in, out);
    } else {
      gather_warped(task, change.warp, in, out);
    }
    if (change.noise > 0) {
      add_window_noise(change.noise_key, change.noise, out, x.pixels());
    }
    mask(change, x, out);
  }
}

}  // namespace evenflow::kernels::cpu
