// The interface a backend implements: every operation, once. Arguments are validated before they get here.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "kernels/adam.h"
#include "kernels/classes.h"
#include "kernels/flow_ops.h"
#include "kernels/gather.h"
#include "kernels/latent.h"
#include "kernels/launch_listener.h"
#include "kernels/linear.h"
#include "kernels/logmel.h"
#include "kernels/train_step.h"
#include "kernels/variational.h"

namespace evenflow::kernels {

class Backend {
 public:
  virtual ~Backend() = default;
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual std::string describe(Device device) = 0;
  virtual int devices() = 0;
  /// Why there is none: a sentence without its end.
  virtual std::string why_no_device() { return "there is no device"; }
  /// DeviceError unless the kernels can run on it.
  virtual void require_usable(Device) {}
  virtual void* allocate(size_t bytes, Device device) = 0;  ///< zeroed, 64-byte aligned
  virtual void release(void* data, Device device) noexcept = 0;
  virtual void* allocate_pinned(size_t bytes) = 0;  ///< host memory that copies fast; zeroed, 64-byte aligned
  virtual void release_pinned(void* data) noexcept = 0;
  virtual void* create_stream(Device device) = 0;
  virtual void release_stream(void* stream, Device device) noexcept = 0;
  virtual void synchronise(Stream& stream) = 0;
  /// As cudaMemcpyDefault: the places say themselves where they lie.
  virtual void copy(Stream& stream, const void* from, void* to, int64_t bytes) = 0;
  virtual void zero(Stream& stream, void* data, int64_t bytes) = 0;
  virtual void begin_capture(Stream& stream) = 0;
  virtual void* end_capture(Stream& stream) = 0;  ///< null on the CPU, which does not capture
  virtual void launch_graph(Stream& stream, void* graph) = 0;
  virtual int64_t graph_nodes(void* graph) = 0;
  virtual void release_graph(void* graph) noexcept = 0;
  virtual void* create_event(Device device) = 0;
  virtual void release_event(void* event) noexcept = 0;
  virtual void record_event(Stream& stream, void* event) = 0;
  virtual double event_seconds(void* from, void* to) = 0;

  virtual int64_t cache_bytes(Device) { return 0; }
  virtual double measure_gemm(Stream&, Precision) { return 0; }
  virtual void set_launch_listener(LaunchListener*) {}
  virtual Tracer* range_marker() { return nullptr; }

  virtual void squeeze(Stream& stream, ConstMap x, Map y) = 0;
  virtual void unsqueeze(Stream& stream, ConstMap y, Map x) = 0;

  virtual void actnorm_forward(Stream& stream, ConstMap x, const ActnormParameters& p, Map y) = 0;
  virtual void actnorm_inverse(Stream& stream, ConstMap y, const ActnormParameters& p, Map x) = 0;
  virtual void actnorm_backward(Stream& stream, ConstMap y, ConstMap dy, const ActnormParameters& p, Map dx,
                                const ActnormGradients& d) = 0;
  virtual void actnorm_initialise(Stream& stream, ConstMap x, Array<float> bias, Array<float> log_scale) = 0;

  virtual void constant_log_det(Stream& stream, std::span<const LogDetTerm> terms, Array<const double> invconv_log_det,
                                Array<double> total) = 0;
  virtual void actnorm_log_det_backward(Stream& stream, std::span<const LogDetGradient> terms) = 0;

  virtual void invconv_assemble_plu(Stream& stream, std::span<const PluAssembly> steps, Array<double> log_det) = 0;
  virtual void invconv_assemble_dense(Stream& stream, std::span<const DenseAssembly> steps, Array<double> log_det) = 0;
  virtual void invconv_plu_backward(Stream& stream, std::span<const PluBackward> steps) = 0;
  virtual void invconv_dense_backward(Stream& stream, std::span<const DenseBackward> steps) = 0;
  virtual void invconv_apply(Stream& stream, ConstMap x, Array<const float> weight, Map y) = 0;
  virtual void invconv_backward(Stream& stream, ConstMap x, ConstMap dy, Array<const float> weight, Map dx,
                                Array<float> dweight) = 0;

