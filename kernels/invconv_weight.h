// The weights of the invertible 1x1 convolutions, of many flow steps at once: made from their parameters, and the way
// back of their gradients.
//
// W is dense, or P L (U + diag(sign exp(log_s))) with a fixed permutation P (Kingma & Dhariwal 2018, 3.2). eps = 2^-23
// is float32's, eps64 = 2^-52 float64's.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

struct PluParameters {
  Array<const int32_t> permutation;  ///< [c]: row i of W is row permutation[i] of L (U + diag(sign exp(log_s)))
  Array<const float> lower, upper;   ///< [c, c]; only the strict triangles are read
  Array<const float> log_s;          ///< [c]
  Array<const int8_t> sign;          ///< [c], +1 or -1
};
struct PluGradients {
  Array<float> lower, upper;  ///< [c, c], added to in the strict triangles; the rest stays
  Array<float> log_s;         ///< [c], added to
};

/// Of each step W and W^-1, in float64 inside, and log|det W|, nats. A zero or non-finite pivot: the CPU throws
/// SingularError with the step's index; a GPU, which cannot, makes that step's log_det NaN and the others right.
/// W and W^-1 within eps of themselves and 8 c eps64 |W| |W^-1| (Frobenius norms) of the largest. ShapeError.
struct PluAssembly {
  PluParameters parameters;
  Array<float> weight, inverse;  ///< [c, c]
};
struct InvconvAssemblePlu {
  std::span<const PluAssembly> steps;
  Array<double> log_det;  ///< [steps]
};
void invconv_assemble_plu(Stream& stream, const InvconvAssemblePlu& task);
Cost cost(const InvconvAssemblePlu& task);

/// The same of dense W, by LU with partial pivoting in float64.
struct DenseAssembly {
  Array<const float> weight;  ///< [c, c]
  Array<float> inverse;       ///< [c, c]
};
struct InvconvAssembleDense {
  std::span<const DenseAssembly> steps;
  Array<double> log_det;  ///< [steps]
};
void invconv_assemble_dense(Stream& stream, const InvconvAssembleDense& task);
Cost cost(const InvconvAssembleDense& task);

/// Of each step: dW's chain into the factors, and log_det_gradient (d loss / d log|det W|) to every d log_s. Within
/// eps (4 + 2 sqrt(c)) of the magnitudes they are sums of.
struct PluBackward {
  PluParameters parameters;
  Array<const float> dweight;  ///< [c, c]
  double log_det_gradient = 0;
  PluGradients gradients;
};
struct InvconvPluBackward {
  std::span<const PluBackward> steps;
};
void invconv_plu_backward(Stream& stream, const InvconvPluBackward& task);
Cost cost(const InvconvPluBackward& task);

/// Of each step: gradient += dW + log_det_gradient W^-T. Within 2 eps of the two terms.
struct DenseBackward {
  Array<const float> inverse, dweight;  ///< [c, c]
  double log_det_gradient = 0;
  Array<float> gradient;  ///< [c, c]
};
struct InvconvDenseBackward {
  std::span<const DenseBackward> steps;
};
void invconv_dense_backward(Stream& stream, const InvconvDenseBackward& task);
Cost cost(const InvconvDenseBackward& task);

}  // namespace evenflow::kernels
