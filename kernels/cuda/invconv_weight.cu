// Grid: a block per flow step, tasks of up to 3840 bytes of steps to a launch.
// Traffic: 12 c^2 bytes of a step (factors in, W and W^-1 out), 16 c^2 back; the work between them lies in shared
// memory, up to 64 channels, else in the stream's scratch memory.
// Sums: float64, elimination column by column with all other elements at once, so each element's subtractions are in
// the order of the columns; log|det| by the block's tree.
#include "kernels/invconv_weight.h"

#include <algorithm>
#include <span>
#include <vector>

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/steps.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

// `inverse` holds the right-hand sides and becomes W^-1.
constexpr int most_shared_side = 64;
constexpr double not_a_number = __builtin_nan("");

/// A pivot's part in log|det|: NaN if it is none.
__device__ double log_pivot(double pivot, double log_magnitude) {
  return is_finite(pivot) && pivot != 0.0 ? log_magnitude : not_a_number;
}

// Solves U X = B in place; U's lower triangle is not read.
template <class Matrix>
__device__ void substitute_back(int c, Matrix upper, Matrix inverse, float* __restrict__ out) {
  for (int k = c - 1; k > 0; --k) {
    const double reciprocal = 1.0 / upper[k * c + k];
    for (int i = static_cast<int>(threadIdx.x); i < k * c; i += static_cast<int>(blockDim.x)) {
      const double solved = inverse[k * c + i % c] * reciprocal;
      inverse[i] -= upper[i / c * c + k] * solved;
    }
    sync_block();
  }
  for (int i = static_cast<int>(threadIdx.x); i < c * c; i += static_cast<int>(blockDim.x)) {
    out[i] = static_cast<float>(inverse[i] / upper[i / c * c + i / c]);
  }
}

template <class Matrix>
__device__ void assemble_plu(const PluAssembly& step, Matrix lower, Matrix upper, Matrix inverse, Shared<double> sums,
                             double* log_det) {
  const int c = static_cast<int>(step.parameters.log_s.size);
  const int threads = static_cast<int>(blockDim.x);
  const int thread = static_cast<int>(threadIdx.x);
  for (int at = thread; at < c * c; at += threads) {
    const int i = at / c;
    const int j = at % c;
    const double diagonal = i == j ? static_cast<double>(step.parameters.sign.data[i]) *
                                         exp(static_cast<double>(step.parameters.log_s.data[i]))
                                   : 0.0;
    lower[at] = i > j ? static_cast<double>(step.parameters.lower.data[at]) : 0.0;
    upper[at] = i < j ? static_cast<double>(step.parameters.upper.data[at]) : diagonal;
    // P^T: row permutation[j] has its 1 in column j.
    inverse[at] = step.parameters.permutation.data[j] == i ? 1.0 : 0.0;
  }
  double mine = 0;
  for (int i = thread; i < c; i += threads) {
    const auto log_s = static_cast<double>(step.parameters.log_s.data[i]);
    mine += log_pivot(static_cast<double>(step.parameters.sign.data[i]) * exp(log_s), log_s);
  }
  const double sum = block_sum(mine, sums);  // its barriers are the matrices' too
  if (thread == 0) {
    *log_det = sum;
  }
  for (int at = thread; at < c * c; at += threads) {
    const int row = step.parameters.permutation.data[at / c];
    const int column = at % c;
    double product = row <= column ? static_cast<double>(upper[row * c + column]) : 0.0;
    for (int k = 0; k < (row < column + 1 ? row : column + 1); ++k) {
      product += lower[row * c + k] * upper[k * c + column];
    }
    step.weight.data[at] = static_cast<float>(product);
  }
  for (int k = 0; k + 1 < c; ++k) {
    for (int i = thread; i < (c - k - 1) * c; i += threads) {
      const int row = k + 1 + i / c;
      const int column = i % c;
      inverse[row * c + column] -= lower[row * c + k] * inverse[k * c + column];
    }
    sync_block();
  }
  substitute_back(c, upper, inverse, step.inverse.data);
}

