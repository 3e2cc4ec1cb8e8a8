// What a kernel's source may use: the thread and its block, shared memory, barriers, shuffles, asynchronous copies, the
// tensor cores' tile products, and launch(). Kernels are written against these names alone, so that the same sources
// also build for the CPU under an emulation that checks them (tests/emulation; docs/gpu.md).
//
//   threadIdx blockIdx blockDim gridDim         as in CUDA
//   SharedMemory memory; memory.take<float>(n)  Shared<float>: dynamic shared memory, dealt out in order
//   load4(p), store4(p, v), load2(p)            16 or 8 bytes at once, from or to shared or device memory
//   sync_block(), sync_warp()                   barriers; every thread of the block or warp arrives
//   shuffle(v, lane), shuffle_xor(v, mask), shuffle_down(v, delta)   all 32 lanes take part
//   copy_async(shared, device), commit_copies(), wait_copies<left>() 16 bytes from device to shared memory
//   mma_tf32(d, a, b), mma_bf16(d, a, b)        m16n8k8 and m16n8k16 tile products of a warp, float32 sums
//   launch(stream, {name, grid, block, shared bytes}, kernel, arguments...)
#pragma once

#ifdef __CUDACC__
#include "kernels/cuda/execution_gpu.h"
#else
#include <cuda_emulation.h>
#endif
