#include "kernels/backend.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "kernels/check.h"
#include "kernels/cpu/ops.h"

namespace evenflow::kernels {
namespace {

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(std::min(line.size(), line.find(": ") + 2));
  }
  return "unknown model";
}

class CpuBackend final : public Backend {
 public:
  std::string describe(Device) override {
    return "CPU " + cpu_model() + ", " + std::to_string(std::thread::hardware_concurrency()) + " cores, " +
           cpu::instruction_set();
  }
  int devices() override { return 1; }
  void* allocate(size_t bytes, Device) override {
    constexpr size_t alignment = 64;
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* data = std::aligned_alloc(alignment, rounded);
    if (data == nullptr) {
      throw DeviceError("out of memory: " + std::to_string(bytes) +
                        " bytes asked for; lower the batch or the data held");
    }
    std::memset(data, 0, rounded);
    return data;
  }
  void release(void* data, Device) noexcept override { std::free(data); }
  void synchronise(void*) override {}

  void squeeze(Stream&, ConstMap x, Map y) override { cpu::squeeze(x, y); }
  void unsqueeze(Stream&, ConstMap y, Map x) override { cpu::unsqueeze(y, x); }

  void actnorm_forward(Stream&, ConstMap x, const ActnormParameters& p, Map y) override {
    cpu::actnorm_forward(x, p, y);
  }
  void actnorm_inverse(Stream&, ConstMap y, const ActnormParameters& p, Map x) override {
    cpu::actnorm_inverse(y, p, x);
  }
  void actnorm_backward(Stream&, ConstMap y, ConstMap dy, const ActnormParameters& p, Map dx,
                        const ActnormGradients& d) override {
    cpu::actnorm_backward(y, dy, p, dx, d);
  }
  void actnorm_initialise(Stream&, ConstMap x, Array<float> bias, Array<float> log_scale) override {
    cpu::actnorm_initialise(x, bias, log_scale);
  }

  void actnorm_log_det(Stream&, Array<const float> log_scale, int64_t pixels, Array<double> log_det) override {
    cpu::actnorm_log_det(log_scale, pixels, log_det);
  }
  void actnorm_log_det_backward(Stream&, double gradient, Array<float> dlog_scale) override {
    cpu::actnorm_log_det_backward(gradient, dlog_scale);
  }

  void invconv_assemble_plu(Stream&, const PluParameters& p, Array<float> weight, Array<float> inverse,
                            Array<double> log_det) override {
    cpu::invconv_assemble_plu(p, weight, inverse, log_det[0]);
  }
  void invconv_assemble_dense(Stream&, Array<const float> weight, Array<float> inverse,
                              Array<double> log_det) override {
    cpu::invconv_assemble_dense(weight, inverse, log_det[0]);
  }
  void invconv_plu_backward(Stream&, const PluParameters& p, Array<const float> dweight, double log_det_gradient,
                            const PluGradients& d) override {
    cpu::invconv_plu_backward(p, dweight, log_det_gradient, d);
  }
  void invconv_dense_backward(Stream&, Array<const float> inverse, Array<const float> dweight, double log_det_gradient,
                              Array<float> d) override {
    cpu::invconv_dense_backward(inverse, dweight, log_det_gradient, d);
  }
  void invconv_apply(Stream&, ConstMap x, Array<const float> weight, Map y) override {
    cpu::invconv_apply(x, weight, y);
  }
  void invconv_backward(Stream&, ConstMap x, ConstMap dy, Array<const float> weight, Map dx,
                        Array<float> dweight) override {
    cpu::invconv_backward(x, dy, weight, dx, dweight);
  }

  int64_t coupling_packed_floats(const CouplingShape& shape) override { return cpu::coupling_packed_floats(shape); }
  int64_t coupling_saved_floats(const CouplingShape& shape) override { return cpu::coupling_saved_floats(shape); }
  int64_t coupling_workspace_floats(const CouplingShape& shape, int64_t) override {
    return cpu::coupling_workspace_floats(shape);
  }
  void coupling_pack(Stream&, const CouplingShape& shape, const CouplingParameters& p, Array<float> packed) override {
    cpu::coupling_pack(shape, p, packed.data);
  }
  void coupling_forward(Stream& stream, const CouplingShape& shape, ConstMap x, Array<const float> packed, Map y,
                        Array<double> log_det, Array<float> saved, Array<float> workspace) override {
    cpu::coupling_forward(stream, shape, x, packed.data, y, log_det.data, saved, workspace.data);
  }
  void coupling_inverse(Stream& stream, const CouplingShape& shape, ConstMap y, Array<const float> packed, Map x,
                        Array<float> workspace) override {
    cpu::coupling_inverse(stream, shape, y, packed.data, x, workspace.data);
  }
  void coupling_backward(Stream& stream, const CouplingShape& shape, ConstMap x, ConstMap dy, Array<const float> packed,
                         Array<const float> saved, double log_det_gradient, Map dx, const CouplingGradients& d,
                         Array<float> workspace) override {
    cpu::coupling_backward(stream, shape, x, dy, packed.data, saved.data, log_det_gradient, dx, d, workspace.data);
  }

  void gaussian_moments(Stream&, ConstMap z, Array<double> sum, Array<double> centred_squares) override {
    cpu::gaussian_moments(z, sum, centred_squares);
  }
  void gaussian_backward(Stream&, ConstMap z, Array<const double> shift, double scale, Map dz) override {
    cpu::gaussian_backward(z, shift, scale, dz);
  }

  void adam_update(Stream&, const AdamStep& settings, Array<const float> gradient, Array<float> parameter,
                   Array<float> m, Array<float> v) override {
    cpu::adam_update(settings, gradient, parameter, m, v);
  }
  void sum_rows(Stream&, Array<const float> in, int64_t rows, int64_t row_stride, Array<float> out) override {
    cpu::sum_rows(in, rows, row_stride, out);
  }
  void squared_norm(Stream&, Array<const float> x, Array<double> out) override { out[0] = cpu::squared_norm(x); }
  void gather_windows(Stream&, Array<const float> frames, Array<const int64_t> start, Array<const float> mean,
                      Array<const float> inverse_std, Map x) override {
    cpu::gather_windows(frames, start, mean, inverse_std, x);
  }
};

}  // namespace

Backend& cpu_backend() {
  static CpuBackend backend;
  return backend;
}

}  // namespace evenflow::kernels
