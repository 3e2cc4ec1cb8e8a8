// Local linear regression with a Gaussian kernel: what a quantity is expected to be at a point, and its spread there.
//
// The mean at x is the value at x of the plane that fits the points best, each weighted by exp(-u^2 / 2), u its
// distance from x in bandwidths (Fan and Gijbels 1996, "Local Polynomial Modelling and Its Applications", chapters 2
// and 7). The spread is the root of the same fit to the squared residuals (Fan and Yao 1998, Biometrika 85, 645-660). A
// small ridge draws the plane's slopes to 0, and so the fit to the weighted mean, where the points about x do not tell
// a slope (Seifert and Gasser 1996, JASA 91, 267-275). All in float64; the same bits for the same points.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace evenflow::train {

/// Where a quantity was observed, and what it was.
struct LocalPoints {
  int64_t predictors = 1;
  std::vector<double> x;  ///< [points * predictors], by points; finite
  std::vector<double> y;  ///< [points]; finite
  int64_t telling = 0;    ///< so many points, the first, tell the spread; all tell the mean
  int64_t size() const { return static_cast<int64_t>(y.size()); }
  std::span<const double> at(int64_t i) const {
    const auto p = static_cast<size_t>(predictors);
    return std::span(x).subspan(static_cast<size_t>(i) * p, p);
  }
};

struct LocalFit {
  double mean = 0;
  double spread = 0;    ///< above 0
  bool sparse = false;  ///< the points within the bandwidths were too few, so that wider ones were taken
};

class LocalLinear {
 public:
  /// bandwidth [predictors], each above 0, in the predictor's unit. io::DataError: no telling points, or they have no
  /// spread about the mean.
  LocalLinear(LocalPoints points, std::vector<double> bandwidth);
  /// Of an earlier fit to the same points, by its squared residuals [telling], which are not all 0.
  LocalLinear(LocalPoints points, std::vector<double> bandwidth, std::vector<double> squared_residuals);

  /// The bandwidths grow together by steps of a quarter until the weights w are worth (sum w)^2 / sum w^2 >=
  /// least_points(). Beyond the points the mean goes on along its slope: keep x among them. The spread is at least half
  /// of the weighted root mean square of the residuals there, and a twentieth of that of all. `left_out`
  /// [points]: 1 for points that do not count; empty: all do.
  LocalFit at(std::span<const double> x, std::span<const double> left_out = {}) const;
  /// Weights that a mean needs: 5 of one predictor, 2 more for each further one.
  int64_t least_points() const { return 3 + 2 * points_.predictors; }

  const LocalPoints& points() const { return points_; }
  const std::vector<double>& bandwidth() const { return bandwidth_; }
  /// Of each telling point about the mean at it, over 1 - its own weight in that mean, without which the residuals of
  /// few points would be too small (MacKinnon and White 1985, "HC2").
  const std::vector<double>& squared_residuals() const { return squared_residuals_; }

 private:
  void set_floor();

  LocalPoints points_;
  std::vector<double> bandwidth_, squared_residuals_;
  double least_variance_ = 0;
};

/// Bandwidths by leaving groups out: those under which the telling points are likeliest, as normal deviates about mean
/// and spread of the points of all other groups. One outside of the others' range, in any predictor, does not count,
/// for it would judge what lies beyond the points rather than between them.
///
/// Candidates per predictor: its range over 2^(k / 2), k = 0 to 12. First one k for all predictors, then each
/// predictor's own in turn while that helps, three rounds at most; of equals the widest. group [points]. `fixed`
/// [predictors]: bandwidths that are not chosen, 0 of those that are; empty: all are. io::DataError: one is to be
/// chosen of a predictor that is the same in all points.
std::vector<double> choose_bandwidth(const LocalPoints& points, std::span<const int64_t> group,
                                     std::span<const double> fixed = {});

}  // namespace evenflow::train
