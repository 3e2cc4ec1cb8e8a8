#include "train/statistics/local_linear.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "io/error.h"

namespace evenflow::train {
namespace {

using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using RowView = Eigen::Map<const Eigen::RowVectorXd>;
using View = Eigen::Map<const Eigen::VectorXd>;

View view(std::span<const double> values) {
  return {values.data(), std::ssize(values)};
}
RowView row_view(std::span<const double> values) {
  return {values.data(), std::ssize(values)};
}

/// How much each point counts at a place. Both sum to 1.
struct LocalWeights {
  Eigen::VectorXd kernel;
  Eigen::VectorXd line;  // of the plane's value there: the mean is their product with y
  bool sparse = false;
};

/// Kernel weights from squared distances in bandwidths, 0 for points that are left out; their effective number.
double weigh(const Eigen::ArrayXd& squared, double widening, Eigen::VectorXd& weight) {
  constexpr double negligible = 80.0;  // exp(-40)
  // As multiples of the nearest point's, so that not all are 0 far from all points.
  const Eigen::ArrayXd u = (squared - squared.minCoeff()) / (widening * widening);
  weight = (u < negligible).select((-0.5 * u.min(negligible)).exp(), 0.0).matrix();
  const double sum = weight.sum(), effective = sum * sum / weight.squaredNorm();
  weight /= sum;
  return effective;
}

/// The plane's value at z = 0 as weights of the points: w_i (1 - m' (S + r I)^-1 (z_i - m)), m and S their weighted
/// mean and covariance.
Eigen::VectorXd plane_weights(const Rows& z, const Eigen::VectorXd& weight, double ridge) {
  const Eigen::RowVectorXd mean = weight.transpose() * z;
  const Rows centred = z.rowwise() - mean;
  Eigen::MatrixXd covariance = centred.transpose() * weight.asDiagonal() * centred;
  covariance.diagonal().array() += ridge;
  const Eigen::VectorXd to_mean = covariance.llt().solve(mean.transpose());
  return (weight.array() * (1.0 - (centred * to_mean).array())).matrix();
}

/// Of the first `count` points. `left_out` holds 1 for points that do not count, 0 for others; empty: all count.
LocalWeights local_weights(const LocalPoints& points, int64_t count, std::span<const double> x,
                           std::span<const double> bandwidth, std::span<const double> left_out, int64_t least) {
  constexpr double ridge_of_one_point = 0.1;  // in squared bandwidths; over the points' number
  const Eigen::Map<const Rows> at(points.x.data(), count, points.predictors);
  const Rows z = (at.rowwise() - row_view(x)).array().rowwise() / row_view(bandwidth).array();
  Eigen::ArrayXd squared = z.rowwise().squaredNorm();
  if (!left_out.empty()) {
    squared = (view(left_out).head(count).array() > 0.0).select(std::numeric_limits<double>::infinity(), squared);
  }
  LocalWeights out;
  double widening = 1, effective = weigh(squared, widening, out.kernel);
  // Weights become equal as the bandwidth grows; fewer points than `least` never suffice.
  constexpr double most = 1e6;
  while (effective < static_cast<double>(least) && widening < most) {
    out.sparse = true;
    widening *= 1.25;
    effective = weigh(squared, widening, out.kernel);
  }
  out.line = plane_weights(z / widening, out.kernel, ridge_of_one_point / effective);
  return out;
}

}  // namespace

LocalLinear::LocalLinear(LocalPoints points, std::vector<double> bandwidth)
    : points_(std::move(points)), bandwidth_(std::move(bandwidth)) {
  if (points_.telling == 0) {
    throw io::DataError("there are no points to fit");
  }
  squared_residuals_.reserve(static_cast<size_t>(points_.telling));
  for (int64_t i = 0; i < points_.telling; ++i) {
    const LocalWeights weights = local_weights(points_, points_.size(), points_.at(i), bandwidth_, {}, least_points());
    const double residual = points_.y[static_cast<size_t>(i)] - weights.line.dot(view(points_.y));
    // A point alone in its place fits itself.
    const double own = std::min(weights.line[i], 0.9);
    squared_residuals_.push_back(residual * residual / (1.0 - own));
  }
  set_floor();
}

LocalLinear::LocalLinear(LocalPoints points, std::vector<double> bandwidth, std::vector<double> squared_residuals)
    : points_(std::move(points)), bandwidth_(std::move(bandwidth)), squared_residuals_(std::move(squared_residuals)) {
  set_floor();
}

void LocalLinear::set_floor() {
  const double mean = std::accumulate(squared_residuals_.begin(), squared_residuals_.end(), 0.0) /
                      static_cast<double>(squared_residuals_.size());
  const double largest = std::abs(*std::max_element(points_.y.begin(), points_.y.end(),
                                                    [](double a, double b) { return std::abs(a) < std::abs(b); }));
  // What rounding leaves is no spread.
  if (!(std::sqrt(mean) > 1e-12 * largest)) {
    throw io::DataError("all values lie on one line, which says nothing of their spread");
  }
  least_variance_ = mean / 400.0;
}

LocalFit LocalLinear::at(std::span<const double> x, std::span<const double> left_out) const {
  const LocalWeights all = local_weights(points_, points_.size(), x, bandwidth_, left_out, least_points());
  const LocalWeights telling = local_weights(points_, points_.telling, x, bandwidth_, left_out, least_points());
  const double about = telling.kernel.dot(view(squared_residuals_));
  const double variance = telling.line.dot(view(squared_residuals_));
  return {all.line.dot(view(points_.y)), std::sqrt(std::max({variance, about / 4.0, least_variance_})), all.sparse};
}

namespace {

class BandwidthSearch {
 public:
  BandwidthSearch(const LocalPoints& points, std::span<const int64_t> group, std::span<const double> fixed)
      : points_(points), fixed_(static_cast<size_t>(points.predictors), 0.0) {
    std::copy(fixed.begin(), fixed.end(), fixed_.begin());
    for (int64_t p = 0; p < points.predictors; ++p) {
      const auto [low, high] = range(p, {});
      range_.push_back(high - low);
      if (range_.back() > 0 || fixed_[static_cast<size_t>(p)] > 0) {
        continue;
      }
      throw io::DataError("a predictor is the same in all points");
    }
    std::vector<int64_t> groups(group.begin(), group.end());
    std::sort(groups.begin(), groups.end());
    groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
    for (const int64_t g : groups) {
      add_group(g, group);
    }
  }

