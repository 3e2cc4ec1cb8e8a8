// How far a point lies from given ones, where nothing else is known of them: by their covariance, and by the nearest.
//
// Each element is first divided by its standard deviation over the points (of one that never changes: by 1). All in
// float64; the same bits for the same points.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace evenflow::train {

class NormalPoints {
 public:
  /// points [n, length], n >= 2, all finite. io::DataError: fewer points.
  NormalPoints(std::span<const float> points, int64_t length);
  ~NormalPoints();
  NormalPoints(NormalPoints&&) noexcept;
  NormalPoints& operator=(NormalPoints&&) noexcept;

  int64_t size() const;
  int64_t length() const;

  // Of both: a given point at `own` does not count. With x's own descriptor a given point is judged by the others; with
  // that of the recording which x is a changed copy of, x is judged by other recordings.

  /// Squared Mahalanobis distance from the points' mean over `length`, so that normal points are near 1. The covariance
  /// is shrunk towards a multiple of the identity as far as its own noise calls for (Ledoit and Wolf 2004, Journal of
  /// Multivariate Analysis 88, 365-411); this weight and the scale are those of all points, `own` or not.
  double mahalanobis(std::span<const float> x, std::span<const float> own) const;

  /// Mean distance from the nearest k = min(5, n - 1) points, over what that is for these points themselves: near 1
  /// inside, and where the points lie wide as well as where they lie close (the idea of Breunig, Kriegel, Ng and Sander
  /// 2000, "LOF"). Points at x itself do not count either; 0 if none does.
  double nearest(std::span<const float> x, std::span<const float> own) const;

  /// What both rest on, for whoever computes them elsewhere. z = (x - mean) / deviation; matrices by rows.
  struct Parts {
    std::vector<double> mean, deviation;  ///< [length]
    std::vector<double> rows;             ///< [n, length]: z of the points
    std::vector<double> square_norms;     ///< [n] of the rows
    double a = 1, b = 0;                  ///< the covariance of z is a I + b X'X, X being the rows
    std::vector<double> inner_inverse;    ///< [n, n] of a / b I + X X'; empty where b is 0
    std::vector<double> reach;            ///< [n]: each point's mean distance from its nearest
    int64_t neighbours = 1;               ///< k
  };
  Parts parts() const;
  struct Neighbour {
    int64_t point;
    double distance;  ///< over the root of the length: 1 is a standard deviation in every element
  };
  /// The points nearest to x, nearest first, min(5, n - 1) at most. Points at x itself are left out.
  std::vector<Neighbour> neighbours(std::span<const float> x) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace evenflow::train
