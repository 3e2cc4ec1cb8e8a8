#include "kernels/adam.h"

#include "kernels/cpu/probe.h"
#include "kernels/operations.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adam.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void adam(const AdamFactors& a, const float* gradient, float* parameter, float* m, float* v, int64_t count) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto beta1 = hn::Set(d, a.beta1);
  const auto beta2 = hn::Set(d, a.beta2);
  const auto rest1 = hn::Set(d, a.rest1);
  const auto rest2 = hn::Set(d, a.rest2);
  const auto gradient_scale = hn::Set(d, a.gradient_scale);
  const auto rate = hn::Set(d, a.rate);
  const auto correction2 = hn::Set(d, a.correction2);
  const auto epsilon = hn::Set(d, a.epsilon);
  const auto update = [&](auto g0, auto p, auto m0, auto v0, auto& m1, auto& v1) HWY_ATTR {
    const auto g = hn::Mul(g0, gradient_scale);
    m1 = hn::MulAdd(beta1, m0, hn::Mul(rest1, g));
    v1 = hn::MulAdd(beta2, v0, hn::Mul(rest2, hn::Mul(g, g)));
    return hn::Sub(p, hn::Div(hn::Mul(rate, m1), hn::Add(hn::Sqrt(hn::Mul(v1, correction2)), epsilon)));
  };
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto m1 = hn::Zero(d);
    auto v1 = hn::Zero(d);
    hn::StoreU(update(hn::LoadU(d, gradient + i), hn::LoadU(d, parameter + i), hn::LoadU(d, m + i), hn::LoadU(d, v + i),
                      m1, v1),
               d, parameter + i);
    hn::StoreU(m1, d, m + i);
    hn::StoreU(v1, d, v + i);
  }
  for (; i < count; ++i) {
    auto m1 = hn::Zero(d);
    auto v1 = hn::Zero(d);
    parameter[i] = hn::GetLane(
        update(hn::Set(d, gradient[i]), hn::Set(d, parameter[i]), hn::Set(d, m[i]), hn::Set(d, v[i]), m1, v1));
    m[i] = hn::GetLane(m1);
    v[i] = hn::GetLane(v1);
  }
}

const char* target_name() {
  return HWY_TARGET == HWY_AVX3 ? "AVX-512" : hwy::TargetName(HWY_TARGET);  // Highway says AVX3
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(adam);
HWY_EXPORT(target_name);

void run(Stream&, const AdamUpdate& task) {
  HWY_DYNAMIC_DISPATCH(adam)
  (adam_factors(task.settings), task.gradient.data, task.parameter.data, task.m.data, task.v.data, task.parameter.size);
}

const char* instruction_set() {
  return HWY_DYNAMIC_DISPATCH(target_name)();
}

}  // namespace evenflow::kernels::cpu
#endif
