#include "train/statistics/normal_points.h"

#include <fmt/format.h>

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "io/error.h"

namespace evenflow::train {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr Index most_neighbours = 5;
constexpr double same = 1e-12;  // of both square norms: rounding, if two points are one

/// The covariance of the rows x_i, of mean 0, is a I + b sum x_i x_i^T.
struct Shrunk {
  double a = 1, b = 0;
};

/// gram: X X^T of n rows of `length` elements, by which everything that Ledoit and Wolf's rule needs can be said.
Shrunk shrink(const MatrixXd& gram, double length) {
  const auto n = static_cast<double>(gram.rows());
  const double scale = gram.trace() / (n * length);
  const double squares = gram.squaredNorm() / (n * n);  // of the sample covariance
  const double distance = (squares - length * scale * scale) / length;
  const double fourth = gram.diagonal().cwiseAbs2().sum();
  const double noise = (fourth / n - squares) / (n * length);
  const double weight = distance > 0 ? std::clamp(noise / distance, 0.0, 1.0) : 1.0;
  // Two points look free of noise, and where all are one there is no scale: it must still be possible to invert.
  constexpr double least_weight = 1e-6, least = 1e-12;
  return {std::max(std::max(weight, least_weight) * scale, least), (1.0 - weight) / n};
}

}  // namespace

struct NormalPoints::State {
  VectorXd mean, deviation;
  Rows rows;              ///< [n, length], of mean 0 and deviation 1
  VectorXd square_norms;  ///< [n] of the rows
  Shrunk covariance;
  Eigen::LLT<MatrixXd> inner;  ///< a / b I + X X^T
  std::vector<double> reach;   ///< of each row: mean distance from its nearest
  size_t neighbours = 1;

  /// The row at this point, if there is one.
  std::optional<Index> row_at(const VectorXd& z) const {
    const VectorXd products = rows * z;
    const double square_norm = z.squaredNorm();
    for (Index i = 0; i < rows.rows(); ++i) {
      const double norms = square_norm + square_norms[i];
      if (norms - 2.0 * products[i] <= same * norms) {
        return i;
      }
    }
    return std::nullopt;
  }

  /// x^T S^-1 y, where S = a I + b X^T X is the covariance. By Woodbury, for points are few and long:
  /// S^-1 = (I - X^T (a / b I + X X^T)^-1 X) / a.
  double inverse_product(const VectorXd& x, const VectorXd& y) const {
    double product = x.dot(y);
    if (covariance.b > 0) {
      product -= (rows * x).dot(inner.solve(rows * y));
    }
    return product / covariance.a;
  }

  VectorXd scaled(std::span<const float> x) const {
    return (Eigen::Map<const Eigen::VectorXf>(x.data(), mean.size()).cast<double>() - mean).cwiseQuotient(deviation);
  }

  /// Distances and rows of the nearest to a point, by its square norm and its products with the rows; rows at distance
  /// 0, and row `own`, do not count.
  std::vector<std::pair<double, Index>> nearest(double square_norm, const VectorXd& products,
                                                std::optional<Index> own = {}) const {
    std::vector<std::pair<double, Index>> found;
    for (Index i = 0; i < rows.rows(); ++i) {
      const double norms = square_norm + square_norms[i], square = norms - 2.0 * products[i];
      if (square > same * norms && i != own) {
        found.emplace_back(std::sqrt(square), i);
      }
    }
    const size_t count = std::min(found.size(), neighbours);
    std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), found.end());
    found.resize(count);
    return found;
  }
};

namespace {

double mean_distance(const std::vector<std::pair<double, Index>>& found) {
  double sum = 0;
  for (const auto& [distance, row] : found) {
    sum += distance;
  }
  return found.empty() ? 0.0 : sum / static_cast<double>(found.size());
}

}  // namespace

