#include "kernels/latent.h"

#include <cmath>
#include <limits>
#include <numbers>

#include <gtest/gtest.h>

#include "tests/support/backends.h"
#include "tests/support/guard.h"

namespace evenflow::tests {
namespace {

using kernels::LatentGroup;
using reference::Vector;

struct Windows {
  int64_t n = 1, zc_elements = 0, group_elements = 1;
  std::vector<LatentGroup> groups;
  std::string name() const {
    return text_of("n", n, "_zc", zc_elements, "_zd", group_elements, "_groups", groups.size());
  }
};

struct Expected {
  double nll = 0;
  Vector shift;  ///< [G]
};

double log_normal(double x, double mean, double variance) {
  return -0.5 * (std::log(2 * std::numbers::pi * variance) + (x - mean) * (x - mean) / variance);
}

/// log of the integral over v of N(v; mean, std^2) prod_j N(z_j; k (v - v0), 1), by Simpson's rule about its peak.
double log_marginal(const Vector& z, const LatentGroup& prior) {
  const double n = static_cast<double>(z.size());
  double sum = 0;
  for (const double value : z) {
    sum += value;
  }
  const double precision = 1 / (prior.std * prior.std) + n * prior.k * prior.k;
  const double peak =
      (prior.mean / (prior.std * prior.std) + prior.k * sum + n * prior.k * prior.k * prior.v0) / precision;
  const auto log_joint = [&](double v) {
    double value = log_normal(v, prior.mean, prior.std * prior.std);
    for (const double element : z) {
      value += log_normal(element, prior.k * (v - prior.v0), 1.0);
    }
    return value;
  };
  const double top = log_joint(peak);
  constexpr int intervals = 400;
  const double step = 20.0 / std::sqrt(precision) / intervals;
  double area = 0;
  for (int i = 0; i <= intervals; ++i) {
    const double weight = i == 0 || i == intervals ? 1.0 : (i % 2 == 0 ? 2.0 : 4.0);
    area += weight * std::exp(log_joint(peak + (i - 0.5 * intervals) * step) - top);
  }
  return top + std::log(area * step / 3);
}

/// -log of the likelihood of z under one group's prior.
double group_nll(const Vector& z, const LatentGroup& prior, double v) {
  if (prior.k != 0.0 && std::isnan(v)) {
    return -log_marginal(z, prior);
  }
  double nll = 0;
  for (const double value : z) {
    nll -= log_normal(value, prior.k == 0.0 ? 0.0 : prior.k * (v - prior.v0), 1.0);
  }
  return nll;
}

using Latent = OpTest<Windows>;

// Against the densities themselves, element by element, v integrated out by quadrature; the gradient against central
// differences of them.
TEST_P(Latent, LossAndShiftMatchTheDensities) {
  Rng rng(91);
  const Windows& s = shape();
  const int64_t groups = static_cast<int64_t>(s.groups.size());
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  for (const bool given : {true, false}) {
    const Vector squares = reference::absolute(random_vector(rng, s.n, 9.0));
    const Vector log_det = random_vector(rng, s.n, 5.0);
    Vector v = random_vector(rng, s.n * groups, 2.0);
    for (size_t i = 1; i < v.size(); i += 3) {
      v[i] = unknown;
    }
    std::vector<Vector> z;  // group by group, as the sums lie
    Vector sum, centred;
    for (int64_t i = 0; i < groups * s.n; ++i) {
      z.push_back(random_vector(rng, s.group_elements, 2.0));
      double total = 0;
      for (const double value : z.back()) {
        total += value;
      }
      double about = 0;
      const double mean = total / static_cast<double>(s.group_elements);
      for (const double value : z.back()) {
        about += (value - mean) * (value - mean);
      }
      sum.push_back(total);
      centred.push_back(about);
    }
    const GuardedBuffer<LatentGroup> group_buffer(s.groups, device());
    const GuardedBuffer<double> squares_buffer(squares, device()), sum_buffer(sum, device()),
        centred_buffer(centred, device()), log_det_buffer(log_det, device()),
        constant(std::vector<double>{-3.25}, device()), v_buffer(v, device()), nll(s.n, device()),
        shift(groups * s.n, device());
    kernels::LatentLoss task;
    task.zc_elements = s.zc_elements;
    task.group_elements = s.group_elements;
    task.groups = group_buffer.view();
    task.zc_squares = squares_buffer.view();
    task.zd_sum = sum_buffer.view();
    task.zd_centred = centred_buffer.view();
    task.coupling_log_det = log_det_buffer.view();
    task.constant_log_det = constant.view();
    if (given) {
      task.v = v_buffer.view();
    }
    task.nll = nll.view();
    task.shift = shift.view();
    kernels::latent_loss(stream_, task);
    stream_.synchronise();
    const std::vector<double> nlls = nll.elements();
    const std::vector<double> shifts = shift.elements();
    for (int64_t i = 0; i < s.n; ++i) {
      double expected = 0.5 * (static_cast<double>(s.zc_elements) * std::log(2 * std::numbers::pi) + squares[at(i)]) -
                        log_det[at(i)] + 3.25;
      for (int64_t g = 0; g < groups; ++g) {
        const LatentGroup& prior = s.groups[at(g)];
        const double value = given ? v[at(i * groups + g)] : unknown;
        Vector elements = z[at(g * s.n + i)];
        expected += group_nll(elements, prior, value);
        const double own = elements[0];
        const double step = 1e-4;
        elements[0] = own + step;
        const double above = group_nll(elements, prior, value);
        elements[0] = own - step;
        const double slope = (above - group_nll(elements, prior, value)) / (2 * step);
        const double actual = own - shifts[at(g * s.n + i)];
        EXPECT_TRUE(std::abs(actual - slope) <= 1e-6 * (1 + std::abs(slope))) << actual << " " << slope;
      }
      EXPECT_TRUE(std::abs(nlls[at(i)] - expected) <= 1e-10 * (100 + std::abs(expected)))
          << nlls[at(i)] << " " << expected;
    }
  }
}

const LatentGroup free_group{};
const LatentGroup steep{2.0, 0.1, 0.2, 0.5};
const LatentGroup falling{-0.5, -1.0, 0.3, 1.5};

INSTANTIATE_TEST_SUITE_P(Shapes, Latent,
                         on_every_backend<Windows>({{1, 1, 1, {steep}},
                                                    {3, 31, 5, {free_group}},
                                                    {65, 0, 7, {steep}},
                                                    {33, 12, 4, {steep, free_group, falling}}}),
                         case_name<Windows>);

}  // namespace
}  // namespace evenflow::tests
