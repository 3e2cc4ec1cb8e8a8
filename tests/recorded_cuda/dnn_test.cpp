// Which of cuDNN's algorithms kernels/cuda/dnn.cu takes, and what it does when one refuses.
#include "kernels/cuda/dnn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "kernels/check.h"
#include "kernels/graph.h"
#include "recorded_cuda.h"
#include "recorded_cudnn.h"

namespace evenflow::kernels::cuda {
namespace {

using recorded::cudnn;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr size_t mebibyte = size_t{1} << 20;

class RecordedCudnn : public ::testing::Test {
 protected:
  RecordedCudnn() {
    recorded::forget_device();
    use_cuda_backend(&recorded::backend());
    // As on the first GPU: what is fastest comes first, plain sums last.
    cudnn() = {};
    cudnn().forward.offers = {{CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED, mebibyte},
                              {CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING, mebibyte},
                              {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, 2 * mebibyte},
                              {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM}};
    cudnn().backward_data.offers = {
        {CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, 0, CUDNN_STATUS_SUCCESS, CUDNN_NON_DETERMINISTIC},
        {CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD, mebibyte},
        {CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT, mebibyte},
        {CUDNN_CONVOLUTION_BWD_DATA_ALGO_1}};
    cudnn().backward_weight.offers = {
        {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3, 0, CUDNN_STATUS_SUCCESS, CUDNN_NON_DETERMINISTIC},
        {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED, mebibyte},
        {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT, mebibyte},
        {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1}};
  }
  ~RecordedCudnn() override {
    use_cuda_backend(nullptr);
    EXPECT_EQ(cudnn().descriptors, 0);
  }
};

/// The maps on which a GPU's transforms lost small gradients.
Convolution small_maps(Precision precision) {
  return {
      .n = 3, .in = 37, .out = 37, .height = 3, .width = 2, .x_stride = 222, .y_stride = 222, .precision = precision};
}
void run_all_directions(Stream& stream, const Convolution& shape) {
  convolve(stream, shape, nullptr, nullptr, nullptr);
  convolve_backward_data(stream, shape, nullptr, nullptr, nullptr);
  convolve_backward_weight(stream, shape, nullptr, nullptr, nullptr);
}

TEST_F(RecordedCudnn, Float32TakesPlainSumsOfProducts) {
  Stream stream({DeviceType::cuda, 0});
  run_all_directions(stream, small_maps(Precision::float32));
  EXPECT_THAT(cudnn().forward.executed, ElementsAre(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM));
  EXPECT_THAT(cudnn().backward_data.executed, ElementsAre(CUDNN_CONVOLUTION_BWD_DATA_ALGO_1));
  EXPECT_THAT(cudnn().backward_weight.executed, ElementsAre(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1));
}

TEST_F(RecordedCudnn, OtherPrecisionsTakeTheFirstThatIsDeterministic) {
  for (const Precision precision : {Precision::tf32, Precision::bf16}) {
    Stream stream({DeviceType::cuda, 0});
    run_all_directions(stream, small_maps(precision));
  }
  EXPECT_THAT(cudnn().forward.executed, Each(CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED));
  EXPECT_THAT(cudnn().backward_data.executed, Each(CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD));
  EXPECT_THAT(cudnn().backward_weight.executed, Each(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED));
}

TEST_F(RecordedCudnn, TensorCoresAreNotForFloat32) {
  cudnn().forward.offers[2].math = CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
  Stream stream({DeviceType::cuda, 0});
  run_all_directions(stream, small_maps(Precision::float32));
  EXPECT_THAT(cudnn().forward.executed, ElementsAre(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM));
}

TEST_F(RecordedCudnn, AWorkspaceHasACap) {
  const Convolution shape = small_maps(Precision::tf32);
  const size_t most = 64 * mebibyte + size_t{2} * 3 * (37 + 37) * 6 * sizeof(float);
  cudnn().forward.offers[0].workspace_bytes = most + 1;
  cudnn().forward.offers[1].workspace_bytes = most;
  Stream stream({DeviceType::cuda, 0});
  run_all_directions(stream, shape);
  EXPECT_THAT(cudnn().forward.executed, ElementsAre(CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING));
  EXPECT_LE(stream.scratch_bytes(), static_cast<int64_t>(most) + 256);
}

TEST_F(RecordedCudnn, WhatRefusesGivesWayToTheNextForGood) {
  cudnn().forward.offers[2].runs = CUDNN_STATUS_NOT_SUPPORTED_SHAPE;
  const Convolution shape = small_maps(Precision::float32);
  Stream stream({DeviceType::cuda, 0});
  run_all_directions(stream, shape);
  const Graph graph(stream, [&] { run_all_directions(stream, shape); });
  EXPECT_THAT(cudnn().forward.executed,
              ElementsAre(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM));
  EXPECT_EQ(cudnn().forward.refused, 1);
}

TEST_F(RecordedCudnn, AnErrorOfTheLastIsTold) {
  cudnn().backward_weight.offers.back().runs = CUDNN_STATUS_NOT_SUPPORTED_SHAPE;
  Stream stream({DeviceType::cuda, 0});
  try {
    run_all_directions(stream, small_maps(Precision::float32));
    FAIL() << "nothing was thrown";
  } catch (const DeviceError& error) {
    EXPECT_THAT(error.what(), HasSubstr("a convolution's weight gradient: CUDNN_STATUS_NOT_SUPPORTED_SHAPE"));
  }
}

// It may have added to the gradients already.
TEST_F(RecordedCudnn, WhatFailedIsNotTriedInAnotherWay) {
  cudnn().backward_weight.offers[1].runs = CUDNN_STATUS_EXECUTION_FAILED;
  Stream stream({DeviceType::cuda, 0});
  EXPECT_THROW(run_all_directions(stream, small_maps(Precision::tf32)), DeviceError);
  EXPECT_THAT(cudnn().backward_weight.executed, ElementsAre());
}

}  // namespace
}  // namespace evenflow::kernels::cuda