NormalPoints::NormalPoints(std::span<const float> points, int64_t length) : state_(std::make_unique<State>()) {
  const auto n = static_cast<Index>(points.size()) / length;
  if (n < 2) {
    throw io::DataError(fmt::format("distances from normal points take two points or more, and there are {}", n));
  }
  using FloatRows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  State& s = *state_;
  s.rows = Eigen::Map<const FloatRows>(points.data(), n, length).cast<double>();
  s.mean = s.rows.colwise().mean();
  s.rows.rowwise() -= s.mean.transpose();
  s.deviation = (s.rows.colwise().squaredNorm().transpose() / static_cast<double>(n)).cwiseSqrt();
  s.deviation = s.deviation.unaryExpr([](double d) { return d > 0 ? d : 1.0; });
  s.rows.array().rowwise() /= s.deviation.transpose().array();
  s.square_norms = s.rows.rowwise().squaredNorm();
  MatrixXd gram = s.rows * s.rows.transpose();
  s.neighbours = static_cast<size_t>(std::min(most_neighbours, n - 1));
  double mean_reach = 0;
  for (Index i = 0; i < n; ++i) {
    s.reach.push_back(mean_distance(s.nearest(s.square_norms[i], gram.col(i))));
    mean_reach += s.reach.back() / static_cast<double>(n);
  }
  // Of points that lie in one place.
  constexpr double least_share = 0.05, least = 1e-6;
  for (double& reach : s.reach) {
    reach = std::max({reach, least_share * mean_reach, least});
  }
  s.covariance = shrink(gram, static_cast<double>(length));
  if (s.covariance.b > 0) {
    gram.diagonal().array() += s.covariance.a / s.covariance.b;
    s.inner.compute(gram);
  }
}

NormalPoints::~NormalPoints() = default;
NormalPoints::NormalPoints(NormalPoints&&) noexcept = default;
NormalPoints& NormalPoints::operator=(NormalPoints&&) noexcept = default;

int64_t NormalPoints::size() const {
  return state_->rows.rows();
}
int64_t NormalPoints::length() const {
  return state_->rows.cols();
}

double NormalPoints::mahalanobis(std::span<const float> x, std::span<const float> own) const {
  const State& s = *state_;
  const std::optional<Index> at = s.row_at(s.scaled(own));
  VectorXd z = s.scaled(x);
  double square = 0;
  if (!at) {
    square = s.inverse_product(z, z);
  } else {
    // Without the row r, the mean is -r / (n - 1), and the scatter less by n / (n - 1) r r^T (Sherman and Morrison).
    constexpr double least = 1e-12;
    const VectorXd row = s.rows.row(*at).transpose();
    const double others = static_cast<double>(size() - 1), weight = s.covariance.b * (others + 1) / others;
    z += row / others;
    const double across = s.inverse_product(z, row), along = s.inverse_product(row, row);
    square = s.inverse_product(z, z) + weight * across * across / std::max(1.0 - weight * along, least);
  }
  return std::max(square, 0.0) / static_cast<double>(length());
}

double NormalPoints::nearest(std::span<const float> x, std::span<const float> own) const {
  const VectorXd z = state_->scaled(x);
  const auto found = state_->nearest(z.squaredNorm(), state_->rows * z, state_->row_at(state_->scaled(own)));
  double reach = 0;
  for (const auto& [distance, row] : found) {
    reach += state_->reach[static_cast<size_t>(row)];
  }
  return found.empty() ? 0.0 : mean_distance(found) * static_cast<double>(found.size()) / reach;
}

NormalPoints::Parts NormalPoints::parts() const {
  const State& s = *state_;
  const auto listed = [](const auto& matrix) {
    return std::vector<double>(matrix.data(), matrix.data() + matrix.size());
  };
  Parts out{.mean = listed(s.mean),
            .deviation = listed(s.deviation),
            .rows = listed(s.rows),
            .square_norms = listed(s.square_norms),
            .a = s.covariance.a,
            .b = s.covariance.b,
            .inner_inverse = {},
            .reach = s.reach,
            .neighbours = static_cast<int64_t>(s.neighbours)};
  if (s.covariance.b > 0) {
    const Rows inverse = s.inner.solve(MatrixXd::Identity(s.rows.rows(), s.rows.rows()));
    out.inner_inverse = listed(inverse);
  }
  return out;
}

std::vector<NormalPoints::Neighbour> NormalPoints::neighbours(std::span<const float> x) const {
  const VectorXd z = state_->scaled(x);
  std::vector<Neighbour> out;
  for (const auto& [distance, row] : state_->nearest(z.squaredNorm(), state_->rows * z)) {
    out.push_back({row, distance / std::sqrt(static_cast<double>(length()))});
  }
  return out;
}

}  // namespace evenflow::train
