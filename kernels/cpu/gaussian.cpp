#include "kernels/gaussian.h"

#include "kernels/operations.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gaussian.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sum of (z - mean), or of its square, in float64: half as many lanes, but no bound to watch.
template <bool kSquare>
double centred_sum(const float* z, double mean, int64_t count) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> f;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto vmean = hn::Set(d, mean);
  auto sum0 = hn::Zero(d);
  auto sum1 = hn::Zero(d);
  const auto add = [&](const float* at, auto sum) HWY_ATTR {
    const auto value = hn::Sub(hn::PromoteTo(d, hn::LoadU(f, at)), vmean);
    return kSquare ? hn::MulAdd(value, value, sum) : hn::Add(value, sum);
  };
  int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    sum0 = add(z + i, sum0);
    sum1 = add(z + i + lanes, sum1);
  }
  double total = hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
  for (; i < count; ++i) {
    const double value = z[i] - mean;
    total += kSquare ? value * value : value;
  }
  return total;
}

double sum(const float* z, int64_t count) {
  return centred_sum<false>(z, 0.0, count);
}
double centred_squares(const float* z, double mean, int64_t count) {
  return centred_sum<true>(z, mean, count);
}

// dz = scale * (z - shift)
void scaled_difference(const float* z, float shift, float scale, int64_t count, float* dz) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto vshift = hn::Set(d, shift);
  const auto vscale = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Mul(hn::Sub(hn::LoadU(d, z + i), vshift), vscale), d, dz + i);
  }
  for (; i < count; ++i) {
    dz[i] = (z[i] - shift) * scale;
  }
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(sum);
HWY_EXPORT(centred_squares);
HWY_EXPORT(scaled_difference);

void run(Stream&, const GaussianMoments& task) {
  const ConstMap& z = task.z;
  const int64_t parts = task.by_channel ? z.c : 1, count = z.c / parts * z.pixels();
  for (int64_t part = 0; part < parts; ++part) {
    for (int64_t n = 0; n < z.n; ++n) {
      const float* own = z.sample(n) + part * count;
      const double total = HWY_DYNAMIC_DISPATCH(sum)(own, count);
      task.sum[part * z.n + n] += total;
      task.centred_squares[part * z.n + n] +=
          HWY_DYNAMIC_DISPATCH(centred_squares)(own, total / static_cast<double>(count), count);
    }
  }
}

void run(Stream&, const GaussianSquares& task) {
  const ConstMap& z = task.z;
  const int64_t count = z.c * z.pixels();
  for (int64_t n = 0; n < z.n; ++n) {
    task.squares[n] += HWY_DYNAMIC_DISPATCH(centred_squares)(z.sample(n), 0.0, count);
  }
}

void run(Stream&, const GaussianBackward& task) {
  const ConstMap& z = task.z;
  const int64_t parts = task.by_channel ? z.c : 1, count = z.c / parts * z.pixels();
  for (int64_t part = 0; part < parts; ++part) {
    for (int64_t n = 0; n < z.n; ++n) {
      HWY_DYNAMIC_DISPATCH(scaled_difference)
      (z.sample(n) + part * count, static_cast<float>(task.shift[part * z.n + n]), static_cast<float>(task.scale),
       count, task.dz.sample(n) + part * count);
    }
  }
}

}  // namespace evenflow::kernels::cpu
#endif
