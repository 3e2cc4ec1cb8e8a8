// Functions that the host and a GPU's kernels share.
#pragma once

#ifdef __CUDACC__
#define EVENFLOW_ANYWHERE __host__ __device__
#else
#define EVENFLOW_ANYWHERE
#endif
