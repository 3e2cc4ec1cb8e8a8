#include "kernels/backend.h"

#include "kernels/check.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/probe.h"
#include "kernels/cuda/runtime.h"

namespace evenflow::kernels {
namespace {

class CudaBackend final : public Backend {
 public:
  std::string describe(Device device) override { return cuda::describe_device(device.index); }
  int devices() override { return cuda::device_count(); }
  std::string why_no_device() override { return cuda::why_no_device(); }
  void require_usable(Device device) override { cuda::require_supported(device.index); }
  void* allocate(size_t bytes, Device device) override { return cuda::allocate(bytes, device.index); }
  void release(void* data, Device device) noexcept override { cuda::release(data, device.index); }
  void* allocate_pinned(size_t bytes) override { return cuda::allocate_pinned(bytes); }
  void release_pinned(void* data) noexcept override { cuda::release_pinned(data); }
  void* create_stream(Device device) override { return cuda::create_queue(device.index); }
  void release_stream(void* stream, Device device) noexcept override { cuda::release_queue(stream, device.index); }
  void synchronise(Stream& stream) override { cuda::synchronise(stream); }
  void copy(Stream& stream, const void* from, void* to, int64_t bytes) override { cuda::copy(stream, from, to, bytes); }
  void zero(Stream& stream, void* data, int64_t bytes) override { cuda::zero(stream, data, bytes); }
  void begin_capture(Stream& stream) override { cuda::begin_capture(stream); }
  void* end_capture(Stream& stream) override { return cuda::end_capture(stream); }
  void launch_graph(Stream& stream, void* graph) override { cuda::launch_graph(stream, graph); }
  int64_t graph_nodes(void* graph) override { return cuda::graph_nodes(graph); }
  void release_graph(void* graph) noexcept override { cuda::release_graph(graph); }
  void* create_event(Device device) override { return cuda::create_event(device.index); }
  void release_event(void* event) noexcept override { cuda::release_event(event); }
  void record_event(Stream& stream, void* event) override { cuda::record_event(stream, event); }
  double event_seconds(void* from, void* to) override { return cuda::event_seconds(from, to); }

  int64_t cache_bytes(Device device) override { return cuda::limits_of(device.index).l2_bytes; }
  double measure_gemm(Stream& stream, Precision precision) override { return cuda::measure_gemm(stream, precision); }
  void set_launch_listener(LaunchListener* listener) override { cuda::set_launch_listener(listener); }
  Tracer* range_marker() override { return cuda::range_marker(); }

  void squeeze(Stream& stream, ConstMap x, Map y) override { cuda::squeeze(stream, x, y); }
  void unsqueeze(Stream& stream, ConstMap y, Map x) override { cuda::unsqueeze(stream, y, x); }

  void actnorm_forward(Stream& stream, ConstMap x, const ActnormParameters& p, Map y) override {
    cuda::actnorm_forward(stream, x, p, y);
  }
  void actnorm_inverse(Stream& stream, ConstMap y, const ActnormParameters& p, Map x) override {
    cuda::actnorm_inverse(stream, y, p, x);
  }
  void actnorm_backward(Stream& stream, ConstMap y, ConstMap dy, const ActnormParameters& p, Map dx,
                        const ActnormGradients& d) override {
    cuda::actnorm_backward(stream, y, dy, p, dx, d);
  }
  void actnorm_initialise(Stream& stream, ConstMap x, Array<float> bias, Array<float> log_scale) override {
    cuda::actnorm_initialise(stream, x, bias, log_scale);
  }

  void constant_log_det(Stream& stream, std::span<const LogDetTerm> terms, Array<const double> invconv_log_det,
                        Array<double> total) override {
    cuda::constant_log_det(stream, terms, invconv_log_det, total);
  }
  void actnorm_log_det_backward(Stream& stream, std::span<const LogDetGradient> terms) override {
    cuda::actnorm_log_det_backward(stream, terms);
  }

  void invconv_assemble_plu(Stream& stream, std::span<const PluAssembly> steps, Array<double> log_det) override {
    cuda::invconv_assemble_plu(stream, steps, log_det);
  }
  void invconv_assemble_dense(Stream& stream, std::span<const DenseAssembly> steps, Array<double> log_det) override {
    cuda::invconv_assemble_dense(stream, steps, log_det);
  }
  void invconv_plu_backward(Stream& stream, std::span<const PluBackward> steps) override {
    cuda::invconv_plu_backward(stream, steps);
  }
  void invconv_dense_backward(Stream& stream, std::span<const DenseBackward> steps) override {
    cuda::invconv_dense_backward(stream, steps);
  }
  void invconv_apply(Stream& stream, ConstMap x, Array<const float> weight, Map y) override {
    cuda::invconv_apply(stream, x, weight, y);
  }
  void invconv_backward(Stream& stream, ConstMap x, ConstMap dy, Array<const float> weight, Map dx,
                        Array<float> dweight) override {
    cuda::invconv_backward(stream, x, dy, weight, dx, dweight);
  }

