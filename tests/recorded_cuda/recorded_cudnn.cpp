#include "recorded_cudnn.h"

#include <algorithm>

namespace evenflow::recorded {
namespace {

template <class Algorithm>
const Offer<Algorithm>& offer_of(const Direction<Algorithm>& direction, Algorithm algorithm) {
  return *std::find_if(direction.offers.begin(), direction.offers.end(),
                       [&](const Offer<Algorithm>& offer) { return offer.algorithm == algorithm; });
}

template <class Algorithm>
cudnnStatus_t choices(const Direction<Algorithm>& direction, int most, int* count, RecordedChoice<Algorithm>* out) {
  *count = 0;
  for (const Offer<Algorithm>& offer : direction.offers) {
    if (*count < most) {
      out[(*count)++] = {offer.algorithm, CUDNN_STATUS_SUCCESS, offer.determinism, offer.math};
    }
  }
  return CUDNN_STATUS_SUCCESS;
}

template <class Algorithm>
cudnnStatus_t execute(Direction<Algorithm>& direction, Algorithm algorithm, const void* workspace, size_t bytes) {
  const Offer<Algorithm>& offer = offer_of(direction, algorithm);
  if (bytes < offer.workspace_bytes || (bytes > 0 && workspace == nullptr)) {
    return CUDNN_STATUS_EXECUTION_FAILED;
  }
  if (offer.runs == CUDNN_STATUS_SUCCESS) {
    direction.executed.push_back(algorithm);
  } else {
    ++direction.refused;
  }
  return offer.runs;
}

/// A handle that stands for nothing.
template <class Handle>
cudnnStatus_t create(Handle* handle) {
  static char nothing;
  *handle = reinterpret_cast<Handle>(&nothing);
  ++cudnn().descriptors;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t destroy() {
  --cudnn().descriptors;
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

Cudnn& cudnn() {
  static Cudnn cudnn;
  return cudnn;
}

}  // namespace evenflow::recorded

using namespace evenflow::recorded;  // NOLINT(google-build-using-namespace): cuDNN's names have none

const char* cudnnGetErrorString(cudnnStatus_t status) {
  return status == CUDNN_STATUS_NOT_SUPPORTED_SHAPE ? "CUDNN_STATUS_NOT_SUPPORTED_SHAPE" : "another status";
}
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  return create(handle);
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t) {
  return destroy();
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t) {
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* tensor) {
  return create(tensor);
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t) {
  return destroy();
}
cudnnStatus_t cudnnSetTensor4dDescriptorEx(cudnnTensorDescriptor_t, cudnnDataType_t, int, int, int, int, int, int, int,
                                           int) {
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* filter) {
  return create(filter);
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t) {
  return destroy();
}
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t, cudnnDataType_t, cudnnTensorFormat_t, int, int, int,
                                         int) {
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* settings) {
  return create(settings);
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t) {
  return destroy();
}
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t, int, int, int, int, int, int,
                                              cudnnConvolutionMode_t, cudnnDataType_t) {
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t, cudnnMathType_t) {
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t,
                                                     cudnnConvolutionDescriptor_t, cudnnTensorDescriptor_t, int most,
                                                     int* count, cudnnConvolutionFwdAlgoPerf_t* out) {
  return choices(cudnn().forward, most, count, out);
}
cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t,
                                                      cudnnConvolutionDescriptor_t, cudnnTensorDescriptor_t,
                                                      cudnnConvolutionFwdAlgo_t algorithm, size_t* bytes) {
  *bytes = offer_of(cudnn().forward, algorithm).workspace_bytes;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t, const void*, cudnnTensorDescriptor_t, const void*,
                                      cudnnFilterDescriptor_t, const void*, cudnnConvolutionDescriptor_t,
                                      cudnnConvolutionFwdAlgo_t algorithm, void* workspace, size_t bytes, const void*,
                                      cudnnTensorDescriptor_t, void*) {
  return execute(cudnn().forward, algorithm, workspace, bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, cudnnFilterDescriptor_t,
                                                          cudnnTensorDescriptor_t, cudnnConvolutionDescriptor_t,
                                                          cudnnTensorDescriptor_t, int most, int* count,
                                                          cudnnConvolutionBwdDataAlgoPerf_t* out) {
  return choices(cudnn().backward_data, most, count, out);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t, cudnnFilterDescriptor_t,
                                                           cudnnTensorDescriptor_t, cudnnConvolutionDescriptor_t,
                                                           cudnnTensorDescriptor_t,
                                                           cudnnConvolutionBwdDataAlgo_t algorithm, size_t* bytes) {
  *bytes = offer_of(cudnn().backward_data, algorithm).workspace_bytes;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t, const void*, cudnnFilterDescriptor_t, const void*,
                                           cudnnTensorDescriptor_t, const void*, cudnnConvolutionDescriptor_t,
                                           cudnnConvolutionBwdDataAlgo_t algorithm, void* workspace, size_t bytes,
                                           const void*, cudnnTensorDescriptor_t, void*) {
  return execute(cudnn().backward_data, algorithm, workspace, bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t,
                                                            cudnnTensorDescriptor_t, cudnnConvolutionDescriptor_t,
                                                            cudnnFilterDescriptor_t, int most, int* count,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t* out) {
  return choices(cudnn().backward_weight, most, count, out);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t,
                                                             cudnnTensorDescriptor_t, cudnnConvolutionDescriptor_t,
                                                             cudnnFilterDescriptor_t,
                                                             cudnnConvolutionBwdFilterAlgo_t algorithm, size_t* bytes) {
  *bytes = offer_of(cudnn().backward_weight, algorithm).workspace_bytes;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t, const void*, cudnnTensorDescriptor_t, const void*,
                                             cudnnTensorDescriptor_t, const void*, cudnnConvolutionDescriptor_t,
                                             cudnnConvolutionBwdFilterAlgo_t algorithm, void* workspace, size_t bytes,
                                             const void*, cudnnFilterDescriptor_t, void*) {
  return execute(cudnn().backward_weight, algorithm, workspace, bytes);
}
