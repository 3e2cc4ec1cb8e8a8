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
  void* allocate_pinned(size_t bytes) override { return allocate(bytes, {}); }
  void release_pinned(void* data) noexcept override { std::free(data); }
  void* create_stream(Device) override { return nullptr; }
  void release_stream(void*, Device) noexcept override {}
  void synchronise(Stream&) override {}
  void copy(Stream&, const void* from, void* to, int64_t bytes) override {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
  void zero(Stream&, void* data, int64_t bytes) override { std::memset(data, 0, static_cast<size_t>(bytes)); }
  // Graphs and events of the CPU are host matters: kernels/graph.cpp, kernels/event.cpp.
  void begin_capture(Stream&) override {}
  void* end_capture(Stream&) override { return nullptr; }
  void launch_graph(Stream&, void*) override {}
  int64_t graph_nodes(void*) override { return 0; }
  void release_graph(void*) noexcept override {}
  void* create_event(Device) override { return nullptr; }
  void release_event(void*) noexcept override {}
  void record_event(Stream&, void*) override {}
  double event_seconds(void*, void*) override { return 0; }

  int64_t cache_bytes(Device) override { return cpu::cache_bytes(); }
  double measure_gemm(Stream&, Precision precision) override {
    return precision == Precision::float32 ? cpu::measure_sgemm() : 0;
  }

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

  void constant_log_det(Stream&, std::span<const LogDetTerm> terms, Array<const double> invconv_log_det,
                        Array<double> total) override {
    total[0] = 0;
    for (size_t i = 0; i < terms.size(); ++i) {
      total[0] +=
          static_cast<double>(terms[i].pixels) * (cpu::actnorm_log_det(terms[i].log_scale) + invconv_log_det.data[i]);
    }
  }
  void actnorm_log_det_backward(Stream&, std::span<const LogDetGradient> terms) override {
    for (const LogDetGradient& term : terms) cpu::actnorm_log_det_backward(term.gradient, term.dlog_scale);
  }

  void invconv_assemble_plu(Stream&, std::span<const PluAssembly> steps, Array<double> log_det) override {
    cpu::invconv_assemble_plu(steps, log_det);
  }
  void invconv_assemble_dense(Stream&, std::span<const DenseAssembly> steps, Array<double> log_det) override {
    cpu::invconv_assemble_dense(steps, log_det);
  }
  void invconv_plu_backward(Stream&, std::span<const PluBackward> steps) override {
    for (const PluBackward& step : steps) cpu::invconv_plu_backward(step);
  }
  void invconv_dense_backward(Stream&, std::span<const DenseBackward> steps) override {
    for (const DenseBackward& step : steps) cpu::invconv_dense_backward(step);
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
  void coupling_pack(Stream&, std::span<const CouplingPack> steps) override {
    for (const CouplingPack& step : steps) cpu::coupling_pack(step.shape, step.p, step.packed.data);
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
  void gaussian_squares(Stream&, ConstMap z, Array<double> squares) override { cpu::gaussian_squares(z, squares); }
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

  void latent_loss(Stream&, const LatentLoss& task) override { cpu::latent_loss(task); }
  void linear_forward(Stream&, const LinearShape& shape, Array<const float> x, Array<const float> weight,
                      Array<const float> bias, Array<float> y) override {
    cpu::linear_forward(shape, x, weight, bias, y);
  }
  void linear_backward(Stream&, const LinearShape& shape, Array<const float> x, Array<const float> y, Array<float> dy,
                       Array<const float> weight, Array<float> dx, const LinearGradients& d) override {
    cpu::linear_backward(shape, x, y, dy, weight, dx, d);
  }
  void code_sample(Stream&, int64_t latents, Array<const float> code, const Noise& noise, Array<float> z) override {
    cpu::code_sample(latents, code, noise, z);
  }
  void subtract(Stream&, Array<const float> a, Array<const float> b, Array<float> out) override {
    cpu::subtract(a, b, out);
  }
  void code_loss(Stream&, const CodeLoss& task, const CodeTerms& out) override { cpu::code_loss(task, out); }
  void code_backward(Stream&, const CodeLoss& task, const Noise& noise, double scale, Array<const float> dz,
                     Array<float> dcode) override {
    cpu::code_backward(task, noise, scale, dz, dcode);
  }
  void class_loss(Stream&, const ClassLoss& task, Array<double> loss) override { cpu::class_loss(task, loss); }
  void class_backward(Stream&, const ClassLoss& task, double scale, Array<float> dlogits) override {
    cpu::class_backward(task, scale, dlogits);
  }
  void select_batch(Stream&, const SelectBatch& task) override { cpu::select_batch(task); }
  void guarded_update(Stream&, const GuardedUpdate& task) override { cpu::guarded_update(task); }
  int64_t random_order_workspace_bytes(int64_t) override { return 0; }
  void random_order(Stream&, uint64_t seed, uint64_t order_stream, Array<int64_t> order,
                    Array<unsigned char>) override {
    cpu::random_order(seed, order_stream, order);
  }

  void logmel_batch(Stream&, const LogMelBatchTask& task) override { cpu::logmel_batch(task); }
};

}  // namespace

Backend& cpu_backend() {
  static CpuBackend backend;
  return backend;
}

}  // namespace evenflow::kernels
