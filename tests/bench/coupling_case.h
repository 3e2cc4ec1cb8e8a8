// One coupling with everything its operations need, on inputs whose float64 result is known.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/buffer.h"
#include "kernels/coupling.h"
#include "tests/support/reference.h"

namespace evenflow::bench {

/// `count` multiples of 1 / denominator in [-steps, steps] / denominator: float32 sums of them are exact.
std::vector<double> dyadic(int64_t count, int64_t steps, int64_t denominator, uint64_t stream);
kernels::Buffer<float> narrowed(const std::vector<double>& values);
reference::Maps widened(const kernels::Map& maps);

/// Throws, naming `what`, unless actual is within `bound` of expected, relative to the largest expected value.
void require_close(const kernels::Buffer<float>& actual, const std::vector<double>& expected, double bound,
                   const char* what);
void require_close(const std::vector<double>& actual, const std::vector<double>& expected, double bound,
                   const char* what);

class CouplingCase {
 public:
  explicit CouplingCase(const kernels::CouplingShape& shape);

  void pack();
  void forward();  ///< keeps what backward needs
  void score();    ///< forward without keeping
  void inverse();
  void backward();
  /// Throws unless all of them give what float64 gives.
  void verify();

  /// Multiply-adds count two; backward is twice forward.
  double forward_flop() const;

 private:
  kernels::Map map(const kernels::Buffer<float>& buffer) const;
  kernels::CouplingShape shape_;
  reference::Maps x64_, dy64_;
  reference::CouplingWeights weights64_;
  std::vector<kernels::Buffer<float>> weights_, gradients_;
  kernels::Buffer<float> x_, y_, dy_, dx_, packed_, saved_, workspace_;
  kernels::Buffer<double> log_det_{1};
  kernels::Stream stream_;
};

}  // namespace evenflow::bench