  int64_t coupling_packed_floats(const CouplingShape& shape) override {
    return cuda::coupling_kernels(shape).packed_floats(shape);
  }
  int64_t coupling_saved_floats(const CouplingShape& shape) override {
    return cuda::coupling_kernels(shape).saved_floats(shape);
  }
  int64_t coupling_workspace_floats(const CouplingShape& shape, int64_t n) override {
    return cuda::coupling_kernels(shape).workspace_floats(shape, n);
  }
  void coupling_pack(Stream& stream, std::span<const CouplingPack> steps) override {
    // Runs of steps that go one way, each in one call.
    for (size_t first = 0; first < steps.size();) {
      const cuda::CouplingKernels& way = cuda::coupling_kernels(steps[first].shape);
      size_t last = first + 1;
      while (last < steps.size() && &cuda::coupling_kernels(steps[last].shape) == &way) ++last;
      way.pack(stream, steps.subspan(first, last - first));
      first = last;
    }
  }
  void coupling_forward(Stream& stream, const CouplingShape& shape, ConstMap x, Array<const float> packed, Map y,
                        Array<double> log_det, Array<float> saved, Array<float> workspace) override {
    cuda::coupling_kernels(shape).forward(stream, shape, x, packed, y, log_det, saved, workspace);
  }
  void coupling_inverse(Stream& stream, const CouplingShape& shape, ConstMap y, Array<const float> packed, Map x,
                        Array<float> workspace) override {
    cuda::coupling_kernels(shape).inverse(stream, shape, y, packed, x, workspace);
  }
  void coupling_backward(Stream& stream, const CouplingShape& shape, ConstMap x, ConstMap dy, Array<const float> packed,
                         Array<const float> saved, double log_det_gradient, Map dx, const CouplingGradients& d,
                         Array<float> workspace) override {
    cuda::coupling_kernels(shape).backward(stream, shape, x, dy, packed, saved, log_det_gradient, dx, d, workspace);
  }

  void gaussian_moments(Stream& stream, ConstMap z, Array<double> sum, Array<double> centred_squares) override {
    cuda::gaussian_moments(stream, z, sum, centred_squares);
  }
  void gaussian_squares(Stream& stream, ConstMap z, Array<double> squares) override {
    cuda::gaussian_squares(stream, z, squares);
  }
  void gaussian_backward(Stream& stream, ConstMap z, Array<const double> shift, double scale, Map dz) override {
    cuda::gaussian_backward(stream, z, shift, scale, dz);
  }

  void adam_update(Stream& stream, const AdamStep& settings, Array<const float> gradient, Array<float> parameter,
                   Array<float> m, Array<float> v) override {
    cuda::adam_update(stream, settings, gradient, parameter, m, v);
  }
  void sum_rows(Stream& stream, Array<const float> in, int64_t rows, int64_t row_stride, Array<float> out) override {
    cuda::sum_rows(stream, in, rows, row_stride, out);
  }
  void squared_norm(Stream& stream, Array<const float> x, Array<double> out) override {
    cuda::squared_norm(stream, x, out);
  }
  void gather_windows(Stream& stream, Array<const float> frames, Array<const int64_t> start, Array<const float> mean,
                      Array<const float> inverse_std, Map x) override {
    cuda::gather_windows(stream, frames, start, mean, inverse_std, x);
  }

  void latent_loss(Stream& stream, const LatentLoss& task) override { cuda::latent_loss(stream, task); }
  void linear_forward(Stream& stream, const LinearShape& shape, Array<const float> x, Array<const float> weight,
                      Array<const float> bias, Array<float> y) override {
    cuda::linear_forward(stream, shape, x, weight, bias, y);
  }
  void linear_backward(Stream& stream, const LinearShape& shape, Array<const float> x, Array<const float> y,
                       Array<float> dy, Array<const float> weight, Array<float> dx, const LinearGradients& d) override {
    cuda::linear_backward(stream, shape, x, y, dy, weight, dx, d);
  }
  void code_sample(Stream& stream, int64_t latents, Array<const float> code, const Noise& noise,
                   Array<float> z) override {
    cuda::code_sample(stream, latents, code, noise, z);
  }
  void subtract(Stream& stream, Array<const float> a, Array<const float> b, Array<float> out) override {
    cuda::subtract(stream, a, b, out);
  }
  void code_loss(Stream& stream, const CodeLoss& task, const CodeTerms& out) override {
    cuda::code_loss(stream, task, out);
  }
  void code_backward(Stream& stream, const CodeLoss& task, const Noise& noise, double scale, Array<const float> dz,
                     Array<float> dcode) override {
    cuda::code_backward(stream, task, noise, scale, dz, dcode);
  }
  void class_loss(Stream& stream, const ClassLoss& task, Array<double> loss) override {
    cuda::class_loss(stream, task, loss);
  }
  void class_backward(Stream& stream, const ClassLoss& task, double scale, Array<float> dlogits) override {
    cuda::class_backward(stream, task, scale, dlogits);
  }
  void select_batch(Stream& stream, const SelectBatch& task) override { cuda::select_batch(stream, task); }
  void guarded_update(Stream& stream, const GuardedUpdate& task) override { cuda::guarded_update(stream, task); }
  int64_t random_order_workspace_bytes(int64_t n) override { return cuda::random_order_workspace_bytes(n); }
  void random_order(Stream& stream, uint64_t seed, uint64_t order_stream, Array<int64_t> order,
                    Array<unsigned char> workspace) override {
    cuda::random_order(stream, seed, order_stream, order, workspace);
  }

  void logmel_batch(Stream& stream, const LogMelBatchTask& task) override { cuda::logmel_batch(stream, task); }
};

}  // namespace

Backend& cuda_backend() {
  static CudaBackend backend;
  return backend;
}

}  // namespace evenflow::kernels

// The library's one visible name.
extern "C" __attribute__((visibility("default"))) evenflow::kernels::Backend* evenflow_cuda_backend() {
  return &evenflow::kernels::cuda_backend();
}
