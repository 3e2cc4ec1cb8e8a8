// Linear equations in float64, by another road than the program's.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

namespace evenflow::tests {

/// Solves A y = b by elimination with pivoting.
inline std::vector<double> solve(std::vector<std::vector<double>> a, std::vector<double> b) {
  const size_t d = b.size();
  for (size_t c = 0; c < d; ++c) {
    size_t pivot = c;
    for (size_t r = c; r < d; ++r) {
      pivot = std::abs(a[r][c]) > std::abs(a[pivot][c]) ? r : pivot;
    }
    std::swap(a[c], a[pivot]);
    std::swap(b[c], b[pivot]);
    for (size_t r = c + 1; r < d; ++r) {
      const double factor = a[r][c] / a[c][c];
      for (size_t k = c; k < d; ++k) {
        a[r][k] -= factor * a[c][k];
      }
      b[r] -= factor * b[c];
    }
  }
  for (size_t c = d; c-- > 0;) {
    for (size_t k = c + 1; k < d; ++k) {
      b[c] -= a[c][k] * b[k];
    }
    b[c] /= a[c][c];
  }
  return b;
}

}  // namespace evenflow::tests
