// The CPU implementations behind cpu/backend.cpp: the operations of the public headers without a stream, but for the
// coupling, which names its parts to the stream's tracer.
#pragma once

#include "kernels/adam.h"
#include "kernels/classes.h"
#include "kernels/flow_ops.h"
#include "kernels/latent.h"
#include "kernels/linear.h"
#include "kernels/logmel.h"
#include "kernels/train_step.h"
#include "kernels/variational.h"

namespace evenflow::kernels::cpu {

int64_t cache_bytes();
double measure_sgemm();  ///< probe.h, one thread

void squeeze(ConstMap x, Map y);
void unsqueeze(ConstMap y, Map x);

void actnorm_forward(ConstMap x, const ActnormParameters& p, Map y);
void actnorm_inverse(ConstMap y, const ActnormParameters& p, Map x);
void actnorm_backward(ConstMap y, ConstMap dy, const ActnormParameters& p, Map dx, const ActnormGradients& d);
void actnorm_initialise(ConstMap x, Array<float> bias, Array<float> log_scale);

/// Sum over the channels.
double actnorm_log_det(Array<const float> log_scale);
void actnorm_log_det_backward(double gradient, Array<float> dlog_scale);

void invconv_assemble_plu(std::span<const PluAssembly> steps, Array<double> log_det);
void invconv_assemble_dense(std::span<const DenseAssembly> steps, Array<double> log_det);
void invconv_plu_backward(const PluBackward& step);
void invconv_dense_backward(const DenseBackward& step);
void invconv_apply(ConstMap x, Array<const float> weight, Map y);
void invconv_backward(ConstMap x, ConstMap dy, Array<const float> weight, Map dx, Array<float> dweight);

int64_t coupling_packed_floats(const CouplingShape& shape);
int64_t coupling_saved_floats(const CouplingShape& shape);
int64_t coupling_workspace_floats(const CouplingShape& shape);
void coupling_pack(const CouplingShape& shape, const CouplingParameters& p, float* packed);
void coupling_forward(Stream& stream, const CouplingShape& shape, ConstMap x, const float* packed, Map y,
                      double* log_det, Array<float> saved, float* workspace);
void coupling_inverse(Stream& stream, const CouplingShape& shape, ConstMap y, const float* packed, Map x,
                      float* workspace);
void coupling_backward(Stream& stream, const CouplingShape& shape, ConstMap x, ConstMap dy, const float* packed,
                       const float* saved, double log_det_gradient, Map dx, const CouplingGradients& d,
                       float* workspace);

void gaussian_moments(ConstMap z, Array<double> sum, Array<double> centred_squares);
void gaussian_squares(ConstMap z, Array<double> squares);
void gaussian_backward(ConstMap z, Array<const double> shift, double scale, Map dz);

void adam_update(const AdamStep& settings, Array<const float> gradient, Array<float> parameter, Array<float> m,
                 Array<float> v);
void sum_rows(Array<const float> in, int64_t rows, int64_t row_stride, Array<float> out);
double squared_norm(Array<const float> x);
void gather_windows(Array<const float> frames, Array<const int64_t> start, Array<const float> mean,
                    Array<const float> inverse_std, Map x);

void latent_loss(const LatentLoss& task);
void linear_forward(const LinearShape& shape, Array<const float> x, Array<const float> weight, Array<const float> bias,
                    Array<float> y);
void linear_backward(const LinearShape& shape, Array<const float> x, Array<const float> y, Array<float> dy,
                     Array<const float> weight, Array<float> dx, const LinearGradients& d);
void code_sample(int64_t latents, Array<const float> code, const Noise& noise, Array<float> z);
void subtract(Array<const float> a, Array<const float> b, Array<float> out);
void code_loss(const CodeLoss& task, const CodeTerms& out);
void code_backward(const CodeLoss& task, const Noise& noise, double scale, Array<const float> dz, Array<float> dcode);
void class_loss(const ClassLoss& task, Array<double> loss);
void class_backward(const ClassLoss& task, double scale, Array<float> dlogits);
void select_batch(const SelectBatch& task);
void guarded_update(const GuardedUpdate& task);
void random_order(uint64_t seed, uint64_t order_stream, Array<int64_t> order);

void logmel_batch(const LogMelBatchTask& task);

/// The instruction set that run-time dispatch chose: "AVX2".
const char* instruction_set();

}  // namespace evenflow::kernels::cpu
