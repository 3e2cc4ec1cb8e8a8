#include <cmath>

#include "kernels/cpu/ops.h"

#ifndef EVENFLOW_ADAM_FACTORS  // this file is read once per instruction set
#define EVENFLOW_ADAM_FACTORS
namespace evenflow::kernels::cpu {
struct AdamFactors {
  float gradient_scale, beta1, beta2, rest1, rest2, rate, correction2, epsilon;
};
}  // namespace evenflow::kernels::cpu
#endif

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

void add_to(const float* in, int64_t count, float* out) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, out + i), hn::LoadU(d, in + i)), d, out + i);
  }
  for (; i < count; ++i) out[i] += in[i];
}

double sum_of_squares(const float* x, int64_t count) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> f;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::PromoteTo(d, hn::LoadU(f, x + i));
    sum = hn::MulAdd(value, value, sum);
  }
  double total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < count; ++i) total += static_cast<double>(x[i]) * x[i];
  return total;
}

const char* target_name() {
  return hwy::TargetName(HWY_TARGET);
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(adam);
HWY_EXPORT(add_to);
HWY_EXPORT(sum_of_squares);
HWY_EXPORT(target_name);

void adam_update(const AdamStep& settings, Array<const float> gradient, Array<float> parameter, Array<float> m,
                 Array<float> v) {
  const double t = static_cast<double>(settings.step);
  const AdamFactors factors{.gradient_scale = static_cast<float>(settings.gradient_scale),
                            .beta1 = static_cast<float>(settings.beta1),
                            .beta2 = static_cast<float>(settings.beta2),
                            .rest1 = static_cast<float>(1.0 - settings.beta1),
                            .rest2 = static_cast<float>(1.0 - settings.beta2),
                            .rate = static_cast<float>(settings.learning_rate / (1.0 - std::pow(settings.beta1, t))),
                            .correction2 = static_cast<float>(1.0 / (1.0 - std::pow(settings.beta2, t))),
                            .epsilon = static_cast<float>(settings.epsilon)};
  HWY_DYNAMIC_DISPATCH(adam)(factors, gradient.data, parameter.data, m.data, v.data, parameter.size);
}

void sum_rows(Array<const float> in, int64_t rows, int64_t row_stride, Array<float> out) {
  for (int64_t j = 0; j < out.size; ++j) out[j] = rows > 0 ? in[j] : 0.0F;
  for (int64_t row = 1; row < rows; ++row) {
    HWY_DYNAMIC_DISPATCH(add_to)(in.data + row * row_stride, out.size, out.data);
  }
}

double squared_norm(Array<const float> x) {
  return HWY_DYNAMIC_DISPATCH(sum_of_squares)(x.data, x.size);
}

const char* instruction_set() {
  return HWY_DYNAMIC_DISPATCH(target_name)();
}

}  // namespace evenflow::kernels::cpu
#endif
