// Grid: a thread per 2 x 2 pixels of a channel, a grid-stride loop over all of them. Reads of 8 and writes of 4
// bytes, both coalesced.
// Traffic: 8 bytes per element, each element once: a copy.
// Sums: none.
#include "kernels/squeeze.h"

#include "kernels/cuda/grid.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

struct SqueezeShape {
  int64_t n, c, h, w;  // of the coarse map; c of the fine one
  int64_t fine_stride, coarse_stride;
};

struct Place {
  int64_t fine, coarse;  // the upper left pixel; the pixel of channel 4c
};

__device__ Place place_of(const SqueezeShape& s, int64_t item) {
  const int64_t x = item % s.w;
  const int64_t y = item / s.w % s.h;
  const int64_t c = item / (s.w * s.h) % s.c;
  const int64_t n = item / (s.w * s.h * s.c);
  return {n * s.fine_stride + (c * 2 * s.h + 2 * y) * 2 * s.w + 2 * x,
          n * s.coarse_stride + 4 * c * s.h * s.w + y * s.w + x};
}

__global__ void squeeze_kernel(LaneStrides lanes, SqueezeShape s, const float* __restrict__ fine,
                               float* __restrict__ coarse) {
  after_predecessor();
  to_lane(lanes, fine, coarse);
  const int64_t items = s.n * s.c * s.h * s.w;
  const int64_t plane = s.h * s.w;
  for (int64_t item = first_item(); item < items; item += item_stride()) {
    const Place at = place_of(s, item);
    const float* from = fine + at.fine;
    float* to = coarse + at.coarse;
    to[0] = from[0];
    to[plane] = from[1];
    to[2 * plane] = from[2 * s.w];
    to[3 * plane] = from[2 * s.w + 1];
  }
}

__global__ void unsqueeze_kernel(LaneStrides lanes, SqueezeShape s, const float* __restrict__ coarse,
                                 float* __restrict__ fine) {
  after_predecessor();
  to_lane(lanes, coarse, fine);
  const int64_t items = s.n * s.c * s.h * s.w;
  const int64_t plane = s.h * s.w;
  for (int64_t item = first_item(); item < items; item += item_stride()) {
    const Place at = place_of(s, item);
    const float* from = coarse + at.coarse;
    float* to = fine + at.fine;
    to[0] = from[0];
    to[1] = from[plane];
    to[2 * s.w] = from[2 * plane];
    to[2 * s.w + 1] = from[3 * plane];
  }
}

template <class Fine, class Coarse>
SqueezeShape shape_of(const Fine& fine, const Coarse& coarse) {
  return {fine.n, fine.c, coarse.h, coarse.w, fine.sample_stride, coarse.sample_stride};
}

}  // namespace

void run(Stream& stream, const Squeeze& task) {
  const SqueezeShape s = shape_of(task.x, task.y);
  launch(stream, {"squeeze", blocks_for(s.n * s.c * s.h * s.w), block_threads}, squeeze_kernel, s, task.x.data,
         task.y.data);
}

void run(Stream& stream, const Unsqueeze& task) {
  const SqueezeShape s = shape_of(task.x, task.y);
  launch(stream, {"unsqueeze", blocks_for(s.n * s.c * s.h * s.w), block_threads}, unsqueeze_kernel, s, task.y.data,
         task.x.data);
}

}  // namespace evenflow::kernels::cuda
