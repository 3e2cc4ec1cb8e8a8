#include "experiments/sweep/importance.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "kernels/random.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {
namespace {

constexpr size_t fewest_trials = 10, most_in_sample = 300, subsamples = 40, trees = 24;

struct Table {
  std::vector<std::vector<double>> x;  ///< [trial][key], from 0 to 1; -1 where the key is left out
  std::vector<double> y;
};

/// Draws in a row from one stream.
class Draws {
 public:
  explicit Draws(uint64_t seed) : seed_(seed) {}
  size_t below(size_t n) { return kernels::random_bits(seed_, 0, counter_++) % n; }
  template <class T>
  void shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1], values[below(i)]);
    }
  }

 private:
  uint64_t seed_;
  uint64_t counter_ = 0;
};

/// A regression tree, grown until its leaves have few trials.
class Tree {
 public:
  Tree(const Table& table, std::vector<size_t> rows, Draws& draws) { grow(table, std::move(rows), draws); }

  double predict(const std::vector<double>& x) const {
    size_t at = 0;
    while (nodes_[at].left != 0) {
      at = x[nodes_[at].key] <= nodes_[at].threshold ? nodes_[at].left : nodes_[at].right;
    }
    return nodes_[at].mean;
  }

 private:
  struct Node {
    double mean = 0, threshold = 0;
    size_t key = 0, left = 0, right = 0;
  };
  struct Split {
    double gain = 0, threshold = 0;
    size_t key = 0;
  };

  /// The cut of one key that lowers the sum of squares most.
  static void try_key(const Table& table, std::vector<size_t>& rows, size_t key, Split& best) {
    std::sort(rows.begin(), rows.end(), [&](size_t a, size_t b) { return table.x[a][key] < table.x[b][key]; });
    const double sum =
        std::accumulate(rows.begin(), rows.end(), 0.0, [&](double s, size_t r) { return s + table.y[r]; });
    const auto n = static_cast<double>(rows.size());
    double left = 0;
    for (size_t i = 1; i < rows.size(); ++i) {
      left += table.y[rows[i - 1]];
      const double below = table.x[rows[i - 1]][key], above = table.x[rows[i]][key];
      const auto count = static_cast<double>(i);
      const double gain = left * left / count + (sum - left) * (sum - left) / (n - count) - sum * sum / n;
      if (below < above && gain > best.gain) {
        best = {gain, 0.5 * (below + above), key};
      }
    }
  }

  size_t grow(const Table& table, std::vector<size_t> rows, Draws& draws) {
    constexpr size_t smallest_split = 4;
    const size_t at = nodes_.size();
    nodes_.emplace_back();
    for (const size_t row : rows) {
      nodes_[at].mean += table.y[row] / static_cast<double>(rows.size());
    }
    if (rows.size() < smallest_split) {
      return at;
    }
    // A third of the keys, drawn anew at each split, or the one that is strongest would hide the others.
    std::vector<size_t> keys(table.x[0].size());
    std::iota(keys.begin(), keys.end(), size_t{0});
    draws.shuffle(keys);
    keys.resize(std::max<size_t>(1, (keys.size() + 2) / 3));
    Split best{.gain = 1e-12};
    for (const size_t key : keys) {
      try_key(table, rows, key, best);
    }
    if (best.gain <= 1e-12) {
      return at;
    }
    const auto middle =
        std::partition(rows.begin(), rows.end(), [&](size_t row) { return table.x[row][best.key] <= best.threshold; });
    const std::vector<size_t> left(rows.begin(), middle), right(middle, rows.end());
    nodes_[at].key = best.key;
    nodes_[at].threshold = best.threshold;
    const size_t left_node = grow(table, left, draws), right_node = grow(table, right, draws);
    nodes_[at].left = left_node;
    nodes_[at].right = right_node;
    return at;
  }

  std::vector<Node> nodes_;
};

