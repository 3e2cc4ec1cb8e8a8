// 3 x 3 convolutions through cuDNN. A plan per shape and stream: the heuristics' first choice that is deterministic,
// made when a direction is first used.
#include "kernels/cuda/dnn.h"

#include <cudnn.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "kernels/check.h"
#include "kernels/cuda/execution.h"
#include "kernels/cuda/runtime.h"

namespace evenflow::kernels::cuda {
namespace {

void check_cudnn(cudnnStatus_t status, const char* operation) {
  if (status == CUDNN_STATUS_SUCCESS) {
    return;
  }
  throw DeviceError(std::string(operation) + ": " + cudnnGetErrorString(status));
}

/// Owns one of cuDNN's descriptors.
template <class Handle, cudnnStatus_t (*kCreate)(Handle*), cudnnStatus_t (*kDestroy)(Handle)>
class Descriptor {
 public:
  Descriptor() { check_cudnn(kCreate(&handle_), "making a cuDNN descriptor"); }
  ~Descriptor() { kDestroy(handle_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator Handle() const { return handle_; }  // NOLINT(google-explicit-constructor): stands for the handle

 private:
  Handle handle_ = nullptr;
};
using Tensor = Descriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
using Filter = Descriptor<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using Settings =
    Descriptor<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>;
using Context = Descriptor<cudnnHandle_t, cudnnCreate, cudnnDestroy>;

void set_tensor(const Tensor& tensor, const Convolution& s, int64_t channels, int64_t stride) {
  const auto as_int = [](int64_t value) { return static_cast<int>(value); };
  check_cudnn(
      cudnnSetTensor4dDescriptorEx(tensor, CUDNN_DATA_FLOAT, as_int(s.n), as_int(channels), as_int(s.height),
                                   as_int(s.width), as_int(stride), as_int(s.height * s.width), as_int(s.width), 1),
      "describing a convolution's maps");
}

/// The heuristics' first choice that works, gives the same bits every time and, for float32, keeps off the tensor
/// cores. The descriptor's own math type holds for all three directions: what a choice takes of it is asked for
/// afterwards.
template <class Choice>
auto first_usable(const std::vector<Choice>& choices, Precision precision, const char* operation) {
  for (const Choice& choice : choices) {
    const bool tensor_cores =
        choice.mathType == CUDNN_TENSOR_OP_MATH || choice.mathType == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
    if (choice.status != CUDNN_STATUS_SUCCESS || choice.determinism != CUDNN_DETERMINISTIC) {
      continue;
    }
    if (precision != Precision::float32 || !tensor_cores) {
      return choice.algo;
    }
  }
  throw DeviceError(std::string(operation) + ": cuDNN has no deterministic algorithm for this shape");
}

constexpr int most_choices = 16;
template <class Choice, class Ask>
std::vector<Choice> ask_for(const Ask& ask, const char* operation) {
  std::vector<Choice> choices(most_choices);
  int count = 0;
  check_cudnn(ask(most_choices, &count, choices.data()), operation);
  choices.resize(static_cast<size_t>(count));
  return choices;
}

struct Plan {
  explicit Plan(const Convolution& s) : shape(s) {
    set_tensor(x, s, s.in, s.x_stride);
    set_tensor(y, s, s.out, s.y_stride);
    check_cudnn(cudnnSetFilter4dDescriptor(weight, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, static_cast<int>(s.out),
                                           static_cast<int>(s.in), 3, 3),
                "describing a convolution's weight");
    check_cudnn(cudnnSetConvolution2dDescriptor(settings, 1, 1, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
                "describing a convolution");
    const cudnnMathType_t math = s.precision == Precision::float32 ? CUDNN_FMA_MATH : CUDNN_DEFAULT_MATH;
    check_cudnn(cudnnSetConvolutionMathType(settings, math), "describing a convolution");
  }

  void plan_forward(cudnnHandle_t context) {
    if (forward_planned) {
      return;
    }
    const auto choices = ask_for<cudnnConvolutionFwdAlgoPerf_t>(
        [&](int most, int* count, cudnnConvolutionFwdAlgoPerf_t* out) {
          return cudnnGetConvolutionForwardAlgorithm_v7(context, x, weight, settings, y, most, count, out);
        },
        "planning a convolution");
    forward = first_usable(choices, shape.precision, "a convolution");
    check_cudnn(cudnnGetConvolutionForwardWorkspaceSize(context, x, weight, settings, y, forward, &forward_bytes),
                "planning a convolution");
    forward_planned = true;
  }

  void plan_backward(cudnnHandle_t context) {
    if (backward_planned) {
      return;
    }
    const auto for_data = ask_for<cudnnConvolutionBwdDataAlgoPerf_t>(
        [&](int most, int* count, cudnnConvolutionBwdDataAlgoPerf_t* out) {
          return cudnnGetConvolutionBackwardDataAlgorithm_v7(context, weight, y, settings, x, most, count, out);
        },
        "planning a convolution's data gradient");
    backward_data = first_usable(for_data, shape.precision, "a convolution's data gradient");
    check_cudnn(cudnnGetConvolutionBackwardDataWorkspaceSize(context, weight, y, settings, x, backward_data,
                                                             &backward_data_bytes),
                "planning a convolution's data gradient");
    const auto for_weight = ask_for<cudnnConvolutionBwdFilterAlgoPerf_t>(
        [&](int most, int* count, cudnnConvolutionBwdFilterAlgoPerf_t* out) {
          return cudnnGetConvolutionBackwardFilterAlgorithm_v7(context, x, y, settings, weight, most, count, out);
        },
        "planning a convolution's weight gradient");
    backward_weight = first_usable(for_weight, shape.precision, "a convolution's weight gradient");
    check_cudnn(cudnnGetConvolutionBackwardFilterWorkspaceSize(context, x, y, settings, weight, backward_weight,
                                                               &backward_weight_bytes),
                "planning a convolution's weight gradient");
    backward_planned = true;
  }

  Convolution shape;
  Tensor x, y;
  Filter weight;
  Settings settings;
  cudnnConvolutionFwdAlgo_t forward{};
  cudnnConvolutionBwdDataAlgo_t backward_data{};
  cudnnConvolutionBwdFilterAlgo_t backward_weight{};
  bool forward_planned = false, backward_planned = false;
  size_t forward_bytes = 0, backward_data_bytes = 0, backward_weight_bytes = 0;
};

struct Dnn {
  Context context;
  std::vector<std::unique_ptr<Plan>> plans;
};

Dnn& dnn_of(Stream& stream) {
  std::shared_ptr<void>& slot = attachment(stream, Attachment::cudnn);
  const cudaStream_t queue = queue_of(stream);
  if (!slot) {
    auto dnn = std::make_shared<Dnn>();
    check_cudnn(cudnnSetStream(dnn->context, queue), "binding cuDNN to a stream");
    slot = dnn;
  }
  return *static_cast<Dnn*>(slot.get());
}

Plan& plan_of(Dnn& dnn, const Convolution& shape) {
  for (const auto& plan : dnn.plans) {
    if (plan->shape == shape) {
      return *plan;
    }
  }
  dnn.plans.push_back(std::make_unique<Plan>(shape));
  return *dnn.plans.back();
}

constexpr float one = 1.0F, none = 0.0F;

}  // namespace

void convolve(Stream& stream, const Convolution& shape, const float* x, const float* weight, float* y) {
  Dnn& dnn = dnn_of(stream);
  Plan& p = plan_of(dnn, shape);
  p.plan_forward(dnn.context);
  void* workspace = scratch(stream, static_cast<int64_t>(p.forward_bytes));
  check_cudnn(cudnnConvolutionForward(dnn.context, &one, p.x, x, p.weight, weight, p.settings, p.forward, workspace,
                                      p.forward_bytes, &none, p.y, y),
              "a convolution");
}

void convolve_backward_data(Stream& stream, const Convolution& shape, const float* weight, const float* dy, float* dx) {
  Dnn& dnn = dnn_of(stream);
  Plan& p = plan_of(dnn, shape);
  p.plan_backward(dnn.context);
  void* workspace = scratch(stream, static_cast<int64_t>(p.backward_data_bytes));
  check_cudnn(cudnnConvolutionBackwardData(dnn.context, &one, p.weight, weight, p.y, dy, p.settings, p.backward_data,
                                           workspace, p.backward_data_bytes, &none, p.x, dx),
              "a convolution's data gradient");
}

void convolve_backward_weight(Stream& stream, const Convolution& shape, const float* x, const float* dy,
                              float* dweight) {
  Dnn& dnn = dnn_of(stream);
  Plan& p = plan_of(dnn, shape);
  p.plan_backward(dnn.context);
  void* workspace = scratch(stream, static_cast<int64_t>(p.backward_weight_bytes));
  check_cudnn(cudnnConvolutionBackwardFilter(dnn.context, &one, p.x, x, p.y, dy, p.settings, p.backward_weight,
                                             workspace, p.backward_weight_bytes, &one, p.weight, dweight),
              "a convolution's weight gradient");
}

}  // namespace evenflow::kernels::cuda
