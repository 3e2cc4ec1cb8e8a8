// execution.h on a GPU: the kernels' side. The host's is launch_gpu.h.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/fragments.h"
#include "kernels/cuda/launch_gpu.h"

namespace evenflow::kernels::cuda {

inline constexpr int warp_size = 32;

template <class T>
using Shared = T*;

/// Deals out a kernel's dynamic shared memory, 16-byte aligned, in the order of the calls.
class SharedMemory {
 public:
  template <class T>
  __device__ Shared<T> take(int count) {
    extern __shared__ __align__(16) unsigned char memory[];
    T* at = reinterpret_cast<T*>(memory + used_);
    used_ += (static_cast<unsigned>(count) * sizeof(T) + 15U) / 16U * 16U;
    return at;
  }

 private:
  unsigned used_ = 0;
};

__device__ inline float4 load4(const float* p) {
  return *reinterpret_cast<const float4*>(p);
}
__device__ inline float2 load2(const float* p) {
  return *reinterpret_cast<const float2*>(p);
}
__device__ inline int2 load2(const int* p) {
  return *reinterpret_cast<const int2*>(p);
}
__device__ inline int4 load4(const int* p) {
  return *reinterpret_cast<const int4*>(p);
}
__device__ inline void store2(float* p, float2 v) {
  *reinterpret_cast<float2*>(p) = v;
}
__device__ inline void store2(int* p, int2 v) {
  *reinterpret_cast<int2*>(p) = v;
}
__device__ inline void store4(float* p, float4 v) {
  *reinterpret_cast<float4*>(p) = v;
}
__device__ inline void write4(float* p, float4 v) {
  asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)), "f"(v.x), "f"(v.y),
               "f"(v.z), "f"(v.w)
               : "memory");
}

/// An array's element, by its place in bytes: where places are added up, one instruction less.
__device__ inline float load_at_byte(Shared<float> p, int place) {
  return *reinterpret_cast<const float*>(reinterpret_cast<const unsigned char*>(p) + place);
}

__device__ inline void sync_block() {
  __syncthreads();
}
__device__ inline void sync_warp() {
  __syncwarp();
}
/// Waits for the kThreads neighbours that the thread is one of, whole warps; at most 15 such groups to a block.
template <int kThreads>
__device__ void sync_group() {
  const unsigned barrier = 1 + threadIdx.x / kThreads;  // 0 is the block's
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "n"(kThreads) : "memory");
}

inline constexpr unsigned whole_warp = 0xffffffffU;
template <class T>
__device__ T shuffle(T value, int lane) {
  return __shfl_sync(whole_warp, value, lane);
}
template <class T>
__device__ T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(whole_warp, value, mask);
}
template <class T>
__device__ T shuffle_down(T value, int delta) {
  return __shfl_down_sync(whole_warp, value, static_cast<unsigned>(delta));
}

__device__ inline void copy_async(float* shared, const float* device) {
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(device) : "memory");
}
__device__ inline void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kLeft>
__device__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

/// Adds one to a counter in device memory, or sets it to 0 where it is `most`; what it was before. All blocks of the
/// grid see one order of the arrivals, and whoever arrives later sees what was written before the earlier ones.
__device__ inline unsigned count_arrival(unsigned* counter, unsigned most) {
  unsigned before;
  asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(__cvta_generic_to_global(counter)), "r"(most)
               : "memory");
  return before;
}

/// Every kernel's first statement: waits until what was queued before is done and seen, and lets what is queued next be
/// made ready meanwhile, where the GPU can (programmatic dependent launch, sm_90).
__device__ inline void after_predecessor() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

template <class Pointer>
__device__ void move_bytes(Pointer& p, int64_t bytes) {
  using Element = std::remove_reference_t<decltype(*p)>;
  using Byte = std::conditional_t<std::is_const_v<Element>, const unsigned char, unsigned char>;
  p = reinterpret_cast<Element*>(reinterpret_cast<Byte*>(p) + bytes);
}
template <class... Pointers>
__device__ void to_lane(const LaneStrides& lanes, Pointers&... p) {
  const int64_t bytes = blockIdx.z * lanes.memory;
  (move_bytes(p, bytes), ...);
}
template <class Pointer>
__device__ void scratch_to_lane(const LaneStrides& lanes, Pointer& p) {
  move_bytes(p, blockIdx.z * lanes.scratch);
}
template <class First, class... Pointers>
__device__ int64_t lane_offset(const LaneStrides& lanes, First /*p*/, Pointers... /*p*/) {
  return blockIdx.z * (lanes.memory / static_cast<int64_t>(sizeof(std::remove_pointer_t<First>)));
}

/// To tf32's 10 bits of mantissa, ties away from zero, once mma_tf32 has dropped the bits below, which are left. NaN
/// and infinity stay.
__device__ inline float to_tf32(float x) {
  uint32_t bits = __float_as_uint(x);
  asm("{.reg .pred p; testp.finite.f32 p, %1; @p add.u32 %0, %0, 4096;}" : "+r"(bits) : "f"(x));  // half a unit
  return __uint_as_float(bits);
}

/// The same of a number that is not negative, or the NaN that arithmetic makes: on sm_90 one instruction. Infinity gets
/// bits below, and is infinity again without_tail.
__device__ inline float not_negative_to_tf32(float x) {
  constexpr uint32_t half_a_unit = 1U << 12, largest = 0x7fffffffU;  // a NaN stays
  return __uint_as_float(__viaddmin_u32(__float_as_uint(x), half_a_unit, largest));
}

/// 1 / x of a normal number, to an ulp.
__device__ inline float reciprocal(float x) {
  float out;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}

/// What mma_tf32 makes of to_tf32's result.
__device__ inline float without_tail(float x) {
  constexpr uint32_t kept = 0xffffe000U;
  return __uint_as_float(__float_as_uint(x) & kept);
}

/// d += a b, of values as of_a, of_b and of_sums say (fragments.h). A and B must be tf32 already (to_tf32).
__device__ inline void mma_tf32(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
        "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}

/// Two of mma_tf32's products in one, a and b rounded to bf16 (nearest, ties to even) on the way: the first product's
/// fragments, then the second's.
__device__ inline void mma_bf16(float (&d)[4], const float (&a0)[4], const float (&a1)[4], const float (&b0)[2],
                                const float (&b1)[2]) {
  const auto pack = [](float low, float high) {
    uint32_t out;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
    return out;
  };
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(pack(a0[constant<bf16_of_a(0).i>], a0[constant<bf16_of_a(1).i>])),
        "r"(pack(a0[constant<bf16_of_a(2).i>], a0[constant<bf16_of_a(3).i>])),
        "r"(pack(a1[constant<bf16_of_a(4).i>], a1[constant<bf16_of_a(5).i>])),
        "r"(pack(a1[constant<bf16_of_a(6).i>], a1[constant<bf16_of_a(7).i>])),
        "r"(pack(b0[constant<bf16_of_b(0).i>], b0[constant<bf16_of_b(1).i>])),
        "r"(pack(b1[constant<bf16_of_b(2).i>], b1[constant<bf16_of_b(3).i>])));
}

}  // namespace evenflow::kernels::cuda
