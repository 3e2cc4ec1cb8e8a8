// Rows of floats that lie together (a plane of a map, a sample), read and written 16 bytes at a time where alignment
// allows it, and the grid of element-wise work over them.
#pragma once

#include <cstdint>

#include "kernels/cuda/grid.h"
#include "kernels/view.h"

namespace evenflow::kernels::cuda {

template <int kWidth>
struct Pack {
  float at[kWidth];
};

/// `From`: const float* or Shared<float>.
template <int kWidth, class From>
__device__ Pack<kWidth> load_pack(From p) {
  if constexpr (kWidth == 4) {
    const float4 v = load4(p);
    return {{v.x, v.y, v.z, v.w}};
  } else {
    return {{p[0]}};
  }
}
template <int kWidth, class To>
__device__ void store_pack(To p, const Pack<kWidth>& v) {
  if constexpr (kWidth == 4) {
    store4(p, make_float4(v.at[0], v.at[1], v.at[2], v.at[3]));
  } else {
    p[0] = v.at[0];
  }
}

/// To device memory.
template <int kWidth>
__device__ void write_pack(float* p, const Pack<kWidth>& v) {
  if constexpr (kWidth == 4) {
    write4(p, make_float4(v.at[0], v.at[1], v.at[2], v.at[3]));
  } else {
    p[0] = v.at[0];
  }
}

inline constexpr int pack_floats = 4;

inline bool is_aligned(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % (pack_floats * sizeof(float)) == 0;
}
/// Whether each plane of all these maps is whole packs.
template <class... Maps>
bool planes_are_packs(const Maps&... maps) {
  return ((maps.pixels() % pack_floats == 0 && maps.sample_stride % pack_floats == 0 && is_aligned(maps.data)) && ...);
}
template <class... Arrays>
bool arrays_are_packs(const Arrays&... arrays) {
  return ((arrays.size % pack_floats == 0 && is_aligned(arrays.data)) && ...);
}

/// n x c planes of `packs` packs each. A row of a block's threads takes packs_per_thread packs each of one plane;
/// planes run along grid.x, the pieces of a long plane along grid.y.
struct PackedPlanes {
  int64_t n = 0, c = 0, packs = 0;
};
inline constexpr int packs_per_thread = 4;

/// A block of threads for one plane: a thread per pixel, in whole warps.
inline dim3 plane_block(int64_t pixels) {
  return {static_cast<unsigned>(std::min<int64_t>(block_threads, divide_up(pixels, warp_size) * warp_size))};
}

struct PlaneGrid {
  dim3 grid, block;
};
inline PlaneGrid grid_over(const PackedPlanes& planes) {
  unsigned across = 8;
  while (across < block_threads && across * packs_per_thread < planes.packs) {
    across *= 2;
  }
  const unsigned rows = block_threads / across;
  return {.grid = {static_cast<unsigned>(divide_up(planes.n * planes.c, rows)),
                   static_cast<unsigned>(divide_up(planes.packs, across * packs_per_thread))},
          .block = {across, rows}};
}

/// A thread's place in such a grid: no plane if `n` is the planes' n or more.
struct PlanePlace {
  int64_t n, c, first_pack;
};
__device__ inline PlanePlace plane_place(const PackedPlanes& planes) {
  const int64_t plane = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  return {plane / planes.c, plane % planes.c,
          static_cast<int64_t>(blockIdx.y) * blockDim.x * packs_per_thread + threadIdx.x};
}

/// out = f(in) of a thread's packs of one plane. All are read before the first is written, so that the reads overlap;
/// `out` may be `in`.
template <int kWidth, class Function>
__device__ void map_packs(const PackedPlanes& planes, const PlanePlace& place, const float* in, float* out,
                          const Function& f) {
  Pack<kWidth> packs[packs_per_thread];
  const int64_t step = blockDim.x;
#pragma unroll
  for (int u = 0; u < packs_per_thread; ++u) {
    const int64_t at = place.first_pack + u * step;
    if (at < planes.packs) {
      packs[u] = load_pack<kWidth>(in + at * kWidth);
    }
  }
#pragma unroll
  for (int u = 0; u < packs_per_thread; ++u) {
    const int64_t at = place.first_pack + u * step;
    if (at >= planes.packs) {
      continue;
    }
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      packs[u].at[i] = f(packs[u].at[i]);
    }
    write_pack<kWidth>(out + at * kWidth, packs[u]);
  }
}

}  // namespace evenflow::kernels::cuda
