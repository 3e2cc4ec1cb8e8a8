#include "kernels/reduce.h"

#include "kernels/operations.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/reduce.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void add_to(const float* in, int64_t count, float* out) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, out + i), hn::LoadU(d, in + i)), d, out + i);
  }
  for (; i < count; ++i) {
    out[i] += in[i];
  }
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
  for (; i < count; ++i) {
    total += static_cast<double>(x[i]) * x[i];
  }
  return total;
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(add_to);
HWY_EXPORT(sum_of_squares);

void run(Stream&, const SumRows& task) {
  const Array<float>& out = task.out;
  for (int64_t j = 0; j < out.size; ++j) {
    out[j] = task.rows > 0 ? task.in[j] : 0.0F;
  }
  for (int64_t row = 1; row < task.rows; ++row) {
    HWY_DYNAMIC_DISPATCH(add_to)(task.in.data + row * task.row_stride, out.size, out.data);
  }
}

void run(Stream&, const SquaredNorm& task) {
  task.out[0] = HWY_DYNAMIC_DISPATCH(sum_of_squares)(task.x.data, task.x.size);
}

}  // namespace evenflow::kernels::cpu
#endif
