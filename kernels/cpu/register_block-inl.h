// Blocks of sums that stay in registers. Included once per instruction set.
#if defined(EVENFLOW_KERNELS_CPU_REGISTER_BLOCK_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENFLOW_KERNELS_CPU_REGISTER_BLOCK_INL_H
#undef EVENFLOW_KERNELS_CPU_REGISTER_BLOCK_INL_H
#else
#define EVENFLOW_KERNELS_CPU_REGISTER_BLOCK_INL_H
#endif

#include <cstdint>
#include <type_traits>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {

#undef EVENFLOW_BODY
#define EVENFLOW_BODY HWY_ATTR __attribute__((always_inline))

/// Calls body with 0, 1, ... as compile-time numbers. Register blocks need it: arrays of vectors that a loop indexes
/// before the compiler unrolls it lie in memory, at half the speed.
template <int kCount, class Body>
HWY_INLINE void repeat(const Body& body) {
  if constexpr (kCount > 0) {
    repeat<kCount - 1>(body);
    body(std::integral_constant<int, kCount - 1>());
  }
}

#if HWY_TARGET != HWY_SCALAR
/// Adds the 128-bit blocks of a vector.
template <class D, class V>
HWY_INLINE auto sum_blocks(D d, V v) {
  if constexpr (hwy::HWY_NAMESPACE::MaxLanes(d) == 4) {
    return v;
  } else {
    const hwy::HWY_NAMESPACE::Half<D> half;
    return sum_blocks(
        half, hwy::HWY_NAMESPACE::Add(hwy::HWY_NAMESPACE::LowerHalf(half, v), hwy::HWY_NAMESPACE::UpperHalf(half, v)));
  }
}
#endif

/// Has a value that several operations use loaded once: gcc makes the load an operand of each of two multiply-adds.
template <class V>
HWY_INLINE void keep_in_register(V& v) {
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
  __asm__("" : "+v"(v.raw));
#elif HWY_TARGET <= HWY_SSSE3 && HWY_ARCH_X86
  __asm__("" : "+x"(v.raw));
#else
  (void)v;
#endif
}

/// The four sums over lanes, at once, in half the shuffles of one by one.
template <class D, class V>
HWY_INLINE void sums_of_lanes(D d, V a, V b, V c, V e, float* sums) {
  namespace hn = hwy::HWY_NAMESPACE;
#if HWY_TARGET == HWY_SCALAR
  (void)d;
  sums[0] = hn::GetLane(a);
  sums[1] = hn::GetLane(b);
  sums[2] = hn::GetLane(c);
  sums[3] = hn::GetLane(e);
#else
  const hn::Repartition<uint64_t, D> d64;
  const V ab = hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
  const V ce = hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e));
  const auto ab64 = hn::BitCast(d64, ab);
  const auto ce64 = hn::BitCast(d64, ce);
  const V all = hn::Add(hn::BitCast(d, hn::InterleaveLower(d64, ab64, ce64)),
                        hn::BitCast(d, hn::InterleaveUpper(d64, ab64, ce64)));
  hn::StoreU(sum_blocks(d, all), hn::FixedTag<float, 4>(), sums);
#endif
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