template <class Matrix>
__device__ void assemble_dense(const DenseAssembly& step, int c, Matrix upper, Matrix inverse, Shared<double> sums,
                               Shared<int> pivot_row, double* log_det) {
  const int threads = static_cast<int>(blockDim.x);
  const int thread = static_cast<int>(threadIdx.x);
  for (int at = thread; at < c * c; at += threads) {
    upper[at] = static_cast<double>(step.weight.data[at]);
    inverse[at] = at / c == at % c ? 1.0 : 0.0;
  }
  sync_block();
  for (int k = 0; k < c; ++k) {
    // The first of the largest magnitudes in column k; a NaN is never larger, and ends in a pivot of its own.
    if (thread < warp_size) {
      double largest = -1;
      int best = k;
      for (int i = k + thread; i < c; i += warp_size) {
        const double magnitude = fabs(static_cast<double>(upper[i * c + k]));
        if (magnitude > largest) {
          largest = magnitude;
          best = i;
        }
      }
      for (int mask = warp_size / 2; mask > 0; mask /= 2) {
        const double other = shuffle_xor(largest, mask);
        const int other_row = shuffle_xor(best, mask);
        if (other > largest || (other == largest && other_row < best)) {
          largest = other;
          best = other_row;
        }
      }
      if (thread == 0) {
        pivot_row[0] = best;
      }
    }
    sync_block();
    const int best = pivot_row[0];
    if (best != k) {
      for (int j = thread; j < c; j += threads) {
        const double upper_k = upper[k * c + j];
        const double inverse_k = inverse[k * c + j];
        upper[k * c + j] = upper[best * c + j];
        inverse[k * c + j] = inverse[best * c + j];
        upper[best * c + j] = upper_k;
        inverse[best * c + j] = inverse_k;
      }
    }
    sync_block();
    // Column k below the pivot keeps its factors' numerators: nothing reads them again but this step.
    const double reciprocal = 1.0 / upper[k * c + k];
    for (int i = thread; i < (c - k - 1) * c; i += threads) {
      const int row = k + 1 + i / c;
      const int column = i % c;
      const double factor = upper[row * c + k] * reciprocal;
      if (column > k) {
        upper[row * c + column] -= factor * upper[k * c + column];
      }
      inverse[row * c + column] -= factor * inverse[k * c + column];
    }
    sync_block();
  }
  double mine = 0;
  for (int i = thread; i < c; i += threads) {
    const double pivot = upper[i * c + i];
    mine += log_pivot(pivot, log(fabs(pivot)));
  }
  const double sum = block_sum(mine, sums);
  if (thread == 0) {
    *log_det = sum;
  }
  substitute_back(c, upper, inverse, step.inverse.data);
}

int64_t side_of(int64_t elements) {
  int64_t c = 0;
  while (c * c < elements) {
    ++c;
  }
  return c;
}
int64_t side_of(const PluAssembly& step) {
  return step.parameters.log_s.size;
}
/// With the side of its matrix, which is a root.
struct SidedAssembly {
  DenseAssembly assembly;
  int side;
};
int64_t side_of(const SidedAssembly& step) {
  return step.side;
}

/// Where large matrices live: `each` float64 elements per block.
struct Workspace {
  double* data = nullptr;
  int64_t each = 0;
};

__device__ void parameters_to_lane(const LaneStrides& lanes, PluParameters& p) {
  to_lane(lanes, p.permutation.data, p.lower.data, p.upper.data, p.log_s.data, p.sign.data);
}

