#include "kernels/invconv_weight.h"

#include <fmt/format.h>

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {
namespace {

int64_t check_plu(const char* operation, const PluParameters& p) {
  const int64_t c = p.log_s.size;
  check_size(operation, "permutation", p.permutation, c);
  check_size(operation, "lower", p.lower, c * c);
  check_size(operation, "upper", p.upper, c * c);
  check_size(operation, "sign", p.sign, c);
  return c;
}

void check_square(const char* operation, int64_t size) {
  int64_t c = 0;
  while (c * c < size) {
    ++c;
  }
  if (c * c == size) {
    return;
  }
  throw ShapeError(fmt::format("{}: a weight of {} is not square", operation, size));
}

/// Bytes of a step's factors that are no matrix: log_s, permutation, a byte of sign.
double plu_vector_bytes(const PluParameters& p) {
  return 9 * static_cast<double>(p.log_s.size);
}

}  // namespace

void invconv_assemble_plu(Stream& stream, const InvconvAssemblePlu& task) {
  check_size("invconv_assemble_plu", "log_det", task.log_det, static_cast<int64_t>(task.steps.size()));
  for (const PluAssembly& step : task.steps) {
    const int64_t c = check_plu("invconv_assemble_plu", step.parameters);
    check_size("invconv_assemble_plu", "weight", step.weight, c * c);
    check_size("invconv_assemble_plu", "inverse", step.inverse, c * c);
  }
  dispatch(stream, "invconv_assemble_plu", task);
}

void invconv_assemble_dense(Stream& stream, const InvconvAssembleDense& task) {
  check_size("invconv_assemble_dense", "log_det", task.log_det, static_cast<int64_t>(task.steps.size()));
  for (const DenseAssembly& step : task.steps) {
    check_square("invconv_assemble_dense", step.weight.size);
    check_size("invconv_assemble_dense", "inverse", step.inverse, step.weight.size);
  }
  dispatch(stream, "invconv_assemble_dense", task);
}

void invconv_plu_backward(Stream& stream, const InvconvPluBackward& task) {
  for (const PluBackward& step : task.steps) {
    const int64_t c = check_plu("invconv_plu_backward", step.parameters);
    check_size("invconv_plu_backward", "dweight", step.dweight, c * c);
    check_size("invconv_plu_backward", "d lower", step.gradients.lower, c * c);
    check_size("invconv_plu_backward", "d upper", step.gradients.upper, c * c);
    check_size("invconv_plu_backward", "d log_s", step.gradients.log_s, c);
  }
  dispatch(stream, "invconv_plu_backward", task);
}

void invconv_dense_backward(Stream& stream, const InvconvDenseBackward& task) {
  for (const DenseBackward& step : task.steps) {
    check_square("invconv_dense_backward", step.inverse.size);
    check_size("invconv_dense_backward", "dweight", step.dweight, step.inverse.size);
    check_size("invconv_dense_backward", "gradient", step.gradient, step.inverse.size);
  }
  dispatch(stream, "invconv_dense_backward", task);
}

// lower's and upper's triangles make one matrix, and so do their gradients'.
Cost cost(const InvconvAssemblePlu& task) {
  Cost sum;
  for (const PluAssembly& step : task.steps) {
    sum.bytes += 3 * bytes_of_floats(step.weight.size) + plu_vector_bytes(step.parameters);
  }
  return sum;
}

Cost cost(const InvconvAssembleDense& task) {
  Cost sum;
  for (const DenseAssembly& step : task.steps) {
    sum.bytes += 2 * bytes_of_floats(step.weight.size);
  }
  return sum;
}

Cost cost(const InvconvPluBackward& task) {
  Cost sum;
  for (const PluBackward& step : task.steps) {
    const int64_t c = step.parameters.log_s.size;
    sum.bytes += 4 * bytes_of_floats(c * c) + plu_vector_bytes(step.parameters) + 2 * bytes_of_floats(c);
  }
  return sum;
}

Cost cost(const InvconvDenseBackward& task) {
  Cost sum;
  for (const DenseBackward& step : task.steps) {
    sum.bytes += 4 * bytes_of_floats(step.gradient.size);
  }
  return sum;
}

}  // namespace evenflow::kernels
