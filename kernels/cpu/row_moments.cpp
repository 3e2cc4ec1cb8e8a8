#include "kernels/row_moments.h"

#include <array>
#include <cmath>

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {
namespace {

struct Moments {
  double mean, root_mean_square;
};

Moments moments_of(const float* row, int64_t width) {
  // Side by side, so that the compiler may keep them in one register each.
  constexpr int64_t lanes = 4;
  std::array<double, lanes> sum{}, squares{};
  int64_t i = 0;
  for (; i + lanes <= width; i += lanes) {
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const double value = row[i + lane];
      sum[static_cast<size_t>(lane)] += value;
      squares[static_cast<size_t>(lane)] += value * value;
    }
  }
  for (; i < width; ++i) {
    const double value = row[i];
    sum[0] += value;
    squares[0] += value * value;
  }
  const auto length = static_cast<double>(width);
  return {((sum[0] + sum[1]) + (sum[2] + sum[3])) / length,
          std::sqrt(((squares[0] + squares[1]) + (squares[2] + squares[3])) / length)};
}

}  // namespace

void run(Stream&, const RowMoments& task) {
  const ConstMap& z = task.z;
  const int64_t rows = z.c * z.h;
  for (int64_t n = 0; n < z.n; ++n) {
    float* const mine = task.moments.data + n * task.stride;
    for (int64_t row = 0; row < rows; ++row) {
      const Moments moments = moments_of(z.sample(n) + row * z.w, z.w);
      mine[row] = static_cast<float>(moments.mean);
      mine[rows + row] = static_cast<float>(moments.root_mean_square);
    }
  }
}

}  // namespace evenflow::kernels::cpu
