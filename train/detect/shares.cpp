#include "train/detect/shares.h"

#include <algorithm>

namespace evenflow::train {

Range Shares::of(int rank, int64_t n, int64_t unit) const {
  const int64_t units = (n + unit - 1) / unit, ranks = ranks_.ranks();
  const int64_t first = std::min(n, units * rank / ranks * unit);
  return {first, std::min(n, units * (rank + 1) / ranks * unit) - first};
}

int Shares::owner(int64_t item, int64_t n, int64_t unit) const {
  int rank = 0;
  for (Range share = of(rank, n, unit); item >= share.first + share.count; share = of(rank, n, unit)) {
    ++rank;
  }
  return rank;
}

std::string Shares::from_owner(int64_t item, int64_t n, int64_t unit, const std::function<std::string()>& find) const {
  const int from = owner(item, n, unit);
  std::string text = from == ranks_.rank() ? find() : std::string();
  auto size = static_cast<int64_t>(text.size());
  ranks_.broadcast(&size, sizeof size, from);
  text.resize(static_cast<size_t>(size));
  ranks_.broadcast(text.data(), size, from);
  return text;
}

std::span<const int64_t> Shares::offsets(int64_t n, int64_t unit, size_t bytes) const {
  offsets_.clear();
  for (int rank = 0; rank <= ranks_.ranks(); ++rank) {
    offsets_.push_back(of(rank, n, unit).first * static_cast<int64_t>(bytes));
  }
  return offsets_;
}

}  // namespace evenflow::train
