// What the recorded cuDNN offers for a convolution's directions, and what it was made to run.
#pragma once

#include <cudnn.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace evenflow::recorded {

template <class Algorithm>
struct Offer {
  Algorithm algorithm;
  size_t workspace_bytes = 0;
  cudnnStatus_t runs = CUDNN_STATUS_SUCCESS;  ///< what execution answers
  cudnnDeterminism_t determinism = CUDNN_DETERMINISTIC;
  cudnnMathType_t math = CUDNN_FMA_MATH;
};

template <class Algorithm>
struct Direction {
  std::vector<Offer<Algorithm>> offers;  ///< as the heuristics order them
  std::vector<Algorithm> executed;       ///< and not refused
  int refused = 0;
};

struct Cudnn {
  Direction<cudnnConvolutionFwdAlgo_t> forward;
  Direction<cudnnConvolutionBwdDataAlgo_t> backward_data;
  Direction<cudnnConvolutionBwdFilterAlgo_t> backward_weight;
  int64_t descriptors = 0;  ///< made and not destroyed, with contexts
};
Cudnn& cudnn();

}  // namespace evenflow::recorded
