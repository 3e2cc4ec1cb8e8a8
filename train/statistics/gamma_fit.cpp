#include "train/statistics/gamma_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/math/special_functions/digamma.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <boost/math/special_functions/trigamma.hpp>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "io/error.h"

namespace evenflow::train {
namespace {

using Point = std::array<double, 3>;  // shape, location, scale

double gamma_mean(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

/// log Γ without the C library's global signgam, which is a data race.
double log_gamma(double x) {
  return boost::math::lgamma(x);
}

/// SciPy's penalised negative log-likelihood: values outside the support cost 100 log(DBL_MAX) each.
double cost(const Point& p, std::span<const double> values) {
  const auto [shape, location, scale] = p;
  if (!(shape > 0.0) || !(scale > 0.0)) {
    return std::numeric_limits<double>::infinity();
  }
  static const double penalty = 100.0 * std::log(std::numeric_limits<double>::max());
  const double log_norm = log_gamma(shape);
  double sum = 0.0;
  int64_t bad = 0;
  for (const double value : values) {
    const double x = (value - location) / scale;
    const double log_pdf = (shape == 1.0 ? 0.0 : (shape - 1.0) * std::log(x)) - x - log_norm;
    if (x > 0.0 && std::isfinite(log_pdf)) {
      sum += log_pdf;
    } else {
      ++bad;
    }
  }
  return -sum + static_cast<double>(bad) * penalty + static_cast<double>(values.size()) * std::log(scale);
}

/// SciPy's start: the shape from the skewness, location and scale from the first two moments, moved below the least
/// value if that one would lie outside.
Point moment_start(std::span<const double> values) {
  const double mean = gamma_mean(values);
  double m2 = 0.0, m3 = 0.0;
  for (const double value : values) {
    const double d = value - mean;
    m2 += d * d;
    m3 += d * d * d;
  }
  m2 /= static_cast<double>(values.size());
  m3 /= static_cast<double>(values.size());
  const double skew = m3 / std::pow(m2, 1.5);
  const double shape = 4.0 / (1e-8 + skew * skew);
  const double scale = std::sqrt(m2 / shape);
  const double location = mean - scale * shape;
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  if (location < *least) {
    return {shape, location, scale};
  }
  return {shape, *least - 0.1 * (*greatest - *least), 1.0};
}

/// Nelder and Mead's simplex search with scipy.optimize.fmin's coefficients, start simplex, tolerances and limits.
Point minimise(const Point& start, std::span<const double> values) {
  constexpr size_t n = 3;
  constexpr int limit = 200 * n;
  constexpr double tolerance = 1e-4;
  struct Vertex {
    Point x;
    double f;
  };
  int calls = 0;
  const auto at = [&](const Point& x) {
    ++calls;
    return Vertex{x, cost(x, values)};
  };
  std::array<Vertex, n + 1> simplex;
  simplex[0] = at(start);
  for (size_t i = 0; i < n; ++i) {
    Point x = start;
    x[i] = x[i] != 0.0 ? 1.05 * x[i] : 0.00025;
    simplex[i + 1] = at(x);
  }
  const auto sort = [&] {
    std::stable_sort(simplex.begin(), simplex.end(), [](const Vertex& a, const Vertex& b) { return a.f < b.f; });
  };
  sort();
  for (int iteration = 1; calls < limit && iteration < limit; ++iteration) {
    double size = 0.0, drop = 0.0;
    for (size_t i = 1; i <= n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        size = std::max(size, std::abs(simplex[i].x[j] - simplex[0].x[j]));
      }
      drop = std::max(drop, std::abs(simplex[0].f - simplex[i].f));
    }
    if (size <= tolerance && drop <= tolerance) {
      break;
    }
    Vertex& worst = simplex[n];
    // The point at `factor` from the centre of the others, away from the worst.
    const auto away = [&](double factor) {
      Point x;
      for (size_t j = 0; j < n; ++j) {
        const double centre = (simplex[0].x[j] + simplex[1].x[j] + simplex[2].x[j]) / static_cast<double>(n);
        x[j] = (1.0 + factor) * centre - factor * worst.x[j];
      }
      return at(x);
    };
    const Vertex reflected = away(1.0);
    bool shrink = false;
    if (reflected.f < simplex[0].f) {
      const Vertex expanded = away(2.0);
      worst = expanded.f < reflected.f ? expanded : reflected;
    } else if (reflected.f < simplex[n - 1].f) {
      worst = reflected;
    } else if (reflected.f < worst.f) {
      const Vertex contracted = away(0.5);
      shrink = !(contracted.f <= reflected.f);
      if (!shrink) {
        worst = contracted;
      }
    } else {
      const Vertex contracted = away(-0.5);
      shrink = !(contracted.f < worst.f);
      if (!shrink) {
        worst = contracted;
      }
    }
    if (shrink) {
      for (size_t i = 1; i <= n; ++i) {
        Point x;
        for (size_t j = 0; j < n; ++j) {
          x[j] = simplex[0].x[j] + 0.5 * (simplex[i].x[j] - simplex[0].x[j]);
        }
        simplex[i] = at(x);
      }
    }
    sort();
  }
  return simplex[0].x;
}

/// The best shape and scale for a given location below all values: log a - ψ(a) = log(mean x) - mean(log x).
Point best_at(double location, std::span<const double> values) {
  double mean = 0.0, mean_log = 0.0;
  for (const double value : values) {
    mean += value - location;
    mean_log += std::log(value - location);
  }
  mean /= static_cast<double>(values.size());
  mean_log /= static_cast<double>(values.size());
  const double gap = std::log(mean) - mean_log;
  // Minka's (2002) start, within 1.5 %, then his Newton step in 1/a.
  double shape = (3.0 - gap + std::sqrt((gap - 3.0) * (gap - 3.0) + 24.0 * gap)) / (12.0 * gap);
  for (int i = 0; i < 6; ++i) {
    const double residual = std::log(shape) - boost::math::digamma(shape) - gap;
    shape = 1.0 / (1.0 / shape + residual / (shape * shape * (1.0 / shape - boost::math::trigamma(shape))));
  }
  return {shape, location, mean / shape};
}

/// The maximum along the location alone, from a grid of distances below the least value and a golden section between
/// its neighbours, among shapes of 1 and above: below, the likelihood has no bound. The far end, a thousand deviations,
/// is a normal distribution for all purposes.
Point profile(std::span<const double> values, double least, double deviation) {
  constexpr int per_decade = 4, decades = 6;  // 1e-3 to 1e3 deviations
  const auto at = [&](double exponent) { return best_at(least - deviation * std::pow(10.0, exponent), values); };
  const auto cost_at = [&](double exponent) {
    const Point p = at(exponent);
    const double c = cost(p, values);
    return p[0] >= 1.0 && std::isfinite(c) ? c : std::numeric_limits<double>::infinity();
  };
  double best = 0.0, best_cost = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= per_decade * decades; ++i) {
    const double exponent = -3.0 + static_cast<double>(i) / per_decade;
    const double here = cost_at(exponent);
    if (here < best_cost) {
      best = exponent;
      best_cost = here;
    }
  }
  double low = best - 1.0 / per_decade, high = best + 1.0 / per_decade;
  constexpr double section = 1.0 / std::numbers::phi;
  double left = high - section * (high - low), right = low + section * (high - low);
  double at_left = cost_at(left), at_right = cost_at(right);
  for (int i = 0; i < 30; ++i) {
    if (at_left <= at_right) {
      high = right;
      right = left;
      at_right = at_left;
      left = high - section * (high - low);
      at_left = cost_at(left);
    } else {
      low = left;
      left = right;
      at_left = at_right;
      right = low + section * (high - low);
      at_right = cost_at(right);
    }
  }
  return at(0.5 * (low + high));
}

/// What a fit takes; the values' biased standard deviation.
double require_fittable(std::span<const double> values) {
  constexpr size_t least_values = 4;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw io::DataError(fmt::format("gamma fit: score {} of {} is {}; leave out or repair the clip that gave it", i,
                                      values.size(), values[i]));
    }
  }
  if (values.size() < least_values) {
    throw io::DataError(
        fmt::format("gamma fit: {} scores for three unknowns; give at least {} normal clips or use the "
                    "threshold method \"quantile\"",
                    values.size(), least_values));
  }
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  const double mean = gamma_mean(values);
  double squares = 0.0;
  for (const double value : values) {
    squares += (value - mean) * (value - mean);
  }
  const double deviation = std::sqrt(squares / static_cast<double>(values.size()));
  if (*least == *greatest || !(deviation > 1e-12 * std::abs(mean))) {
    throw io::DataError(fmt::format(
        "gamma fit: all {} scores are {}, which no distribution fits; give clips that differ", values.size(), mean));
  }
  return deviation;
}

}  // namespace

