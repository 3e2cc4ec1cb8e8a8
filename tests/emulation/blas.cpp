// Plain loops for kernels/cuda/blas.h, with float64 sums. Every precision computes alike.
#include "kernels/cuda/blas.h"

#include "cuda_emulation.h"

namespace evenflow::kernels::cuda {

void multiply(Stream& stream, const BatchedProduct& s, const float* a, const float* b, float* c) {
  emulation::run_later(stream, [=] {
    for (int64_t batch = 0; batch < s.batch; ++batch) {
      for (int64_t i = 0; i < s.rows; ++i) {
        for (int64_t j = 0; j < s.columns; ++j) {
          float& out = c[batch * s.stride_c + i * s.columns + j];
          double sum = s.add ? out : 0.0;
          for (int64_t k = 0; k < s.inner; ++k) {
            const float left = a[batch * s.stride_a + (s.transpose_a ? k * s.rows + i : i * s.inner + k)];
            const float right = b[batch * s.stride_b + (s.transpose_b ? j * s.inner + k : k * s.columns + j)];
            sum += static_cast<double>(left) * right;
          }
          out = static_cast<float>(sum);
        }
      }
    }
  });
}

}  // namespace evenflow::kernels::cuda
