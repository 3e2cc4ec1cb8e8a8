// Sums the rows of all ranks, in the rows' order: each rank gets a slice of columns of every row and sums that.
#pragma once

#include <cstdint>

#include "kernels/buffer.h"
#include "train/detect/shares.h"

namespace evenflow::train {

/// The rows are a batch's, dealt to the ranks as Shares deals them. Every rank makes the same calls.
class ColumnExchange {
 public:
  /// Rows of so many floats, whole cache lines.
  ColumnExchange(const Shares& shares, int64_t row);

  /// `rows` of all ranks; no allocation where there have been as many.
  void begin(int64_t rows);
  /// One of this rank's rows, counted among its own. From any thread.
  void put(int64_t own_row, const float* values);
  void exchange();

  /// After exchange(): this rank's columns, and of them every row, in order.
  Range columns() const { return columns_; }
  kernels::Array<const float> received() const { return incoming_.slice(0, rows_ * columns_.count); }
  /// This rank's sums stand in their columns of `sum`; afterwards every rank has all.
  void gather(kernels::Array<float> sum) const;

 private:
  const Shares& shares_;
  int64_t row_, rows_ = 0, own_rows_ = 0;
  Range columns_;
  kernels::Buffer<float> outgoing_, incoming_;
  std::vector<int64_t> outgoing_offsets_, incoming_offsets_;  // bytes
};

}  // namespace evenflow::train
