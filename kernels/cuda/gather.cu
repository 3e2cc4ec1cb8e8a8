#include "kernels/cuda/grid.h"
#include "kernels/cuda/ops.h"

namespace evenflow::kernels::cuda {
namespace {

// A transpose: frames have their bands side by side, windows their frames. A block takes a tile of `side` bands by
// `side` frames of one window through shared memory, both ways in whole lines; rows one longer than the tile keep the
// reads down a column apart.
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
      if (first_frame + frame >= s.frames) continue;
      tile[frame * (side + 1) + across] = (from[frame * s.bands] - band_mean) * factor;
    }
  }
  sync_block();
  const int64_t frame = first_frame + across;
  if (frame >= s.frames) return;
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

void gather_windows(Stream& stream, Array<const float> frames, Array<const int64_t> start, Array<const float> mean,
                    Array<const float> inverse_std, Map x) {
  const auto tiles = [](int64_t length) { return static_cast<unsigned>(divide_up(length, side)); };
  launch(stream,
         {"gather_windows",
          {static_cast<unsigned>(x.n), tiles(x.h), tiles(x.w)},
          {side, rows},
          sizeof(float) * side * (side + 1)},
         gather_windows_kernel, Windows{x.h, x.w, x.sample_stride}, frames.data, start.data, mean.data,
         inverse_std.data, x.data);
}

}  // namespace evenflow::kernels::cuda
