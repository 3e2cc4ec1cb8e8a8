// Grid: a grid-stride loop over packs of 16 bytes (of 4 where an array is not aligned).
// Traffic: 28 bytes per parameter: gradient, parameter, m and v in, parameter, m and v out.
// Sums: none. The step's factors are rounded from float64 on the host (adam.h); no thread needs float64.
#include "kernels/adam.h"

#include "kernels/cuda/adam_pack.h"
#include "kernels/cuda/planes.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

template <int kWidth>
__global__ void adam_update_kernel(AdamFactors a, int64_t packs, const float* __restrict__ gradient,
                                   float* __restrict__ parameter, float* __restrict__ m, float* __restrict__ v) {
  after_predecessor();
  for (int64_t item = first_item(); item < packs; item += item_stride()) {
    const int64_t at = item * kWidth;
    const Pack<kWidth> g = load_pack<kWidth>(gradient + at);
    Pack<kWidth> p = load_pack<kWidth>(parameter + at);
    Pack<kWidth> first = load_pack<kWidth>(m + at);
    Pack<kWidth> second = load_pack<kWidth>(v + at);
    adam_pack(a, g, p, first, second);
    store_pack<kWidth>(parameter + at, p);
    store_pack<kWidth>(m + at, first);
    store_pack<kWidth>(v + at, second);
  }
}

}  // namespace

void run(Stream& stream, const AdamUpdate& task) {
  const bool whole = arrays_are_packs(task.gradient, task.parameter, task.m, task.v);
  const int64_t packs = task.parameter.size / (whole ? pack_floats : 1);
  launch(stream, {"adam_update", blocks_for(packs), block_threads},
         whole ? adam_update_kernel<pack_floats> : adam_update_kernel<1>, adam_factors(task.settings), packs,
         task.gradient.data, task.parameter.data, task.m.data, task.v.data);
}

}  // namespace evenflow::kernels::cuda
