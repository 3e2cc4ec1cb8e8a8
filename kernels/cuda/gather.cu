// Grid: x is the window, y and z a tile of 32 bands by 32 frames; 32 x 8 threads. A transpose through shared memory,
// read and written in whole lines; rows one longer than the tile keep the reads down a column apart.
// Traffic: 8 bytes per element.
// Sums: none.
#include "kernels/gather.h"

#include "kernels/cuda/grid.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

// Frames have their bands side by side, windows their frames: a tile of `side` bands by `side` frames.
constexpr int side = 32;
constexpr int rows = 8;

struct Windows {
  int64_t bands, frames, stride;
};

__global__ void gather_windows_kernel(Windows s, const float* __restrict__ frames, const int64_t* __restrict__ start,
                                      const float* __restrict__ mean, const float* __restrict__ inverse_std,
                                      float* __restrict__ x) {
  SharedMemory memory;
  const Shared<float> tile = memory.take<float>(side * (side + 1));
  const auto across = static_cast<int>(threadIdx.x);
  const int64_t first_band = static_cast<int64_t>(blockIdx.y) * side;
  const int64_t first_frame = static_cast<int64_t>(blockIdx.z) * side;
  const int64_t band = first_band + across;
  if (band < s.bands) {
    const float* from = frames + (start[blockIdx.x] + first_frame) * s.bands + band;
    const float band_mean = mean[band];
    const float factor = inverse_std[band];
#pragma unroll
    for (int row = 0; row < side; row += rows) {
      const int frame = row + static_cast<int>(threadIdx.y);
      if (first_frame + frame >= s.frames) {
        continue;
      }
      tile[frame * (side + 1) + across] = (from[frame * s.bands] - band_mean) * factor;
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
      to[(first_band + column) * s.frames] = tile[across * (side + 1) + column];
    }
  }
}

}  // namespace

void run(Stream& stream, const GatherWindows& task) {
  const Map& x = task.x;
  const auto tiles = [](int64_t length) { return static_cast<unsigned>(divide_up(length, side)); };
  launch(stream,
         {"gather_windows",
          {static_cast<unsigned>(x.n), tiles(x.h), tiles(x.w)},
          {side, rows},
          sizeof(float) * side * (side + 1)},
         gather_windows_kernel, Windows{x.h, x.w, x.sample_stride}, task.frames.data, task.start.data, task.mean.data,
         task.inverse_std.data, x.data);
}

}  // namespace evenflow::kernels::cuda