  virtual int64_t coupling_packed_floats(const CouplingShape& shape) = 0;
  virtual int64_t coupling_saved_floats(const CouplingShape& shape) = 0;
  virtual int64_t coupling_workspace_floats(const CouplingShape& shape, int64_t n) = 0;
  virtual void coupling_pack(Stream& stream, std::span<const CouplingPack> steps) = 0;
  virtual void coupling_forward(Stream& stream, const CouplingShape& shape, ConstMap x, Array<const float> packed,
                                Map y, Array<double> log_det, Array<float> saved, Array<float> workspace) = 0;
  virtual void coupling_inverse(Stream& stream, const CouplingShape& shape, ConstMap y, Array<const float> packed,
                                Map x, Array<float> workspace) = 0;
  virtual void coupling_backward(Stream& stream, const CouplingShape& shape, ConstMap x, ConstMap dy,
                                 Array<const float> packed, Array<const float> saved, double log_det_gradient, Map dx,
                                 const CouplingGradients& d, Array<float> workspace) = 0;

  virtual void gaussian_moments(Stream& stream, ConstMap z, Array<double> sum, Array<double> centred_squares) = 0;
  virtual void gaussian_squares(Stream& stream, ConstMap z, Array<double> squares) = 0;
  virtual void gaussian_backward(Stream& stream, ConstMap z, Array<const double> shift, double scale, Map dz) = 0;

  virtual void adam_update(Stream& stream, const AdamStep& settings, Array<const float> gradient,
                           Array<float> parameter, Array<float> m, Array<float> v) = 0;
  virtual void sum_rows(Stream& stream, Array<const float> in, int64_t rows, int64_t row_stride, Array<float> out) = 0;
  virtual void squared_norm(Stream& stream, Array<const float> x, Array<double> out) = 0;
  virtual void gather_windows(Stream& stream, Array<const float> frames, Array<const int64_t> start,
                              Array<const float> mean, Array<const float> inverse_std, Map x) = 0;

  virtual void latent_loss(Stream& stream, const LatentLoss& task) = 0;
  virtual void linear_forward(Stream& stream, const LinearShape& shape, Array<const float> x, Array<const float> weight,
                              Array<const float> bias, Array<float> y) = 0;
  virtual void linear_backward(Stream& stream, const LinearShape& shape, Array<const float> x, Array<const float> y,
                               Array<float> dy, Array<const float> weight, Array<float> dx,
                               const LinearGradients& d) = 0;
  virtual void code_sample(Stream& stream, int64_t latents, Array<const float> code, const Noise& noise,
                           Array<float> z) = 0;
  virtual void subtract(Stream& stream, Array<const float> a, Array<const float> b, Array<float> out) = 0;
  virtual void code_loss(Stream& stream, const CodeLoss& task, const CodeTerms& out) = 0;
  virtual void code_backward(Stream& stream, const CodeLoss& task, const Noise& noise, double scale,
                             Array<const float> dz, Array<float> dcode) = 0;
  virtual void class_loss(Stream& stream, const ClassLoss& task, Array<double> loss) = 0;
  virtual void class_backward(Stream& stream, const ClassLoss& task, double scale, Array<float> dlogits) = 0;
  virtual void select_batch(Stream& stream, const SelectBatch& task) = 0;
  virtual void guarded_update(Stream& stream, const GuardedUpdate& task) = 0;
  virtual int64_t random_order_workspace_bytes(int64_t n) = 0;
  virtual void random_order(Stream& stream, uint64_t seed, uint64_t order_stream, Array<int64_t> order,
                            Array<unsigned char> workspace) = 0;

  virtual void logmel_batch(Stream& stream, const LogMelBatchTask& task) = 0;
};

/// The backend of a device. The CUDA backend is a shared library, loaded on first use; DeviceError says why it cannot
/// be used (built without CUDA, no driver, no device).
Backend& backend_of(Device device);

/// The CPU backend, always there.
Backend& cpu_backend();

/// Takes the place of the library below for every CUDA device from now on; null: the library again. For tests.
void use_cuda_backend(Backend* backend);

/// The CUDA backend, defined in its library and in the tests' emulation alone.
Backend& cuda_backend();

/// What the CUDA backend's shared library exports: extern "C" Backend* evenflow_cuda_backend().
inline constexpr const char* cuda_library_name = "libevenflow_cuda.so";
inline constexpr const char* cuda_library_entry = "evenflow_cuda_backend";

}  // namespace evenflow::kernels
