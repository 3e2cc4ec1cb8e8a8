// How the ranks of a training share a batch: each carries some of its windows, and all know what came of every one.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/communicator.h"

namespace evenflow::train {

/// [first, first + count)
struct Range {
  int64_t first = 0, count = 0;
};

class Shares {
 public:
  /// `ranks` outlives it.
  explicit Shares(kernels::Communicator& ranks) : ranks_(ranks) {}

  kernels::Communicator& ranks() const { return ranks_; }
  bool alone() const { return ranks_.ranks() == 1; }
  /// A rank's share of n items, in units of so many: the ranks' shares lie one behind the other, and some may be empty.
  Range of(int rank, int64_t n, int64_t unit) const;
  Range mine(int64_t n, int64_t unit) const { return of(ranks_.rank(), n, unit); }
  int owner(int64_t item, int64_t n, int64_t unit) const;

  /// Every rank has written its share; afterwards each has all.
  template <class T>
  void gather(std::span<T> values, int64_t unit) const {
    ranks_.gather(values.data(), offsets(static_cast<int64_t>(values.size()), unit, sizeof(T)));
  }
  /// The text that `find` gives on the rank whose share the item is in, to all.
  std::string from_owner(int64_t item, int64_t n, int64_t unit, const std::function<std::string()>& find) const;

 private:
  std::span<const int64_t> offsets(int64_t n, int64_t unit, size_t bytes) const;
  kernels::Communicator& ranks_;
  mutable std::vector<int64_t> offsets_;
};

}  // namespace evenflow::train
