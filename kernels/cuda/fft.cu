// Real Fourier transforms through cuFFT, a plan per length and batch, kept by the stream.
#include "kernels/cuda/fft.h"

#include <cufft.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "kernels/check.h"
#include "kernels/cuda/execution.h"
#include "kernels/cuda/runtime.h"

namespace evenflow::kernels::cuda {
namespace {

void check_cufft(cufftResult status, const char* operation) {
  if (status == CUFFT_SUCCESS) {
    return;
  }
  throw DeviceError(std::string(operation) + ": cuFFT's error " + std::to_string(static_cast<int>(status)));
}

class Plan {
 public:
  Plan(cudaStream_t queue, const RealFft& shape) {
    check_cufft(cufftCreate(&handle_), "making a Fourier transform");
    try {
      make(queue, shape);
    } catch (...) {
      cufftDestroy(handle_);
      throw;
    }
  }
  ~Plan() { cufftDestroy(handle_); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  cufftHandle handle() const { return handle_; }
  size_t workspace_bytes() const { return workspace_bytes_; }

 private:
  void make(cudaStream_t queue, const RealFft& shape) {
    int n = shape.n;
    check_cufft(cufftSetAutoAllocation(handle_, 0), "making a Fourier transform");
    check_cufft(
        cufftMakePlanMany(handle_, 1, &n, nullptr, 1, 0, nullptr, 1, 0, CUFFT_R2C, shape.batch, &workspace_bytes_),
        "planning a Fourier transform");
    check_cufft(cufftSetStream(handle_, queue), "making a Fourier transform");
  }

  cufftHandle handle_{};
  size_t workspace_bytes_ = 0;
};

using Plans = std::map<std::pair<int, int>, Plan>;  // by n and batch

const Plan& plan_of(Stream& stream, const RealFft& shape) {
  const cudaStream_t queue = queue_of(stream);
  std::shared_ptr<void>& kept = attachment(stream, Attachment::cufft);
  if (!kept) {
    kept = std::make_shared<Plans>();
  }
  auto& plans = *static_cast<Plans*>(kept.get());
  return plans.try_emplace({shape.n, shape.batch}, queue, shape).first->second;
}

}  // namespace

int64_t real_fft_workspace_bytes(Stream& stream, const RealFft& shape) {
  return static_cast<int64_t>(plan_of(stream, shape).workspace_bytes());
}

void real_fft(Stream& stream, const RealFft& shape, const float* in, float* out, void* workspace) {
  const Plan& plan = plan_of(stream, shape);
  check_cufft(cufftSetWorkArea(plan.handle(), workspace), "a Fourier transform");
  // Out of place a transform of real points leaves its input as it was; cuFFT takes it as not const all the same.
  check_cufft(cufftExecR2C(plan.handle(), const_cast<float*>(in), reinterpret_cast<cufftComplex*>(out)),
              "a Fourier transform");
}

}  // namespace evenflow::kernels::cuda
