// The interface a backend implements: every operation, once. Arguments are validated before they get here.
#pragma once

#include <cstddef>

#include "kernels/adam.h"
#include "kernels/flow_ops.h"
#include "kernels/gather.h"

namespace evenflow::kernels {

class Backend {
 public:
  virtual ~Backend() = default;
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual std::string describe(Device device) = 0;
  virtual int devices() = 0;
  virtual void* allocate(size_t bytes, Device device) = 0;  ///< zeroed, 64-byte aligned
  virtual void release(void* data, Device device) noexcept = 0;
  virtual void synchronise(void* stream) = 0;

  virtual void squeeze(Stream& stream, ConstMap x, Map y) = 0;
  virtual void unsqueeze(Stream& stream, ConstMap y, Map x) = 0;

  virtual void actnorm_forward(Stream& stream, ConstMap x, const ActnormParameters& p, Map y) = 0;
  virtual void actnorm_inverse(Stream& stream, ConstMap y, const ActnormParameters& p, Map x) = 0;
  virtual void actnorm_backward(Stream& stream, ConstMap y, ConstMap dy, const ActnormParameters& p, Map dx,
                                const ActnormGradients& d) = 0;
  virtual void actnorm_initialise(Stream& stream, ConstMap x, Array<float> bias, Array<float> log_scale) = 0;

  virtual void actnorm_log_det(Stream& stream, Array<const float> log_scale, int64_t pixels, Array<double> log_det) = 0;
  virtual void actnorm_log_det_backward(Stream& stream, double gradient, Array<float> dlog_scale) = 0;

  virtual void invconv_assemble_plu(Stream& stream, const PluParameters& p, Array<float> weight, Array<float> inverse,
                                    Array<double> log_det) = 0;
  virtual void invconv_assemble_dense(Stream& stream, Array<const float> weight, Array<float> inverse,
                                      Array<double> log_det) = 0;
  virtual void invconv_plu_backward(Stream& stream, const PluParameters& p, Array<const float> dweight,
                                    double log_det_gradient, const PluGradients& d) = 0;
  virtual void invconv_dense_backward(Stream& stream, Array<const float> inverse, Array<const float> dweight,
                                      double log_det_gradient, Array<float> d) = 0;
  virtual void invconv_apply(Stream& stream, ConstMap x, Array<const float> weight, Map y) = 0;
  virtual void invconv_backward(Stream& stream, ConstMap x, ConstMap dy, Array<const float> weight, Map dx,
                                Array<float> dweight) = 0;

  virtual int64_t coupling_packed_floats(const CouplingShape& shape) = 0;
  virtual int64_t coupling_saved_floats(const CouplingShape& shape) = 0;
  virtual int64_t coupling_workspace_floats(const CouplingShape& shape, int64_t n) = 0;
  virtual void coupling_pack(Stream& stream, const CouplingShape& shape, const CouplingParameters& p,
                             Array<float> packed) = 0;
  virtual void coupling_forward(Stream& stream, const CouplingShape& shape, ConstMap x, Array<const float> packed,
                                Map y, Array<double> log_det, Array<float> saved, Array<float> workspace) = 0;
  virtual void coupling_inverse(Stream& stream, const CouplingShape& shape, ConstMap y, Array<const float> packed,
                                Map x, Array<float> workspace) = 0;
  virtual void coupling_backward(Stream& stream, const CouplingShape& shape, ConstMap x, ConstMap dy,
                                 Array<const float> packed, Array<const float> saved, double log_det_gradient, Map dx,
                                 const CouplingGradients& d, Array<float> workspace) = 0;

  virtual void gaussian_moments(Stream& stream, ConstMap z, Array<double> sum, Array<double> centred_squares) = 0;
  virtual void gaussian_backward(Stream& stream, ConstMap z, Array<const double> shift, double scale, Map dz) = 0;

  virtual void adam_update(Stream& stream, const AdamStep& settings, Array<const float> gradient,
                           Array<float> parameter, Array<float> m, Array<float> v) = 0;
  virtual void sum_rows(Stream& stream, Array<const float> in, int64_t rows, int64_t row_stride, Array<float> out) = 0;
  virtual void squared_norm(Stream& stream, Array<const float> x, Array<double> out) = 0;
  virtual void gather_windows(Stream& stream, Array<const float> frames, Array<const int64_t> start,
                              Array<const float> mean, Array<const float> inverse_std, Map x) = 0;
};

/// The backend of a device. The CUDA backend is a shared library, loaded on first use; DeviceError says why it cannot
/// be used (built without CUDA, no driver, no device).
Backend& backend_of(Device device);

/// The CPU backend, always there.
Backend& cpu_backend();

/// What the CUDA backend's shared library exports: extern "C" Backend* evenflow_cuda_backend().
inline constexpr const char* cuda_library_name = "libevenflow_cuda.so";
inline constexpr const char* cuda_library_entry = "evenflow_cuda_backend";

}  // namespace evenflow::kernels
