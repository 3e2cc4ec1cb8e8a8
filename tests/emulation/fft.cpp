// Plain loops in float64 for kernels/cuda/fft.h.
#include "kernels/cuda/fft.h"

#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "cuda_emulation.h"

namespace evenflow::kernels::cuda {
namespace {

// What a library works in is overwritten, as a library may.
constexpr int64_t workspace_bytes = 1024;

void transform(int n, const float* in, const std::vector<std::complex<double>>& root, float* out) {
  for (int64_t k = 0; k <= n / 2; ++k) {
    std::complex<double> sum = 0.0;
    for (int64_t i = 0; i < n; ++i) {
      sum += static_cast<double>(in[i]) * root[static_cast<size_t>(i * k % n)];
    }
    out[2 * k] = static_cast<float>(sum.real());
    out[2 * k + 1] = static_cast<float>(sum.imag());
  }
}

}  // namespace

int64_t real_fft_workspace_bytes(Stream&, const RealFft&) {
  return workspace_bytes;
}

void real_fft(Stream& stream, const RealFft& shape, const float* in, float* out, void* workspace) {
  emulation::run_later(stream, [=] {
    std::memset(workspace, 0xFF, static_cast<size_t>(workspace_bytes));
    std::vector<std::complex<double>> root;
    root.reserve(static_cast<size_t>(shape.n));
    for (int i = 0; i < shape.n; ++i) {
      root.push_back(std::polar(1.0, -2.0 * std::numbers::pi * i / shape.n));
    }
    for (int64_t row = 0; row < shape.batch; ++row) {
      transform(shape.n, in + row * shape.n, root, out + row * (shape.n + 2));
    }
  });
}

}  // namespace evenflow::kernels::cuda
