// Functions that the host and a GPU's kernels share: what both backends compute stands once.
#pragma once

#ifdef __CUDACC__
#define EVENFLOW_ANYWHERE __host__ __device__
#else
#define EVENFLOW_ANYWHERE
#endif

namespace evenflow::kernels {

/// log(2 pi) / 2: what a standard normal's density adds per dimension.
inline constexpr double half_log_2pi = 0.9189385332046727;

}  // namespace evenflow::kernels
