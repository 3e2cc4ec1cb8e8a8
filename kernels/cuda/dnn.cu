// 3 x 3 convolutions through cuDNN. A plan per shape and stream: the heuristics' choices that are deterministic and
// exact enough, asked for when a direction is first used.
#include "kernels/cuda/dnn.h"

#include <cudnn.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "kernels/check.h"
#include "kernels/cuda/launch_gpu.h"
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

struct Descriptors {
  explicit Descriptors(const Convolution& s) : shape(s) {
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

  Convolution shape;
  Tensor x, y;
  Filter weight;
  Settings settings;
};

// A convolution's three directions: what cuDNN would choose, what a choice takes of memory, and which choices are plain
// sums of products.

struct Forward {
  using Choice = cudnnConvolutionFwdAlgoPerf_t;
  using Algorithm = cudnnConvolutionFwdAlgo_t;
  static constexpr const char* name = "a convolution";
  static constexpr std::array plain_sums{CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM,
                                         CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
                                         CUDNN_CONVOLUTION_FWD_ALGO_GEMM, CUDNN_CONVOLUTION_FWD_ALGO_DIRECT};
  static cudnnStatus_t choices(cudnnHandle_t context, const Descriptors& d, int most, int* count, Choice* out) {
    return cudnnGetConvolutionForwardAlgorithm_v7(context, d.x, d.weight, d.settings, d.y, most, count, out);
  }
  static cudnnStatus_t workspace(cudnnHandle_t context, const Descriptors& d, Algorithm algorithm, size_t* bytes) {
    return cudnnGetConvolutionForwardWorkspaceSize(context, d.x, d.weight, d.settings, d.y, algorithm, bytes);
  }
};

struct BackwardData {
  using Choice = cudnnConvolutionBwdDataAlgoPerf_t;
  using Algorithm = cudnnConvolutionBwdDataAlgo_t;
  static constexpr const char* name = "a convolution's data gradient";
  static constexpr std::array plain_sums{CUDNN_CONVOLUTION_BWD_DATA_ALGO_1};
  static cudnnStatus_t choices(cudnnHandle_t context, const Descriptors& d, int most, int* count, Choice* out) {
    return cudnnGetConvolutionBackwardDataAlgorithm_v7(context, d.weight, d.y, d.settings, d.x, most, count, out);
  }
  static cudnnStatus_t workspace(cudnnHandle_t context, const Descriptors& d, Algorithm algorithm, size_t* bytes) {
    return cudnnGetConvolutionBackwardDataWorkspaceSize(context, d.weight, d.y, d.settings, d.x, algorithm, bytes);
  }
};

struct BackwardWeight {
  using Choice = cudnnConvolutionBwdFilterAlgoPerf_t;
  using Algorithm = cudnnConvolutionBwdFilterAlgo_t;
  static constexpr const char* name = "a convolution's weight gradient";
  static constexpr std::array plain_sums{CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1};
  static cudnnStatus_t choices(cudnnHandle_t context, const Descriptors& d, int most, int* count, Choice* out) {
    return cudnnGetConvolutionBackwardFilterAlgorithm_v7(context, d.x, d.y, d.settings, d.weight, most, count, out);
  }
  static cudnnStatus_t workspace(cudnnHandle_t context, const Descriptors& d, Algorithm algorithm, size_t* bytes) {
    return cudnnGetConvolutionBackwardFilterWorkspaceSize(context, d.x, d.y, d.settings, d.weight, algorithm, bytes);
  }
};

/// Room for both maps in another layout, and for small ones in whatever cuDNN likes: the memory is kept for the
/// stream's life, and transforms of large batches would take many times as much.
int64_t most_workspace_bytes(const Convolution& s) {
  constexpr int64_t for_small_maps = int64_t{64} << 20;
  return for_small_maps + 2 * s.n * (s.in + s.out) * s.height * s.width * static_cast<int64_t>(sizeof(float));
}

/// Of the heuristics' choices those that give the same bits every time, in the room that there is. For float32 only
/// plain sums of products off the tensor cores: what Winograd's and Fourier's transforms lose is in proportion to the
/// largest element that meets an element in its tile, not to its own sum. The descriptor's own math type holds for all
/// three directions: what a choice takes of it is asked for afterwards.
template <class Direction>
bool is_wanted(const typename Direction::Choice& choice, Precision precision) {
  if (choice.status != CUDNN_STATUS_SUCCESS || choice.determinism != CUDNN_DETERMINISTIC) {
    return false;
  }
  const bool tensor_cores =
      choice.mathType == CUDNN_TENSOR_OP_MATH || choice.mathType == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
  const auto& plain = Direction::plain_sums;
  return precision != Precision::float32 ||
         (!tensor_cores && std::find(plain.begin(), plain.end(), choice.algo) != plain.end());
}

template <class Direction>
struct Candidate {
  typename Direction::Algorithm algorithm;
  size_t workspace_bytes;
};
/// Best first; empty until the direction is first used. What refused to run is gone.
template <class Direction>
using Candidates = std::vector<Candidate<Direction>>;

template <class Direction>
Candidates<Direction> candidates_for(cudnnHandle_t context, const Descriptors& d) {
  constexpr int most_choices = 16;
  std::array<typename Direction::Choice, most_choices> choices{};
  int count = 0;
  check_cudnn(Direction::choices(context, d, most_choices, &count, choices.data()), Direction::name);
  Candidates<Direction> candidates;
  for (int i = 0; i < count; ++i) {
    const auto& choice = choices.at(static_cast<size_t>(i));
    size_t bytes = 0;
    if (is_wanted<Direction>(choice, d.shape.precision) &&
        Direction::workspace(context, d, choice.algo, &bytes) == CUDNN_STATUS_SUCCESS &&
        static_cast<int64_t>(bytes) <= most_workspace_bytes(d.shape)) {
      candidates.push_back({choice.algo, bytes});
    }
  }
  if (candidates.empty()) {
    throw DeviceError(std::string(Direction::name) + ": cuDNN has no deterministic algorithm for this shape");
  }
  return candidates;
}

struct Plan : Descriptors {
  using Descriptors::Descriptors;
  Candidates<Forward> forward;
  Candidates<BackwardData> backward_data;
  Candidates<BackwardWeight> backward_weight;
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

/// Calls execute(algorithm, workspace, its bytes) for the best candidate that does not refuse. A refusal has changed
/// nothing.
template <class Direction, class Execute>
void run_best(Stream& stream, cudnnHandle_t context, const Plan& plan, Candidates<Direction>& candidates,
              const Execute& execute) {
  if (candidates.empty()) {
    candidates = candidates_for<Direction>(context, plan);
  }
  for (;;) {
    const Candidate<Direction> best = candidates.front();
    void* workspace = scratch(stream, static_cast<int64_t>(best.workspace_bytes));
    const cudnnStatus_t status = execute(best.algorithm, workspace, best.workspace_bytes);
    if (CUDNN_STATUS_CATEGORY(status) != CUDNN_STATUS_NOT_SUPPORTED || candidates.size() == 1) {
      check_cudnn(status, Direction::name);
      return;
    }
    candidates.erase(candidates.begin());
  }
}

constexpr float one = 1.0F, none = 0.0F;

}  // namespace

void convolve(Stream& stream, const Convolution& shape, const float* x, const float* weight, float* y) {
  Dnn& dnn = dnn_of(stream);
  Plan& p = plan_of(dnn, shape);
  run_best(stream, dnn.context, p, p.forward, [&](auto algorithm, void* workspace, size_t bytes) {
    return cudnnConvolutionForward(dnn.context, &one, p.x, x, p.weight, weight, p.settings, algorithm, workspace, bytes,
                                   &none, p.y, y);
  });
}

void convolve_backward_data(Stream& stream, const Convolution& shape, const float* weight, const float* dy, float* dx) {
  Dnn& dnn = dnn_of(stream);
  Plan& p = plan_of(dnn, shape);
  run_best(stream, dnn.context, p, p.backward_data, [&](auto algorithm, void* workspace, size_t bytes) {
    return cudnnConvolutionBackwardData(dnn.context, &one, p.weight, weight, p.y, dy, p.settings, algorithm, workspace,
                                        bytes, &none, p.x, dx);
  });
}

void convolve_backward_weight(Stream& stream, const Convolution& shape, const float* x, const float* dy,
                              float* dweight) {
  Dnn& dnn = dnn_of(stream);
  Plan& p = plan_of(dnn, shape);
  run_best(stream, dnn.context, p, p.backward_weight, [&](auto algorithm, void* workspace, size_t bytes) {
    return cudnnConvolutionBackwardFilter(dnn.context, &one, p.x, x, p.y, dy, p.settings, algorithm, workspace, bytes,
                                          &one, p.weight, dweight);
  });
}

}  // namespace evenflow::kernels::cuda
