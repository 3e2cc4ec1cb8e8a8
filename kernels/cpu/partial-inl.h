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
#if HWY_TARGET <= HWY_AVX3  // masks are as good as free; AVX2's are slow to store by
  return hwy::HWY_NAMESPACE::MaskedLoad(hwy::HWY_NAMESPACE::FirstN(d, static_cast<size_t>(count)), d, from);
#else
  HWY_ALIGN float lanes[hwy::HWY_NAMESPACE::MaxLanes(d)] = {};
  std::memcpy(lanes, from, static_cast<size_t>(count) * sizeof(float));
  return hwy::HWY_NAMESPACE::Load(d, lanes);
#endif
}

/// The first `count` lanes; nothing else is written.
template <class D, class V>
HWY_INLINE void store_partial(V v, D d, float* to, int64_t count) {
#if HWY_TARGET <= HWY_AVX3
  hwy::HWY_NAMESPACE::BlendedStore(v, hwy::HWY_NAMESPACE::FirstN(d, static_cast<size_t>(count)), d, to);
#else
  HWY_ALIGN float lanes[hwy::HWY_NAMESPACE::MaxLanes(d)];
  hwy::HWY_NAMESPACE::Store(v, d, lanes);
  std::memcpy(to, lanes, static_cast<size_t>(count) * sizeof(float));
#endif
}

/// run(d) with the vectors for rows of so many pixels: AVX-512's halves where they hold a row.
template <class Run>
HWY_INLINE auto with_row_vectors(int64_t width, const Run& run) {
#if HWY_TARGET <= HWY_AVX3
  if (width <= 8) {
    return run(hwy::HWY_NAMESPACE::CappedTag<float, 8>());
  }
#endif
  (void)width;
  return run(hwy::HWY_NAMESPACE::ScalableTag<float>());
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
