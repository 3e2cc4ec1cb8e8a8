// Grid: x is the window, y a tile of 32 bands by 32 frames, bands first; 32 x 8 threads. A transpose through shared
// memory, read and written in whole lines; rows one longer than the tile keep the reads down a column apart. Where
// windows are changed, one warp finds in float64 where the tile's bands lie; a window's own numbers are the same for a
// whole block. Traffic: 8 bytes per element; a warped one reads two neighbours, from the same lines but for the edges,
// and of a move a block reads 32 bands' factor, offset and error once.
// Sums: none.
#include "kernels/gather.h"

#include "kernels/cuda/grid.h"
#include "kernels/mel_scale.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

// Frames have their bands side by side, windows their frames: a tile of `side` bands by `side` frames.
constexpr int side = 32;
constexpr int rows = 8;

struct Windows {
  int64_t bands, frames, stride;
  unsigned band_tiles;
  double mels_per_band;
};

/// What a move makes of x dB in one band.
struct BandMove {
  float factor, offset;
};

__device__ inline BandMove band_move(const Windows& s, const BandMoves& moves, const WindowChange& change,
                                     int64_t band) {
  if (change.move < 0) {
    return {1.0F, 0.0F};
  }
  const int64_t at = change.move * s.bands + band;
  const float error =
      change.error_size == 0 ? 0.0F : change.error_size * moves.error.data[change.error * s.bands + band];
  return {moves.factor.data[at], moves.offset.data[at] + error};
}

__device__ inline bool is_warped(const WindowChange& change) {
  return change.move < 0 && change.warp != 1.0F;
}

/// What lies `part` of the way from band `low` to band `high`.
struct BandPosition {
  int low, high;
  float part;
};

__device__ inline BandPosition band_position(const Windows& s, int64_t band, double ratio) {
  const double position = warped_position(band, ratio, s.mels_per_band, s.bands);
  const auto low = static_cast<int>(position);
  return {low, low + 1 < s.bands ? low + 1 : low, static_cast<float>(position - low)};
}

__device__ inline bool within(int64_t at, int32_t first, int32_t count) {
  return at >= first && at < first + count;
}

__device__ inline float noisy_and_masked(const Windows& s, const WindowChange& change, int64_t band, int64_t frame,
                                         float value) {
  if (within(band, change.first_masked_band, change.masked_bands) ||
      within(frame, change.first_masked_frame, change.masked_frames)) {
    return 0.0F;
  }
  return change.noise > 0 ? value + change.noise * window_noise(change.noise_key, band * s.frames + frame) : value;
}

template <bool kChanged>
__global__ void gather_windows_kernel(LaneStrides lanes, Windows s, const float* __restrict__ frames,
                                      const int64_t* __restrict__ start, const float* __restrict__ mean,
                                      const float* __restrict__ inverse_std, const WindowChange* __restrict__ changes,
                                      BandMoves moves, float* __restrict__ x) {
  after_predecessor();
  to_lane(lanes, start, mean, inverse_std, x);
  SharedMemory memory;
  const Shared<float> tile = memory.take<float>(side * (side + 1));
  const auto across = static_cast<int>(threadIdx.x);
  const int64_t first_band = static_cast<int64_t>(blockIdx.y % s.band_tiles) * side;
  const int64_t first_frame = static_cast<int64_t>(blockIdx.y / s.band_tiles) * side;
  const int64_t band = first_band + across;
  WindowChange change;
  Shared<BandPosition> positions{};
  if constexpr (kChanged) {
    to_lane(lanes, changes, moves.factor.data, moves.offset.data, moves.error.data);
    change = changes[blockIdx.x];
    positions = memory.take<BandPosition>(side);
    if (is_warped(change) && threadIdx.y == 0 && band < s.bands) {
      positions[across] = band_position(s, band, change.warp);
    }
    sync_block();
  }
  if (band < s.bands) {
    const float* from = frames + (start[blockIdx.x] + first_frame) * s.bands;
    const float band_mean = mean[band];
    const float factor = inverse_std[band];
    BandPosition at{static_cast<int>(band), 0, 0.0F};
    BandMove move{1.0F, 0.0F};
    if constexpr (kChanged) {
      move = band_move(s, moves, change, band);
      if (is_warped(change)) {
        at = positions[across];
      }
    }
#pragma unroll
    for (int row = 0; row < side; row += rows) {
      const int frame = row + static_cast<int>(threadIdx.y);
      if (first_frame + frame >= s.frames) {
        continue;
      }
      const float* bands = from + frame * s.bands;
      float value = bands[at.low];
      if constexpr (kChanged) {
        if (is_warped(change)) {
          value += at.part * (bands[at.high] - value);
        } else if (change.move >= 0) {
          value = move.factor * value + move.offset;
        }
      }
      tile[frame * (side + 1) + across] = (value - band_mean) * factor;
    }
  }
  sync_block();
  const int64_t frame = first_frame + across;
  if (frame >= s.frames) {
    return;
  }
  float* to = x + blockIdx.x * s.stride + frame;
#pragma unroll
  for (int row = 0; row < side; row += rows) {
    const int column = row + static_cast<int>(threadIdx.y);
    if (first_band + column < s.bands) {
      float value = tile[across * (side + 1) + column];
      if constexpr (kChanged) {
        value = noisy_and_masked(s, change, first_band + column, frame, value);
      }
      to[(first_band + column) * s.frames] = value;
    }
  }
}

}  // namespace

void run(Stream& stream, const GatherWindows& task) {
  const Map& x = task.x;
  const auto tiles = [](int64_t length) { return static_cast<unsigned>(divide_up(length, side)); };
  const bool changed = task.changes.size != 0;
  launch(stream,
         {"gather_windows",
          {static_cast<unsigned>(x.n), tiles(x.h) * tiles(x.w)},
          {side, rows},
          sizeof(float) * side * (side + 1) + (changed ? sizeof(BandPosition) * side : 0)},
         changed ? gather_windows_kernel<true> : gather_windows_kernel<false>,
         Windows{x.h, x.w, x.sample_stride, tiles(x.h), task.mels_per_band}, task.frames.data, task.start.data,
         task.mean.data, task.inverse_std.data, task.changes.data, task.moves, x.data);
}

}  // namespace evenflow::kernels::cuda
