// What a kernel's source may use: the thread and its block, shared memory, barriers, shuffles, asynchronous copies, the
// tensor cores' tile products, and launch(). Kernels are written against these names alone, so that the same sources
// also build for the CPU under an emulation that checks them (tests/emulation; docs/gpu.md).
//
// clang-format off
//   after_predecessor()                         every kernel's first statement
//   threadIdx blockIdx blockDim gridDim         as in CUDA
//   SharedMemory memory; memory.take<float>(n)  Shared<float>: dynamic shared memory, dealt out in order
//   load4(p), store4(p, v), load2(p), store2    16 or 8 bytes at once, from or to shared or device memory
//   write4(p, v)                                store4 to device memory, and surely one store: nvcc makes four of some
//                                               of store4's; what is read behind it is not read before it
//   sync_block(), sync_group<n>(), sync_warp()  barriers; every thread of the block, of n neighbours or of the warp
//                                               arrives
//   shuffle(v, lane), shuffle_xor(v, mask), shuffle_down(v, delta)
//                                               all 32 lanes take part
//   copy_async(shared, device), commit_copies(), wait_copies<left>()
//                                               16 bytes from device to shared memory
//   count_arrival(counter, most)                one more, 0 after `most`; orders blocks (last_block.h)
//   mma_tf32(d, a, b), mma_bf16(d, a, b)        m16n8k8 and m16n8k16 tile products of a warp, float32 sums
//   launch(stream, {name, grid, block, shared bytes}, kernel, arguments...)
// clang-format on
//
// A kernel that serves lanes (kernels/lanes.h) has LaneStrides as its first parameter, which launch() fills in, beside
// one block of the grid per lane along z. It goes on with
// clang-format off
//   to_lane(lanes, p, q, ...)                   pointers into the first lane's memory become the block's lane's
//   scratch_to_lane(lanes, p)                   the same for the operation's scratch memory
//   lane_offset(lanes, p, q, ...)               or the elements from one to the other, to be added to indices: where
//                                               many pointers share an index, moving each costs two registers
// clang-format on
// which is all it does for lanes. With one lane both add zero. (A null pointer does not stay one.) Any other kernel is
// refused on a stream of several.
#pragma once

#ifdef __CUDACC__
#include "kernels/cuda/execution_gpu.h"
#else
#include <cuda_emulation.h>
#endif
