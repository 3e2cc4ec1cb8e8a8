#include "train/detect/column_exchange.h"

#include <algorithm>

namespace evenflow::train {
namespace {

constexpr int64_t cache_line = 16;  // floats

void grow(kernels::Buffer<float>& buffer, int64_t size) {
  if (buffer.size() < size) {
    buffer = kernels::Buffer<float>(size);
  }
}

}  // namespace

ColumnExchange::ColumnExchange(const Shares& shares, int64_t row)
    : shares_(shares), row_(row), columns_(shares.mine(row, cache_line)) {}

void ColumnExchange::begin(int64_t rows) {
  rows_ = rows;
  own_rows_ = shares_.mine(rows, 1).count;
  grow(outgoing_, own_rows_ * row_);
  grow(incoming_, rows_ * columns_.count);
  outgoing_offsets_.clear();
  incoming_offsets_.clear();
  constexpr auto bytes = static_cast<int64_t>(sizeof(float));
  for (int rank = 0; rank <= shares_.ranks().ranks(); ++rank) {
    outgoing_offsets_.push_back(shares_.of(rank, row_, cache_line).first * own_rows_ * bytes);
    incoming_offsets_.push_back(shares_.of(rank, rows_, 1).first * columns_.count * bytes);
  }
}

void ColumnExchange::put(int64_t own_row, const float* values) {
  for (int rank = 0; rank < shares_.ranks().ranks(); ++rank) {
    const Range columns = shares_.of(rank, row_, cache_line);
    std::copy_n(values + columns.first, columns.count,
                outgoing_.data() + columns.first * own_rows_ + own_row * columns.count);
  }
}

void ColumnExchange::exchange() {
  shares_.ranks().exchange(outgoing_.data(), outgoing_offsets_, incoming_.data(), incoming_offsets_);
}

void ColumnExchange::gather(kernels::Array<float> sum) const {
  shares_.gather(std::span(sum.data, static_cast<size_t>(sum.size)), cache_line);
}

}  // namespace evenflow::train
