// What a profiler asks of the device: cuBLAS's speed, and names for Nsight. The one kernel fills the matrices.
#include "kernels/cuda/probe.h"

#include <cublas_v2.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>

#include "kernels/check.h"
#include "kernels/cuda/execution.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/runtime.h"

namespace evenflow::kernels::cuda {
namespace {

// Uniform in [-1, 1): zeros would draw less power and so run at a higher clock than any real product.
__device__ float uniform(int64_t i) {
  uint32_t x = static_cast<uint32_t>(i) * 2654435761U + 12345U;
  x ^= x >> 16U;
  x *= 0x45d9f3bU;
  x ^= x >> 16U;
  return static_cast<float>(x >> 8U) * 0x1p-23F - 1.0F;
}

__global__ void fill_float_kernel(int64_t n, float* out) {
  after_predecessor();
  for (int64_t i = first_item(); i < n; i += item_stride()) {
    out[i] = uniform(i);
  }
}

__global__ void fill_bf16_kernel(int64_t n, __nv_bfloat16* out) {
  after_predecessor();
  for (int64_t i = first_item(); i < n; i += item_stride()) {
    out[i] = __float2bfloat16(uniform(i));
  }
}

class Block {
 public:
  Block(int64_t bytes, Device device)
      : device_(device), data_(runtime().allocate(static_cast<size_t>(bytes), device)) {}
  ~Block() { runtime().release(data_, device_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  void* data() const { return data_; }

 private:
  Device device_;
  void* data_;
};

void check_cublas(cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw DeviceError(std::string("cuBLAS' matrix product: ") + cublasGetStatusString(status));
  }
}

double gemm_seconds(Stream& stream, Precision precision, int n) {
  const Device device = stream.device();
  const bool bf16 = precision == Precision::bf16;
  const int64_t size = int64_t{n} * n;
  const int64_t input_bytes = size * static_cast<int64_t>(bf16 ? sizeof(__nv_bfloat16) : sizeof(float));
  const Block a(input_bytes, device), b(input_bytes, device), c(size * static_cast<int64_t>(sizeof(float)), device);
  for (const Block* input : {&a, &b}) {
    if (bf16) {
      launch(stream, {"fill", blocks_for(size), block_threads}, fill_bf16_kernel, size,
             static_cast<__nv_bfloat16*>(input->data()));
    } else {
      launch(stream, {"fill", blocks_for(size), block_threads}, fill_float_kernel, size,
             static_cast<float*>(input->data()));
    }
  }
  cublasHandle_t handle = nullptr;
  const cudaStream_t queue = queue_of(stream);
  check_cublas(cublasCreate(&handle));
  const std::unique_ptr<cublasContext, cublasStatus_t (*)(cublasHandle_t)> owner(handle, cublasDestroy);
  check_cublas(cublasSetStream(handle, queue));
  const cudaDataType_t type = bf16 ? CUDA_R_16BF : CUDA_R_32F;
  const cublasComputeType_t compute = precision == Precision::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const float one = 1.0F;
  const float zero = 0.0F;
  const auto release = [](void* event) { runtime().release_event(event); };
  const std::unique_ptr<void, decltype(release)> begin(runtime().create_event(device), release),
      end(runtime().create_event(device), release);
  double best = std::numeric_limits<double>::infinity();
  constexpr int warm_up = 3, repetitions = 10;
  for (int i = 0; i < warm_up + repetitions; ++i) {
    runtime().record_event(stream, begin.get());
    check_cublas(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, a.data(), type, n, b.data(), type, n,
                              &zero, c.data(), CUDA_R_32F, n, compute, CUBLAS_GEMM_DEFAULT));
    runtime().record_event(stream, end.get());
    const double seconds = runtime().event_seconds(begin.get(), end.get());
    if (i >= warm_up) {
      best = std::min(best, seconds);
    }
  }
  runtime().synchronise(stream);
  return best;
}

class RangeMarker final : public Tracer {
 public:
  void begin(const char* name, const Cost&) override { nvtxRangePushA(name); }
  void end() noexcept override { nvtxRangePop(); }
};

}  // namespace

double measure_gemm(Stream& stream, Precision precision) {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  queue_of(stream);  // makes its device the current one
  check_cuda(cudaMemGetInfo(&free_bytes, &total_bytes), "asking for the free memory");
  int n = 8192;
  while (n > 1024 && 4 * sizeof(float) * static_cast<size_t>(n) * static_cast<size_t>(n) > free_bytes) {
    n /= 2;
  }
  return 2.0 * n * n * n / gemm_seconds(stream, precision, n);
}

Tracer* range_marker() {
  static RangeMarker marker;
  return &marker;
}

}  // namespace evenflow::kernels::cuda