double squared_error(const Tree& tree, const Table& table, const std::vector<size_t>& rows,
                     const std::vector<size_t>& shuffled, size_t key) {
  double sum = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    std::vector<double> x = table.x[rows[i]];
    x[key] = table.x[shuffled[i]][key];
    const double error = tree.predict(x) - table.y[rows[i]];
    sum += error * error;
  }
  return sum / static_cast<double>(rows.size());
}

/// By key.
std::vector<double> forest_importance(const Table& table, const std::vector<size_t>& sample, Draws& draws) {
  const size_t keys = table.x[0].size();
  std::vector<double> grown(keys, 0.0);
  for (size_t t = 0; t < trees; ++t) {
    std::vector<char> seen(table.y.size(), 0);
    std::vector<size_t> in_bag, out_of_bag;
    for (size_t i = 0; i < sample.size(); ++i) {
      in_bag.push_back(sample[draws.below(sample.size())]);
      seen[in_bag.back()] = 1;
    }
    std::copy_if(sample.begin(), sample.end(), std::back_inserter(out_of_bag),
                 [&](size_t row) { return seen[row] == 0; });
    if (out_of_bag.size() < 2) {
      continue;
    }
    const Tree tree(table, in_bag, draws);
    for (size_t key = 0; key < keys; ++key) {
      std::vector<size_t> shuffled = out_of_bag;
      draws.shuffle(shuffled);
      grown[key] += squared_error(tree, table, out_of_bag, shuffled, key) -
                    squared_error(tree, table, out_of_bag, out_of_bag, key);
    }
  }
  // Ranks are spread evenly over [0, 1]; two that have nothing to do with each other differ by twice their variance.
  constexpr double of_strangers = 2.0 / 12.0;
  for (double& value : grown) {
    value /= static_cast<double>(trees) * of_strangers;
  }
  return grown;
}

Table table_of(const Sweep& sweep, size_t objective) {
  Table table;
  std::vector<double> values;
  for (const Trial& trial : sweep.state.trials()) {
    if (trial.failed || !trial.reached(0) || std::isnan(trial.mean(0)[objective])) {
      continue;
    }
    std::vector<double>& x = table.x.emplace_back();
    for (const io::Domain& domain : sweep.file.space) {
      const auto value = trial.values.find(domain.key);
      x.push_back(value == trial.values.end() ? -1.0 : place_of(domain, value->second));
    }
    values.push_back(trial.mean(0)[objective]);
  }
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  for (const double value : values) {
    const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), value);
    const auto rank = 0.5 * static_cast<double>((first - sorted.begin()) + (last - sorted.begin()));
    table.y.push_back(rank / static_cast<double>(values.size()));
  }
  return table;
}

}  // namespace

std::vector<KeyImportance> importances(const Sweep& sweep, size_t objective) {
  const Table table = table_of(sweep, objective);
  if (table.y.size() < fewest_trials) {
    return {};
  }
  const size_t keys = sweep.file.space.size();
  std::vector<std::vector<double>> drawn(keys);
  Draws draws(1);
  std::vector<size_t> rows(table.y.size());
  std::iota(rows.begin(), rows.end(), size_t{0});
  const size_t size = std::min(most_in_sample, rows.size() * 2 / 3);
  for (size_t s = 0; s < subsamples; ++s) {
    draws.shuffle(rows);
    const std::vector<double> found =
        forest_importance(table, {rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(size)}, draws);
    for (size_t key = 0; key < keys; ++key) {
      drawn[key].push_back(found[key]);
    }
  }
  std::vector<KeyImportance> all;
  for (size_t key = 0; key < keys; ++key) {
    const std::vector<double>& values = drawn[key];
    all.push_back({sweep.file.space[key].key,
                   {train::mean(values), train::quantile(values, 0.025), train::quantile(values, 0.975)}});
  }
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.importance.value > b.importance.value; });
  return all;
}

}  // namespace evenflow::experiments