template <bool kShared>
__global__ void invconv_assemble_plu_kernel(LaneStrides lanes, Steps<PluAssembly> steps, Workspace workspace,
                                            double* log_det) {
  after_predecessor();
  SharedMemory memory;
  PluAssembly step = steps.step[blockIdx.x];
  parameters_to_lane(lanes, step.parameters);
  to_lane(lanes, step.weight.data, step.inverse.data, log_det);
  const int elements = static_cast<int>(step.parameters.log_s.size * step.parameters.log_s.size);
  const Shared<double> sums = memory.take<double>(most_warps);
  if constexpr (kShared) {
    const Shared<double> lower = memory.take<double>(elements);
    const Shared<double> upper = memory.take<double>(elements);
    const Shared<double> inverse = memory.take<double>(elements);
    assemble_plu(step, lower, upper, inverse, sums, log_det + blockIdx.x);
  } else {
    scratch_to_lane(lanes, workspace.data);
    double* mine = workspace.data + blockIdx.x * workspace.each;
    assemble_plu(step, mine, mine + elements, mine + 2 * elements, sums, log_det + blockIdx.x);
  }
}

template <bool kShared>
__global__ void invconv_assemble_dense_kernel(LaneStrides lanes, Steps<SidedAssembly> steps, Workspace workspace,
                                              double* log_det) {
  after_predecessor();
  SharedMemory memory;
  DenseAssembly step = steps.step[blockIdx.x].assembly;
  to_lane(lanes, step.weight.data, step.inverse.data, log_det);
  const int c = steps.step[blockIdx.x].side;
  const Shared<double> sums = memory.take<double>(most_warps);
  const Shared<int> pivot_row = memory.take<int>(1);
  if constexpr (kShared) {
    const Shared<double> upper = memory.take<double>(c * c);
    const Shared<double> inverse = memory.take<double>(c * c);
    assemble_dense(step, c, upper, inverse, sums, pivot_row, log_det + blockIdx.x);
  } else {
    scratch_to_lane(lanes, workspace.data);
    double* mine = workspace.data + blockIdx.x * workspace.each;
    assemble_dense(step, c, mine, mine + c * c, sums, pivot_row, log_det + blockIdx.x);
  }
}

// Of d (L U) = P^T dW: row permutation[i] is dW's row i. dL = d(LU) U^T and dU = L^T d(LU), in their triangles. Every
// element is a sum over at most c terms that the first-level cache holds.
__device__ double upper_element(const PluParameters& p, int c, int i, int j) {
  if (i < j) {
    return static_cast<double>(p.upper.data[i * c + j]);
  }
  return static_cast<double>(p.sign.data[i]) * exp(static_cast<double>(p.log_s.data[i]));
}

__global__ void invconv_plu_backward_kernel(LaneStrides lanes, Steps<PluBackward> steps) {
  after_predecessor();
  PluBackward step = steps.step[blockIdx.x];
  parameters_to_lane(lanes, step.parameters);
  to_lane(lanes, step.dweight.data, step.gradients.lower.data, step.gradients.upper.data, step.gradients.log_s.data);
  const PluParameters& p = step.parameters;
  const int c = static_cast<int>(p.log_s.size);
  const float* dweight = step.dweight.data;
  for (int at = static_cast<int>(threadIdx.x); at < c * c; at += static_cast<int>(blockDim.x)) {
    // dL, of one row of dW.
    const int row = p.permutation.data[at / c];
    const int column = at % c;
    if (column < row) {
      double sum = static_cast<double>(dweight[at]) * upper_element(p, c, column, column);
      for (int k = column + 1; k < c; ++k) {
        sum += static_cast<double>(dweight[at / c * c + k]) * static_cast<double>(p.upper.data[column * c + k]);
      }
      step.gradients.lower.data[row * c + column] += static_cast<float>(sum);
    }
    // dU.
    const int i = at / c;
    const int j = column;
    if (j < i) {
      continue;
    }
    double sum = 0;
    for (int r = 0; r < c; ++r) {
      const int k = p.permutation.data[r];
      if (k < i) {
        continue;
      }
      const double lower = k == i ? 1.0 : static_cast<double>(p.lower.data[k * c + i]);
      sum += lower * static_cast<double>(dweight[r * c + j]);
    }
    if (j == i) {
      step.gradients.log_s.data[i] += static_cast<float>(sum * upper_element(p, c, i, i) + step.log_det_gradient);
    } else {
      step.gradients.upper.data[at] += static_cast<float>(sum);
    }
  }
}

