#include "kernels/invconv_weight.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cpu {
namespace {

/// A square float64 matrix over scratch memory that each thread keeps, so that no step allocates.
struct Matrix {
  double* data;
  int64_t c;
  double& operator()(int64_t i, int64_t j) const { return data[i * c + j]; }
};

template <int kSlot>
Matrix scratch(int64_t c) {
  thread_local std::vector<double> memory;
  if (static_cast<int64_t>(memory.size()) < c * c) {
    memory.resize(static_cast<size_t>(c * c));
  }
  std::fill_n(memory.begin(), c * c, 0.0);
  return {memory.data(), c};
}

/// Unit lower triangle and upper triangle with its signed diagonal.
void unpack_factors(const PluParameters& p, const Matrix& lower, const Matrix& upper) {
  const int64_t c = lower.c;
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      lower(i, j) = p.lower[i * c + j];
    }
    lower(i, i) = 1.0;
    upper(i, i) = p.sign[i] * std::exp(static_cast<double>(p.log_s[i]));
    for (int64_t j = i + 1; j < c; ++j) {
      upper(i, j) = p.upper[i * c + j];
    }
  }
}

/// Solves L U x = b in place (b = column `column` of `x`).
void solve_column(const Matrix& lower, const Matrix& upper, const Matrix& x, int64_t column) {
  const int64_t c = x.c;
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      x(i, column) -= lower(i, j) * x(j, column);
    }
  }
  for (int64_t i = c - 1; i >= 0; --i) {
    for (int64_t j = i + 1; j < c; ++j) {
      x(i, column) -= upper(i, j) * x(j, column);
    }
    x(i, column) /= upper(i, i);
  }
}

void check_pivot(double pivot, int64_t index, int64_t step) {
  if (std::isfinite(pivot) && std::abs(pivot) > 0.0) {
    return;
  }
  throw SingularError("pivot " + std::to_string(index) + " of the 1x1 convolution's LU factorisation is " +
                          (std::isfinite(pivot) ? "zero" : "not finite"),
                      step);
}

// Returns log|det W|.
double assemble_plu(const PluAssembly& task, int64_t step) {
  const PluParameters& p = task.parameters;
  const Array<float> weight = task.weight;
  const Array<float> inverse = task.inverse;
  const int64_t c = p.log_s.size;
  const Matrix lower = scratch<0>(c);
  const Matrix upper = scratch<1>(c);
  const Matrix x = scratch<2>(c);
  unpack_factors(p, lower, upper);
  double log_det = 0;
  for (int64_t i = 0; i < c; ++i) {
    check_pivot(upper(i, i), i, step);
    log_det += p.log_s[i];
  }
  for (int64_t i = 0; i < c; ++i) {
    const int64_t row = p.permutation[i];
    for (int64_t j = 0; j < c; ++j) {
      double sum = 0;
      for (int64_t k = 0; k <= std::min(row, j); ++k) {
        sum += lower(row, k) * upper(k, j);
      }
      weight[i * c + j] = static_cast<float>(sum);
    }
    x(row, i) = 1.0;  // column i of P^T
  }
  for (int64_t j = 0; j < c; ++j) {
    solve_column(lower, upper, x, j);
    for (int64_t i = 0; i < c; ++i) {
      inverse[i * c + j] = static_cast<float>(x(i, j));
    }
  }
  return log_det;
}

double assemble_dense(const DenseAssembly& task, int64_t step) {
  const Array<const float> weight = task.weight;
  const Array<float> inverse = task.inverse;
  const int64_t c = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(weight.size))));
  const Matrix lower = scratch<0>(c);
  const Matrix upper = scratch<1>(c);
  const Matrix x = scratch<2>(c);
  for (int64_t i = 0; i < c * c; ++i) {
    upper.data[i] = weight[i];
  }
  for (int64_t i = 0; i < c; ++i) {
    x(i, i) = 1.0;
  }
  double log_det = 0;
  // Partial pivoting: rows of `upper` and of the right-hand side are swapped together.
  for (int64_t k = 0; k < c; ++k) {
    int64_t best = k;
    for (int64_t i = k + 1; i < c; ++i) {
      if (std::abs(upper(i, k)) > std::abs(upper(best, k))) {
        best = i;
      }
    }
    if (best != k) {
      for (int64_t j = 0; j < c; ++j) {
        std::swap(upper(k, j), upper(best, j));
        std::swap(x(k, j), x(best, j));
        if (j < k) {
          std::swap(lower(k, j), lower(best, j));
        }
      }
    }
    check_pivot(upper(k, k), k, step);
    log_det += std::log(std::abs(upper(k, k)));
    lower(k, k) = 1.0;
    for (int64_t i = k + 1; i < c; ++i) {
      lower(i, k) = upper(i, k) / upper(k, k);
      upper(i, k) = 0.0;
      for (int64_t j = k + 1; j < c; ++j) {
        upper(i, j) -= lower(i, k) * upper(k, j);
      }
    }
  }
  for (int64_t j = 0; j < c; ++j) {
    solve_column(lower, upper, x, j);
    for (int64_t i = 0; i < c; ++i) {
      inverse[i * c + j] = static_cast<float>(x(i, j));
    }
  }
  return log_det;
}

void backward(const PluBackward& step) {
  const PluParameters& p = step.parameters;
  const Array<const float> dweight = step.dweight;
  const PluGradients& d = step.gradients;
  const int64_t c = p.log_s.size;
  const Matrix lower = scratch<0>(c);
  const Matrix upper = scratch<1>(c);
  const Matrix da = scratch<2>(c);  // d (L U): dW with its rows put back
  unpack_factors(p, lower, upper);
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      da(p.permutation[i], j) = dweight[i * c + j];
    }
  }
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      double sum = 0;
      for (int64_t k = j; k < c; ++k) {
        sum += da(i, k) * upper(j, k);
      }
      d.lower[i * c + j] += static_cast<float>(sum);
    }
    for (int64_t j = i; j < c; ++j) {
      double sum = 0;
      for (int64_t k = i; k < c; ++k) {
        sum += lower(k, i) * da(k, j);
      }
      if (j == i) {
        d.log_s[i] += static_cast<float>(sum * upper(i, i) + step.log_det_gradient);
      } else {
        d.upper[i * c + j] += static_cast<float>(sum);
      }
    }
  }
}

void backward(const DenseBackward& step) {
  const int64_t c = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(step.inverse.size))));
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      step.gradient[i * c + j] +=
          static_cast<float>(step.dweight[i * c + j] + step.log_det_gradient * step.inverse[j * c + i]);
    }
  }
}

}  // namespace

void run(Stream&, const InvconvAssemblePlu& task) {
  for (size_t i = 0; i < task.steps.size(); ++i) {
    task.log_det.data[i] = assemble_plu(task.steps[i], static_cast<int64_t>(i));
  }
}

void run(Stream&, const InvconvAssembleDense& task) {
  for (size_t i = 0; i < task.steps.size(); ++i) {
    task.log_det.data[i] = assemble_dense(task.steps[i], static_cast<int64_t>(i));
  }
}

void run(Stream&, const InvconvPluBackward& task) {
  for (const PluBackward& step : task.steps) {
    backward(step);
  }
}

void run(Stream&, const InvconvDenseBackward& task) {
  for (const DenseBackward& step : task.steps) {
    backward(step);
  }
}

}  // namespace evenflow::kernels::cpu
