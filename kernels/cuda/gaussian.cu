// Grid. Sums: a block per sample or, along grid.y, channel, about one pack of 16 bytes per thread, so that n = 128
// samples keep a large GPU's multiprocessors busy and the second pass reads the first-level cache. Backward: planes.h's
// grid, a sample or a channel as one plane. Traffic: sums 4 bytes per element (moments read it twice, the second time
// from a cache), backward 8. Sums: in float64; a thread's packs in order, then the block's tree. The order depends on
// the shape alone.
#include "kernels/gaussian.h"

#include <algorithm>

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/planes.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

constexpr int64_t most_threads = 512;

template <int kWidth, class Term>
__device__ double sum_packs(const float* z, int64_t packs, Shared<double> memory, const Term& term) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack<kWidth> v = load_pack<kWidth>(z + i * kWidth);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      sum += term(static_cast<double>(v.at[k]));
    }
  }
  return block_sum(sum, memory);
}

template <int kWidth>
__global__ void gaussian_moments_kernel(LaneStrides lanes, const float* __restrict__ z, int64_t stride, int64_t packs,
                                        double* __restrict__ sums, double* __restrict__ centred_squares) {
  after_predecessor();
  to_lane(lanes, z, sums, centred_squares);
  SharedMemory memory;
  const Shared<double> warps = memory.take<double>(most_warps);
  const float* mine = z + blockIdx.x * stride + blockIdx.y * packs * kWidth;
  const double sum = sum_packs<kWidth>(mine, packs, warps, [](double value) { return value; });
  const double mean = sum / static_cast<double>(packs * kWidth);
  const double centred =
      sum_packs<kWidth>(mine, packs, warps, [=](double value) { return (value - mean) * (value - mean); });
  if (threadIdx.x != 0) {
    return;
  }
  const int64_t out = static_cast<int64_t>(blockIdx.y) * gridDim.x + blockIdx.x;
  sums[out] += sum;
  centred_squares[out] += centred;
}

template <int kWidth>
__global__ void gaussian_squares_kernel(LaneStrides lanes, const float* __restrict__ z, int64_t stride, int64_t packs,
                                        double* __restrict__ squares) {
  after_predecessor();
  to_lane(lanes, z, squares);
  SharedMemory memory;
  const Shared<double> warps = memory.take<double>(most_warps);
  const double sum =
      sum_packs<kWidth>(z + blockIdx.x * stride, packs, warps, [](double value) { return value * value; });
  if (threadIdx.x == 0) {
    squares[blockIdx.x] += sum;
  }
}

template <int kWidth>
__global__ void gaussian_backward_kernel(LaneStrides lanes, PackedPlanes samples, const float* z, int64_t z_stride,
                                         const double* __restrict__ shift, float scale, float* dz, int64_t dz_stride) {
  after_predecessor();
  to_lane(lanes, z, shift, dz);
  const PlanePlace at = plane_place(samples);
  if (at.n >= samples.n) {
    return;
  }
  const auto mine = static_cast<float>(shift[at.c * samples.n + at.n]);
  const int64_t plane = at.c * samples.packs * kWidth;
  map_packs<kWidth>(samples, at, z + at.n * z_stride + plane, dz + at.n * dz_stride + plane,
                    [=](float value) { return (value - mine) * scale; });
}

/// A map's samples, or its channels, as one plane each.
PackedPlanes planes_of(ConstMap z, int width, bool by_channel = false) {
  return {z.n, by_channel ? z.c : 1, (by_channel ? 1 : z.c) * z.pixels() / width};
}

Launch sums_launch(const char* name, const PackedPlanes& samples) {
  const int64_t threads = std::clamp<int64_t>(divide_up(samples.packs, warp_size) * warp_size, warp_size, most_threads);
  return {name,
          {static_cast<unsigned>(samples.n), static_cast<unsigned>(samples.c)},
          {static_cast<unsigned>(threads)},
          block_sum_bytes};
}

}  // namespace

void run(Stream& stream, const GaussianMoments& task) {
  const ConstMap& z = task.z;
  if (z.size() == 0) {
    return;
  }
  const bool packs = planes_are_packs(z);
  const PackedPlanes samples = planes_of(z, packs ? pack_floats : 1, task.by_channel);
  launch(stream, sums_launch("gaussian_moments", samples),
         packs ? gaussian_moments_kernel<pack_floats> : gaussian_moments_kernel<1>, z.data, z.sample_stride,
         samples.packs, task.sum.data, task.centred_squares.data);
}

void run(Stream& stream, const GaussianSquares& task) {
  const ConstMap& z = task.z;
  if (z.size() == 0) {
    return;
  }
  const bool packs = planes_are_packs(z);
  const PackedPlanes samples = planes_of(z, packs ? pack_floats : 1);
  launch(stream, sums_launch("gaussian_squares", samples),
         packs ? gaussian_squares_kernel<pack_floats> : gaussian_squares_kernel<1>, z.data, z.sample_stride,
         samples.packs, task.squares.data);
}

void run(Stream& stream, const GaussianBackward& task) {
  const ConstMap& z = task.z;
  const Map& dz = task.dz;
  const bool packs = planes_are_packs(z, dz);
  const PackedPlanes samples = planes_of(z, packs ? pack_floats : 1, task.by_channel);
  const PlaneGrid shape = grid_over(samples);
  launch(stream, {"gaussian_backward", shape.grid, shape.block},
         packs ? gaussian_backward_kernel<pack_floats> : gaussian_backward_kernel<1>, samples, z.data, z.sample_stride,
         task.shift.data, static_cast<float>(task.scale), dz.data, dz.sample_stride);
}

}  // namespace evenflow::kernels::cuda
