// Plain loops for kernels/cuda/dnn.h, with float64 sums. Every precision computes alike.
#include "kernels/cuda/dnn.h"

#include <algorithm>
#include <vector>

#include "cuda_emulation.h"

namespace evenflow::kernels::cuda {
namespace {

/// Calls visit(sample, out channel, in channel, tap, y, x, source y, source x) where the source lies in the map.
template <class Visit>
void for_each_product(const Convolution& s, const Visit& visit) {
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t o = 0; o < s.out; ++o) {
      for (int64_t i = 0; i < s.in; ++i) {
        for (int64_t tap = 0; tap < 9; ++tap) {
          const int64_t dy = tap / 3 - 1;
          const int64_t dx = tap % 3 - 1;
          const int64_t weight = (o * s.in + i) * 9 + tap;
          for (int64_t y = std::max<int64_t>(0, -dy); y < std::min(s.height, s.height - dy); ++y) {
            for (int64_t x = std::max<int64_t>(0, -dx); x < std::min(s.width, s.width - dx); ++x) {
              visit(n * s.x_stride + (i * s.height + y + dy) * s.width + x + dx, weight,
                    n * s.y_stride + (o * s.height + y) * s.width + x);
            }
          }
        }
      }
    }
  }
}

}  // namespace

void convolve(Stream& stream, const Convolution& s, const float* x, const float* weight, float* y) {
  emulation::run_later(stream, [=] {
    std::vector<double> sums(static_cast<size_t>((s.n - 1) * s.y_stride + s.out * s.height * s.width));
    for_each_product(s, [&](int64_t from, int64_t w, int64_t to) {
      sums[static_cast<size_t>(to)] += static_cast<double>(x[from]) * weight[w];
    });
    for (int64_t n = 0; n < s.n; ++n) {
      for (int64_t i = n * s.y_stride; i < n * s.y_stride + s.out * s.height * s.width; ++i) {
        y[i] = static_cast<float>(sums[static_cast<size_t>(i)]);
      }
    }
  });
}

void convolve_backward_data(Stream& stream, const Convolution& s, const float* weight, const float* dy, float* dx) {
  emulation::run_later(stream, [=] {
    std::vector<double> sums(static_cast<size_t>((s.n - 1) * s.x_stride + s.in * s.height * s.width));
    for_each_product(s, [&](int64_t to, int64_t w, int64_t from) {
      sums[static_cast<size_t>(to)] += static_cast<double>(dy[from]) * weight[w];
    });
    for (int64_t n = 0; n < s.n; ++n) {
      for (int64_t i = n * s.x_stride; i < n * s.x_stride + s.in * s.height * s.width; ++i) {
        dx[i] = static_cast<float>(sums[static_cast<size_t>(i)]);
      }
    }
  });
}

void convolve_backward_weight(Stream& stream, const Convolution& s, const float* x, const float* dy, float* dweight) {
  emulation::run_later(stream, [=] {
    std::vector<double> sums(static_cast<size_t>(s.out * s.in * 9));
    for_each_product(s, [&](int64_t from, int64_t w, int64_t at) {
      sums[static_cast<size_t>(w)] += static_cast<double>(x[from]) * dy[at];
    });
    for (size_t i = 0; i < sums.size(); ++i) {
      dweight[i] = static_cast<float>(dweight[i] + sums[i]);
    }
  });
}

}  // namespace evenflow::kernels::cuda
