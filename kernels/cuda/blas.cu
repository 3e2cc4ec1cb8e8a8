// Matrix products through cuBLAS, with a handle and a workspace per stream: the same bits every time.
#include "kernels/cuda/blas.h"

#include <cublas_v2.h>

#include <memory>
#include <string>

#include "kernels/check.h"
#include "kernels/cuda/execution.h"
#include "kernels/cuda/runtime.h"

namespace evenflow::kernels::cuda {
namespace {

void check_cublas(cublasStatus_t status, const char* operation) {
  if (status == CUBLAS_STATUS_SUCCESS) {
    return;
  }
  throw DeviceError(std::string(operation) + ": " + cublasGetStatusString(status));
}

class Blas {
 public:
  Blas(cudaStream_t queue, Device device) : device_(device) {
    check_cublas(cublasCreate(&handle_), "starting cuBLAS");
    check_cublas(cublasSetStream(handle_, queue), "binding cuBLAS to a stream");
    // Its own otherwise, which differs from run to run when graphs are recorded.
    workspace_ = runtime().allocate(workspace_bytes, device);
    check_cublas(cublasSetWorkspace(handle_, workspace_, workspace_bytes), "giving cuBLAS a workspace");
  }
  ~Blas() {
    cublasDestroy(handle_);
    runtime().release(workspace_, device_);
  }
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;
  cublasHandle_t handle() const { return handle_; }

 private:
  static constexpr size_t workspace_bytes = size_t{32} << 20;  // what cuBLAS takes on Hopper
  Device device_;
  cublasHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
};

Blas& blas_of(Stream& stream) {
  std::shared_ptr<void>& slot = attachment(stream, Attachment::cublas);
  const cudaStream_t queue = queue_of(stream);
  if (!slot) {
    slot = std::make_shared<Blas>(queue, stream.device());
  }
  return *static_cast<Blas*>(slot.get());
}

}  // namespace

void multiply(Stream& stream, const BatchedProduct& s, const float* a, const float* b, float* c) {
  constexpr float one = 1.0F;
  const float kept = s.add ? 1.0F : 0.0F;
  const auto as_int = [](int64_t value) { return static_cast<int>(value); };
  const auto op = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const cublasComputeType_t compute =
      s.precision == Precision::float32 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_FAST_TF32;
  // cuBLAS's matrices are column-major: what it sees of a row-major matrix is its transpose, so c^T = b^T a^T.
  check_cublas(cublasGemmStridedBatchedEx(blas_of(stream).handle(), op(s.transpose_b), op(s.transpose_a),
                                          as_int(s.columns), as_int(s.rows), as_int(s.inner), &one, b, CUDA_R_32F,
                                          as_int(s.transpose_b ? s.inner : s.columns), s.stride_b, a, CUDA_R_32F,
                                          as_int(s.transpose_a ? s.rows : s.inner), s.stride_a, &kept, c, CUDA_R_32F,
                                          as_int(s.columns), s.stride_c, as_int(s.batch), compute, CUBLAS_GEMM_DEFAULT),
               "a matrix product");
}

}  // namespace evenflow::kernels::cuda