  std::vector<double> run() {
    const auto predictors = range_.size();
    std::vector<int> best(predictors, 0);
    double least = loss(best);
    const auto consider = [&](const std::vector<int>& candidate) {
      const double value = loss(candidate);
      if (!(value < least)) {
        return false;
      }
      least = value;
      best = candidate;
      return true;
    };
    for (int k = 1; k <= most_halvings; ++k) {
      consider(std::vector<int>(predictors, k));
    }
    bool helped = std::count(fixed_.begin(), fixed_.end(), 0.0) > 1;
    for (int round = 0; round < 3 && helped; ++round) {
      helped = false;
      for (size_t p = 0; p < predictors; ++p) {
        if (fixed_[p] > 0) {
          continue;
        }
        std::vector<int> candidate = best;
        for (candidate[p] = 0; candidate[p] <= most_halvings; ++candidate[p]) {
          helped = consider(candidate) || helped;
        }
      }
    }
    return bandwidth(best);
  }

 private:
  static constexpr int most_halvings = 12;  // of the square

  struct LeftOut {
    std::vector<double> points;   // 1: of this group
    std::vector<int64_t> judged;  // of its telling points
  };

  std::pair<double, double> range(int64_t predictor, std::span<const double> left_out) const {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (int64_t i = 0; i < points_.size(); ++i) {
      if (left_out.empty() || left_out[static_cast<size_t>(i)] == 0.0) {
        const double x = points_.at(i)[static_cast<size_t>(predictor)];
        low = std::min(low, x);
        high = std::max(high, x);
      }
    }
    return {low, high};
  }

  void add_group(int64_t g, std::span<const int64_t> group) {
    LeftOut out;
    for (const int64_t of : group) {
      out.points.push_back(of == g ? 1.0 : 0.0);
    }
    for (int64_t i = 0; i < points_.telling; ++i) {
      bool inside = group[static_cast<size_t>(i)] == g;
      for (int64_t p = 0; p < points_.predictors && inside; ++p) {
        const auto [low, high] = range(p, out.points);
        const double x = points_.at(i)[static_cast<size_t>(p)];
        inside = x >= low && x <= high;
      }
      if (inside) {
        out.judged.push_back(i);
      }
    }
    if (!out.judged.empty()) {
      groups_.push_back(std::move(out));
    }
  }

  std::vector<double> bandwidth(const std::vector<int>& halvings) const {
    std::vector<double> out;
    for (size_t p = 0; p < range_.size(); ++p) {
      out.push_back(fixed_[p] > 0 ? fixed_[p] : range_[p] * std::exp2(-0.5 * halvings[p]));
    }
    return out;
  }

  /// -log likelihood of the judged points, up to a constant; infinite where most of them have too few points about
  /// them, for then it is not these bandwidths that are judged.
  double loss(const std::vector<int>& halvings) const {
    const LocalLinear line(points_, bandwidth(halvings));
    double sum = 0;
    size_t judged = 0, sparse = 0;
    for (const LeftOut& group : groups_) {
      for (const int64_t i : group.judged) {
        const LocalFit fit = line.at(points_.at(i), group.points);
        const double deviate = (points_.y[static_cast<size_t>(i)] - fit.mean) / fit.spread;
        sum += std::log(fit.spread) + 0.5 * deviate * deviate;
        ++judged;
        sparse += fit.sparse ? 1 : 0;
      }
    }
    return 2 * sparse > judged ? std::numeric_limits<double>::infinity() : sum;
  }

  const LocalPoints& points_;
  std::vector<double> fixed_, range_;
  std::vector<LeftOut> groups_;
};

}  // namespace

std::vector<double> choose_bandwidth(const LocalPoints& points, std::span<const int64_t> group,
                                     std::span<const double> fixed) {
  if (!fixed.empty() && std::find(fixed.begin(), fixed.end(), 0.0) == fixed.end()) {
    return {fixed.begin(), fixed.end()};
  }
  return BandwidthSearch(points, group, fixed).run();
}

}  // namespace evenflow::train
