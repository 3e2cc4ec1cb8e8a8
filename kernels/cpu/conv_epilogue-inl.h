// What a convolution does with an output before it stores it (ConvEpilogue). Included once per instruction set.
#if defined(EVENFLOW_KERNELS_CPU_CONV_EPILOGUE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENFLOW_KERNELS_CPU_CONV_EPILOGUE_INL_H
#undef EVENFLOW_KERNELS_CPU_CONV_EPILOGUE_INL_H
#else
#define EVENFLOW_KERNELS_CPU_CONV_EPILOGUE_INL_H
#endif

#include <hwy/highway.h>

#include "kernels/cpu/conv.h"

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {

/// `gate` is read by ConvEpilogue::gate alone.
template <ConvEpilogue kEpilogue, class D, class V>
HWY_INLINE V finish(D d, V value, V scale, const float* gate) {
  namespace hn = hwy::HWY_NAMESPACE;
  if constexpr (kEpilogue == ConvEpilogue::scale) {
    return hn::Mul(value, scale);
  } else if constexpr (kEpilogue == ConvEpilogue::relu) {
    return hn::IfThenZeroElse(hn::Lt(value, hn::Zero(d)), value);  // not Max, which may lose a NaN
  } else {
    return hn::IfThenElseZero(hn::Gt(hn::LoadU(d, gate), hn::Zero(d)), value);
  }
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
