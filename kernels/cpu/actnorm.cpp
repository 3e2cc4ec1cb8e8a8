#include "kernels/actnorm.h"

#include <algorithm>
#include <cmath>

#include "kernels/operations.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/actnorm.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// y = x * scale + shift over one plane.
void scale_shift(const float* x, float scale, float shift, int64_t count, float* y) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto vscale = hn::Set(d, scale);
  const auto vshift = hn::Set(d, shift);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::MulAdd(hn::LoadU(d, x + i), vscale, vshift), d, y + i);
  }
  for (; i < count; ++i) {
    y[i] = x[i] * scale + shift;
  }
}

// dx = dy * scale; returns the sums of dy and of dy * y.
void scale_and_sums(const float* y, const float* dy, float scale, int64_t count, float* dx, double* sums) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto vscale = hn::Set(d, scale);
  // Lanes of at most `run` vectors in float32, their totals in float64: bounded rounding for any map.
  constexpr int64_t run = 64;
  sums[0] = sums[1] = 0;
  int64_t i = 0;
  while (i + lanes <= count) {
    auto sum_dy = hn::Zero(d);
    auto sum_dyy = hn::Zero(d);
    const int64_t last = std::min(count - lanes + 1, i + run * lanes);
    for (; i < last; i += lanes) {
      const auto g = hn::LoadU(d, dy + i);
      sum_dy = hn::Add(sum_dy, g);
      sum_dyy = hn::MulAdd(g, hn::LoadU(d, y + i), sum_dyy);
      hn::StoreU(hn::Mul(g, vscale), d, dx + i);
    }
    sums[0] += hn::GetLane(hn::SumOfLanes(d, sum_dy));
    sums[1] += hn::GetLane(hn::SumOfLanes(d, sum_dyy));
  }
  for (; i < count; ++i) {
    sums[0] += dy[i];
    sums[1] += static_cast<double>(dy[i]) * y[i];
    dx[i] = dy[i] * scale;
  }
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(scale_shift);
HWY_EXPORT(scale_and_sums);

void run(Stream&, const ActnormForward& task) {
  const ConstMap& x = task.x;
  for (int64_t c = 0; c < x.c; ++c) {
    const float scale = std::exp(task.parameters.log_scale[c]);
    for (int64_t n = 0; n < x.n; ++n) {
      HWY_DYNAMIC_DISPATCH(scale_shift)
      (x.sample(n) + c * x.pixels(), scale, task.parameters.bias[c] * scale, x.pixels(),
       task.y.sample(n) + c * task.y.pixels());
    }
  }
}

void run(Stream&, const ActnormInverse& task) {
  const ConstMap& y = task.y;
  for (int64_t c = 0; c < y.c; ++c) {
    const float scale = std::exp(-task.parameters.log_scale[c]);
    for (int64_t n = 0; n < y.n; ++n) {
      HWY_DYNAMIC_DISPATCH(scale_shift)
      (y.sample(n) + c * y.pixels(), scale, -task.parameters.bias[c], y.pixels(),
       task.x.sample(n) + c * task.x.pixels());
    }
  }
}

void run(Stream&, const ActnormBackward& task) {
  const ConstMap& y = task.y;
  for (int64_t c = 0; c < y.c; ++c) {
    const float scale = std::exp(task.parameters.log_scale[c]);
    double dbias = 0;
    double dlog_scale = 0;
    for (int64_t n = 0; n < y.n; ++n) {
      double sums[2];
      HWY_DYNAMIC_DISPATCH(scale_and_sums)
      (y.sample(n) + c * y.pixels(), task.dy.sample(n) + c * y.pixels(), scale, y.pixels(),
       task.dx.sample(n) + c * y.pixels(), sums);
      dbias += sums[0] * scale;
      dlog_scale += sums[1];
    }
    task.gradients.bias[c] += static_cast<float>(dbias);
    task.gradients.log_scale[c] += static_cast<float>(dlog_scale);
  }
}

void run(Stream&, const ActnormInitialise& task) {
  const ConstMap& x = task.x;
  const double count = static_cast<double>(x.n * x.pixels());
  for (int64_t c = 0; c < x.c; ++c) {
    const auto sum_over = [&](auto term) {
      double sum = 0;
      for (int64_t n = 0; n < x.n; ++n) {
        const float* plane = x.sample(n) + c * x.pixels();
        for (int64_t i = 0; i < x.pixels(); ++i) {
          sum += term(plane[i]);
        }
      }
      return sum / count;
    };
    const double mean = sum_over([](double value) { return value; });
    const double std = std::sqrt(sum_over([&](double value) { return (value - mean) * (value - mean); }));
    task.bias[c] = static_cast<float>(-mean);
    task.log_scale[c] = static_cast<float>(-std::log(std::max(std, 1e-3) + 1e-6));
  }
}

}  // namespace evenflow::kernels::cpu
#endif
