// Grid: a grid-stride loop over the packs of 16 bytes of all samples' halves (of 4 where maps are not aligned); a
// thread takes a pack of the second half and, where the output is other memory, the same pack of the first. Traffic: 12
// bytes per element of the half (x_b, shift, y_b), 8 more for the copy of the first; backward 8 and 16. Sums: none.
#include "kernels/additive.h"

#include "kernels/cuda/planes.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

struct Halves {
  int64_t n, packs;  // of a sample's half
  int64_t in_stride, half_stride, out_stride;
};

template <int kWidth, bool kInverse>
__global__ void additive_kernel(Halves s, const float* in, const float* __restrict__ shift, float* out) {
  after_predecessor();
  for (int64_t item = first_item(); item < s.n * s.packs; item += item_stride()) {
    const int64_t n = item / s.packs;
    const int64_t at = (item - n * s.packs) * kWidth;
    const float* from = in + n * s.in_stride + at;
    float* to = out + n * s.out_stride + at;
    const int64_t half = s.packs * kWidth;
    Pack<kWidth> b = load_pack<kWidth>(from + half);
    const Pack<kWidth> t = load_pack<kWidth>(shift + n * s.half_stride + at);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      b.at[i] = kInverse ? b.at[i] - t.at[i] : b.at[i] + t.at[i];
    }
    store_pack<kWidth>(to + half, b);
    if (out != in) {
      store_pack<kWidth>(to, load_pack<kWidth>(from));
    }
  }
}

template <int kWidth>
__global__ void additive_backward_kernel(LaneStrides lanes, Halves s, const float* dy, float* dx,
                                         float* __restrict__ dshift) {
  after_predecessor();
  const int64_t lane = lane_offset(lanes, dy, dx, dshift);
  for (int64_t item = first_item(); item < s.n * s.packs; item += item_stride()) {
    const int64_t n = item / s.packs;
    const int64_t at = lane + (item - n * s.packs) * kWidth;
    const float* from = dy + n * s.in_stride + at;
    float* to = dx + n * s.out_stride + at;
    const int64_t half = s.packs * kWidth;
    const Pack<kWidth> b = load_pack<kWidth>(from + half);
    store_pack<kWidth>(dshift + n * s.half_stride + at, b);
    if (dx == dy) {
      continue;
    }
    store_pack<kWidth>(to + half, b);
    store_pack<kWidth>(to, load_pack<kWidth>(from));
  }
}

Halves halves_of(ConstMap in, ConstMap half, ConstMap out, bool packs) {
  return {in.n, half.c * half.pixels() / (packs ? pack_floats : 1), in.sample_stride, half.sample_stride,
          out.sample_stride};
}

template <bool kInverse>
void shift_half(Stream& stream, const char* name, ConstMap in, ConstMap shift, Map out) {
  const bool packs = planes_are_packs(in, shift, out);
  const Halves s = halves_of(in, shift, out, packs);
  launch(stream, {name, blocks_for(s.n * s.packs), block_threads},
         packs ? additive_kernel<pack_floats, kInverse> : additive_kernel<1, kInverse>, s, in.data, shift.data,
         out.data);
}

}  // namespace

void run(Stream& stream, const AdditiveForward& task) {
  shift_half<false>(stream, "additive_forward", task.x, task.shift, task.y);
}

void run(Stream& stream, const AdditiveInverse& task) {
  shift_half<true>(stream, "additive_inverse", task.y, task.shift, task.x);
}

void run(Stream& stream, const AdditiveBackward& task) {
  const bool packs = planes_are_packs(task.dy, task.dx, task.dshift);
  const Halves s = halves_of(task.dy, task.dshift, task.dx, packs);
  launch(stream, {"additive_backward", blocks_for(s.n * s.packs), block_threads},
         packs ? additive_backward_kernel<pack_floats> : additive_backward_kernel<1>, s, task.dy.data, task.dx.data,
         task.dshift.data);
}

}  // namespace evenflow::kernels::cuda