__global__ void invconv_dense_backward_kernel(LaneStrides lanes, Steps<DenseBackward> steps, int64_t most_side) {
  after_predecessor();
  DenseBackward step = steps.step[blockIdx.x];
  to_lane(lanes, step.inverse.data, step.dweight.data, step.gradient.data);
  int64_t c = most_side;
  while (c * c > step.gradient.size) {
    --c;
  }
  for (int64_t at = threadIdx.x; at < c * c; at += blockDim.x) {
    const auto transposed = static_cast<double>(step.inverse.data[at % c * c + at / c]);
    step.gradient.data[at] +=
        static_cast<float>(static_cast<double>(step.dweight.data[at]) + step.log_det_gradient * transposed);
  }
}

/// Of the steps' largest matrices, `matrices` a step.
template <class Step>
struct Room {
  Room(Stream& stream, std::span<const Step> steps, int64_t matrices) {
    for (const Step& step : steps) {
      most_side = std::max(most_side, side_of(step));
    }
    const int64_t bytes = matrices * most_side * most_side * static_cast<int64_t>(sizeof(double));
    in_shared = most_side <= most_shared_side;
    shared_bytes = block_sum_bytes + 16 + static_cast<size_t>(in_shared ? bytes + 16 * matrices : 0);
    if (in_shared || steps.empty()) {
      return;
    }
    const auto blocks = static_cast<int64_t>(std::min(steps.size(), Steps<Step>::most));
    workspace = {static_cast<double*>(scratch(stream, blocks * bytes)), matrices * most_side * most_side};
  }
  int64_t most_side = 0;
  bool in_shared = true;
  size_t shared_bytes = 0;
  Workspace workspace;
};

}  // namespace

void run(Stream& stream, const InvconvAssemblePlu& task) {
  const Room<PluAssembly> room(stream, task.steps, 3);
  launch_all(task.steps, [&](const Steps<PluAssembly>& some, size_t first, unsigned count) {
    launch(stream, {"invconv_assemble_plu", {count}, block_threads, room.shared_bytes},
           room.in_shared ? invconv_assemble_plu_kernel<true> : invconv_assemble_plu_kernel<false>, some,
           room.workspace, task.log_det.data + first);
  });
}

void run(Stream& stream, const InvconvAssembleDense& task) {
  std::vector<SidedAssembly> all;
  all.reserve(task.steps.size());
  for (const DenseAssembly& step : task.steps) {
    all.push_back({step, static_cast<int>(side_of(step.weight.size))});
  }
  const std::span<const SidedAssembly> steps(all);
  const Room<SidedAssembly> room(stream, steps, 2);
  launch_all(steps, [&](const Steps<SidedAssembly>& some, size_t first, unsigned count) {
    launch(stream, {"invconv_assemble_dense", {count}, block_threads, room.shared_bytes},
           room.in_shared ? invconv_assemble_dense_kernel<true> : invconv_assemble_dense_kernel<false>, some,
           room.workspace, task.log_det.data + first);
  });
}

void run(Stream& stream, const InvconvPluBackward& task) {
  launch_all(task.steps, [&](const Steps<PluBackward>& some, size_t, unsigned count) {
    launch(stream, {"invconv_plu_backward", {count}, block_threads}, invconv_plu_backward_kernel, some);
  });
}

void run(Stream& stream, const InvconvDenseBackward& task) {
  int64_t most_side = 0;
  for (const DenseBackward& step : task.steps) {
    most_side = std::max(most_side, side_of(step.gradient.size));
  }
  launch_all(task.steps, [&](const Steps<DenseBackward>& some, size_t, unsigned count) {
    launch(stream, {"invconv_dense_backward", {count}, block_threads}, invconv_dense_backward_kernel, some, most_side);
  });
}

}  // namespace evenflow::kernels::cuda
