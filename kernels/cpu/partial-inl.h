// Vectors of which only the first lanes lie in memory: the end of a row. Included once per instruction set.
#if defined(EVENFLOW_KERNELS_CPU_PARTIAL_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENFLOW_KERNELS_CPU_PARTIAL_INL_H
#undef EVENFLOW_KERNELS_CPU_PARTIAL_INL_H
#else
#define EVENFLOW_KERNELS_CPU_PARTIAL_INL_H
#endif

#include <cstring>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {

/// The first `count` lanes, zeros behind; nothing else is read.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_partial(D d, const float* from, int64_t count) {
  HWY_ALIGN float lanes[hwy::HWY_NAMESPACE::MaxLanes(d)] = {};
  std::memcpy(lanes, from, static_cast<size_t>(count) * sizeof(float));
  return hwy::HWY_NAMESPACE::Load(d, lanes);
}

/// The first `count` lanes; nothing else is written.
template <class D, class V>
HWY_INLINE void store_partial(V v, D d, float* to, int64_t count) {
  HWY_ALIGN float lanes[hwy::HWY_NAMESPACE::MaxLanes(d)];
  hwy::HWY_NAMESPACE::Store(v, d, lanes);
  std::memcpy(to, lanes, static_cast<size_t>(count) * sizeof(float));
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
