// What one thread does alone in a training step while the others wait: everything that Workers and the trainer do
// between two batches.
#pragma once

#include <cstdint>

#include "flow/glow.h"
#include "train/loop/guard.h"
#include "train/loop/optimizer.h"

namespace evenflow::bench {

class SerialPart {
 public:
  /// As many rows of gradients as the workers have chunks of a batch.
  static constexpr int64_t chunks = 32;

  explicit SerialPart(flow::Glow& glow);
  kernels::Array<float> row(int64_t chunk) const { return rows_.slice(chunk * row_floats_, glow_.raw_gradient_size()); }
  /// Not alone: all workers share the columns.
  void sum_rows(kernels::Stream& stream);
  void step(kernels::Stream& stream);

  /// Seconds to hand a batch's empty chunks, and then its columns, to one thread a core and to wait for the ends.
  static double hand_out();

 private:
  flow::Glow& glow_;
  int64_t row_floats_;
  kernels::Buffer<float> rows_, sum_;
  kernels::Buffer<double> squared_norm_{1};
  train::Optimizer optimizer_;
  train::Guard guard_{optimizer_};
};

}  // namespace evenflow::bench
