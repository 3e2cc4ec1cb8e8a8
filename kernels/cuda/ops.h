// The CUDA implementations behind cuda/backend.cpp: the operations of the public headers, arguments checked before.
#pragma once

#include <span>
#include <string>

#include "kernels/adam.h"
#include "kernels/classes.h"
#include "kernels/flow_ops.h"
#include "kernels/gather.h"
#include "kernels/latent.h"
#include "kernels/linear.h"
#include "kernels/logmel.h"
#include "kernels/train_step.h"
#include "kernels/variational.h"

namespace evenflow::kernels::cuda {

void squeeze(Stream& stream, ConstMap x, Map y);
void unsqueeze(Stream& stream, ConstMap y, Map x);

void actnorm_forward(Stream& stream, ConstMap x, const ActnormParameters& p, Map y);
void actnorm_inverse(Stream& stream, ConstMap y, const ActnormParameters& p, Map x);
void actnorm_backward(Stream& stream, ConstMap y, ConstMap dy, const ActnormParameters& p, Map dx,
                      const ActnormGradients& d);
void actnorm_initialise(Stream& stream, ConstMap x, Array<float> bias, Array<float> log_scale);

void constant_log_det(Stream& stream, std::span<const LogDetTerm> terms, Array<const double> invconv_log_det,
                      Array<double> total);
void actnorm_log_det_backward(Stream& stream, std::span<const LogDetGradient> terms);

void invconv_assemble_plu(Stream& stream, std::span<const PluAssembly> steps, Array<double> log_det);
void invconv_assemble_dense(Stream& stream, std::span<const DenseAssembly> steps, Array<double> log_det);
void invconv_plu_backward(Stream& stream, std::span<const PluBackward> steps);
void invconv_dense_backward(Stream& stream, std::span<const DenseBackward> steps);
void invconv_apply(Stream& stream, ConstMap x, Array<const float> weight, Map y);
void invconv_backward(Stream& stream, ConstMap x, ConstMap dy, Array<const float> weight, Map dx, Array<float> dweight);

void gaussian_moments(Stream& stream, ConstMap z, Array<double> sum, Array<double> centred_squares);
void gaussian_squares(Stream& stream, ConstMap z, Array<double> squares);
void gaussian_backward(Stream& stream, ConstMap z, Array<const double> shift, double scale, Map dz);

void adam_update(Stream& stream, const AdamStep& settings, Array<const float> gradient, Array<float> parameter,
                 Array<float> m, Array<float> v);
void sum_rows(Stream& stream, Array<const float> in, int64_t rows, int64_t row_stride, Array<float> out);
void squared_norm(Stream& stream, Array<const float> x, Array<double> out);
void gather_windows(Stream& stream, Array<const float> frames, Array<const int64_t> start, Array<const float> mean,
                    Array<const float> inverse_std, Map x);

void latent_loss(Stream& stream, const LatentLoss& task);
void linear_forward(Stream& stream, const LinearShape& shape, Array<const float> x, Array<const float> weight,
                    Array<const float> bias, Array<float> y);
void linear_backward(Stream& stream, const LinearShape& shape, Array<const float> x, Array<const float> y,
                     Array<float> dy, Array<const float> weight, Array<float> dx, const LinearGradients& d);
void code_sample(Stream& stream, int64_t latents, Array<const float> code, const Noise& noise, Array<float> z);
void subtract(Stream& stream, Array<const float> a, Array<const float> b, Array<float> out);
void code_loss(Stream& stream, const CodeLoss& task, const CodeTerms& out);
void code_backward(Stream& stream, const CodeLoss& task, const Noise& noise, double scale, Array<const float> dz,
                   Array<float> dcode);
void class_loss(Stream& stream, const ClassLoss& task, Array<double> loss);
void class_backward(Stream& stream, const ClassLoss& task, double scale, Array<float> dlogits);
void select_batch(Stream& stream, const SelectBatch& task);
void guarded_update(Stream& stream, const GuardedUpdate& task);
int64_t random_order_workspace_bytes(int64_t n);
void random_order(Stream& stream, uint64_t seed, uint64_t order_stream, Array<int64_t> order,
                  Array<unsigned char> workspace);

void logmel_batch(Stream& stream, const LogMelBatchTask& task);

/// One way to compute a coupling (CouplingPath): layered.cu, fused.cu.
struct CouplingKernels {
  int64_t (*packed_floats)(const CouplingShape& shape);
  int64_t (*saved_floats)(const CouplingShape& shape);
  int64_t (*workspace_floats)(const CouplingShape& shape, int64_t n);
  void (*pack)(Stream& stream, std::span<const CouplingPack> steps);
  void (*forward)(Stream& stream, const CouplingShape& shape, ConstMap x, Array<const float> packed, Map y,
                  Array<double> log_det, Array<float> saved, Array<float> workspace);
  void (*inverse)(Stream& stream, const CouplingShape& shape, ConstMap y, Array<const float> packed, Map x,
                  Array<float> workspace);
  void (*backward)(Stream& stream, const CouplingShape& shape, ConstMap x, ConstMap dy, Array<const float> packed,
                   Array<const float> saved, double log_det_gradient, Map dx, const CouplingGradients& d,
                   Array<float> workspace);
};
/// The way that the shape's path, precision and sizes ask for. ShapeError: fused is asked for and cannot be.
const CouplingKernels& coupling_kernels(const CouplingShape& shape);
const CouplingKernels& layered_coupling();
const CouplingKernels& fused_coupling();
/// Empty if the fused kernels can do the shape, else why not.
std::string why_not_fused(const CouplingShape& shape);

}  // namespace evenflow::kernels::cuda
