#include "kernels/cpu/window_noise.h"

#include <algorithm>

#include "kernels/random.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/window_noise.cpp"
#include <hwy/foreach_target.h>

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t pairs_at_once = 64;

// normal_pair (random.h) of as many bits as there are lanes, halved into their low and high 32, side by side into
// `out`.
template <class D>
HWY_INLINE void store_normal_pairs(D d, const uint32_t* low_bits, const uint32_t* high_bits, float* out) {
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const auto low = hn::Load(du, low_bits);
  const auto high = hn::Load(du, high_bits);
  const auto to_float = [&](auto integers) HWY_ATTR { return hn::ConvertTo(d, hn::BitCast(di, integers)); };
  const auto one = hn::Set(du, 1);
  const auto u = hn::Mul(to_float(hn::Add(hn::ShiftRight<8>(high), one)), hn::Set(d, 0x1.0p-24F));
  const auto radius = hn::Sqrt(hn::Mul(hn::Set(d, -2.0F), hn::Log(d, u)));
  const auto odd = hn::Sub(hn::Add(hn::ShiftLeft<1>(hn::ShiftRight<8>(low)), one), hn::Set(du, 1U << 24U));
  const auto angle = hn::Mul(to_float(odd), hn::Set(d, normal_pair_angle));
  const auto z = hn::Mul(angle, angle);
  const auto polynomial = [&](const NormalPairSeries& c) HWY_ATTR {
    return hn::MulAdd(hn::MulAdd(hn::Set(d, c.third), z, hn::Set(d, c.second)), z, hn::Set(d, c.first));
  };
  const auto sine = hn::MulAdd(hn::Mul(angle, z), polynomial(normal_pair_sine), angle);
  const auto cosine =
      hn::MulAdd(hn::Mul(z, z), polynomial(normal_pair_cosine), hn::NegMulAdd(hn::Set(d, 0.5F), z, hn::Set(d, 1.0F)));
  const auto turned = hn::MaskFromVec(hn::BitCast(d, hn::Sub(hn::Zero(du), hn::And(low, one))));
  const auto sign = hn::BitCast(d, hn::ShiftLeft<30>(hn::And(low, hn::Set(du, 2))));
  const auto across = hn::Xor(hn::Mul(radius, cosine), sign);
  const auto up = hn::Xor(hn::Mul(radius, sine), sign);
  hn::StoreInterleaved2(hn::IfThenElse(turned, hn::Neg(up), across), hn::IfThenElse(turned, across, up), d, out);
}

void add_noise(uint64_t key, float deviation, float* out, int64_t cells) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  HWY_ALIGN uint32_t low[pairs_at_once];
  HWY_ALIGN uint32_t high[pairs_at_once];
  HWY_ALIGN float noise[2 * pairs_at_once];
  for (int64_t first = 0; first < cells; first += 2 * pairs_at_once) {
    for (int64_t i = 0; i < pairs_at_once; ++i) {
      const uint64_t bits = mix_bits(key ^ static_cast<uint64_t>(first / 2 + i));
      low[i] = static_cast<uint32_t>(bits);
      high[i] = static_cast<uint32_t>(bits >> 32U);
    }
    for (int64_t i = 0; i < pairs_at_once; i += lanes) {
      store_normal_pairs(d, low + i, high + i, noise + 2 * i);
    }
    const int64_t count = std::min(2 * pairs_at_once, cells - first);
    for (int64_t i = 0; i < count; ++i) {
      out[first + i] += deviation * noise[i];
    }
  }
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(add_noise);

void add_window_noise(uint64_t key, float deviation, float* out, int64_t cells) {
  HWY_DYNAMIC_DISPATCH(add_noise)(key, deviation, out, cells);
}

}  // namespace evenflow::kernels::cpu
#endif
