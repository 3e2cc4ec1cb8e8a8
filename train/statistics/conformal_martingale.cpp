#include "train/statistics/conformal_martingale.h"

#include <algorithm>
#include <limits>

#include "train/statistics/random.h"

namespace evenflow::train {
namespace {

constexpr double jump_rate = 0.001;
constexpr uint64_t ties_stream = 0x7469;

double median_of(std::vector<double> values) {
  if (values.empty()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

void ConformalMartingale::add(double value) {
  if (static_cast<int64_t>(values_.size()) == run_length) {
    restart();
  }
  const auto [low, high] = std::equal_range(sorted_.begin(), sorted_.end(), value);
  const auto below = static_cast<double>(low - sorted_.begin()), equal = static_cast<double>(high - low);
  const double uniform = static_cast<double>(random_bits(seed_, ties_stream, values_.size()) >> 11) * 0x1p-53;
  const double p = (below + uniform * (equal + 1.0)) / (static_cast<double>(sorted_.size()) + 1.0);
  const double shared = jump_rate / 3.0 * capital();
  for (size_t bet = 0; bet < capital_.size(); ++bet) {
    const double slope = static_cast<double>(bet) - 1.0;
    capital_[bet] = ((1.0 - jump_rate) * capital_[bet] + shared) * (1.0 + slope * (p - 0.5));
  }
  sorted_.insert(low, value);
  values_.push_back(value);
}

double ConformalMartingale::earlier_level() const {
  return median_of({values_.begin(), values_.begin() + static_cast<int64_t>((values_.size() + 1) / 2)});
}

double ConformalMartingale::level() const {
  return median_of({values_.end() - static_cast<int64_t>(std::min(values_.size(), recent)), values_.end()});
}

void ConformalMartingale::restart() {
  values_.clear();
  sorted_.clear();
  capital_.fill(1.0 / 3.0);
}

void ConformalMartingale::replay(const std::vector<double>& values) {
  restart();
  for (const double value : values) {
    add(value);
  }
}

}  // namespace evenflow::train