GammaFit fit_gamma(std::span<const double> values) {
  const double deviation = require_fittable(values);
  Point best = minimise(moment_start(values), values);
  // The simplex starts out of proportion (5 % of a location of 7 600 nats leaves the support) and may stop anywhere.
  const Point other = profile(values, *std::min_element(values.begin(), values.end()), deviation);
  if (!(cost(best, values) <= cost(other, values) + 1.0)) {
    best = other;
  }

  const double final_cost = cost(best, values);
  if (!std::isfinite(final_cost)) {
    throw io::DataError(
        fmt::format("gamma fit: no gamma distribution fits the {} scores; use the threshold method "
                    "\"quantile\"",
                    values.size()));
  }
  return {best[0], best[1], best[2]};
}

GammaFit likeliest_gamma(std::span<const double> values) {
  const double deviation = require_fittable(values);
  const Point best = profile(values, *std::min_element(values.begin(), values.end()), deviation);
  return {best[0], best[1], best[2]};
}

double gamma_quantile(const GammaFit& fit, double q) {
  if (!(q > 0.0 && q < 1.0)) {
    throw io::UsageError(fmt::format("gamma quantile: q is {}; it must lie between 0 and 1", q));
  }
  try {
    return fit.location + fit.scale * boost::math::gamma_p_inv(fit.shape, q);
  } catch (const std::exception& error) {
    throw io::DataError(fmt::format("gamma quantile: none for shape {} ({}); use the threshold method \"quantile\"",
                                    fit.shape, error.what()));
  }
}

}  // namespace evenflow::train
