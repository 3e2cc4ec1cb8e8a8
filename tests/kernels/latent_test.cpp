#include "kernels/latent.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <span>

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

// ---- names

/// Windows whose zd is dealt to numbers and names: `groups` has a name's categories one behind the other.
using LatentNames = OpTest<Windows>;

LatentGroup category(double k, double frequency, int64_t categories) {
  return {.k = k, .log_frequency = std::log(frequency), .categories = categories};
}

/// log of the sum over the categories of frequency times density, or the known one's density; `z`: group by group.
double log_mixture(const std::vector<Vector>& z, std::span<const LatentGroup> groups, double v) {
  std::vector<double> logs;
  for (size_t c = 0; c < groups.size(); ++c) {
    double own = std::isnan(v) ? groups[c].log_frequency : 0.0;
    for (size_t j = 0; j < groups.size(); ++j) {
      for (const double element : z[j]) {
        own += log_normal(element, j == c ? groups[j].k : 0.0, 1.0);
      }
    }
    logs.push_back(own);
  }
  if (!std::isnan(v)) {
    return logs[static_cast<size_t>(v)];
  }
  const double top = *std::max_element(logs.begin(), logs.end());
  double sum = 0;
  for (const double own : logs) {
    sum += std::exp(own - top);
  }
  return top + std::log(sum);
}

/// -log of the density of one parameter's elements, and its groups, as they begin at `g`.
double parameter_nll(const std::vector<Vector>& z, const std::vector<LatentGroup>& groups, size_t g, double v) {
  if (groups[g].categories == 0) {
    return group_nll(z[0], groups[g], v);
  }
  return -log_mixture(z, std::span(groups).subspan(g, z.size()), v);
}

TEST_P(LatentNames, LossAndShiftMatchTheDensities) {
  Rng rng(93);
  const Windows& s = shape();
  const auto groups = s.groups.size();
  const auto n = static_cast<size_t>(s.n);
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  std::vector<size_t> begin;  // of each parameter's groups
  for (size_t g = 0; g < groups; g += std::max<size_t>(1, static_cast<size_t>(s.groups[g].categories))) {
    begin.push_back(g);
  }
  const size_t parameters = begin.size();
  begin.push_back(groups);
  Vector v, sum(groups * n), centred(groups * n);
  std::vector<std::vector<Vector>> z(groups, std::vector<Vector>(n));
  for (size_t i = 0; i < n; ++i) {
    for (size_t p = 0; p < parameters; ++p) {
      const auto categories = static_cast<size_t>(s.groups[begin[p]].categories);
      const double value = categories > 0 ? static_cast<double>((i + p) % categories) : 0.25 * static_cast<double>(i);
      v.push_back((i + p) % 3 == 1 ? unknown : value);
      for (size_t g = begin[p]; g < begin[p + 1]; ++g) {
        const int64_t count = s.group_elements / static_cast<int64_t>(begin[p + 1] - begin[p]);
        z[g][i] = random_vector(rng, count, 2.0);
        const double size = static_cast<double>(count);
        for (const double element : z[g][i]) {
          sum[g * n + i] += element;
        }
        for (const double element : z[g][i]) {
          centred[g * n + i] += (element - sum[g * n + i] / size) * (element - sum[g * n + i] / size);
        }
      }
    }
  }
  const Vector zeros(n, 0.0);
  const GuardedBuffer<LatentGroup> group_buffer(s.groups, device());
  const GuardedBuffer<double> rest(zeros, device()), sum_buffer(sum, device()), centred_buffer(centred, device()),
      constant(std::vector<double>{0.0}, device()), v_buffer(v, device()), nll(s.n, device()),
      shift(static_cast<int64_t>(groups * n), device());
  kernels::latent_loss(stream_, {.zc_elements = 0,
                                 .group_elements = s.group_elements,
                                 .groups = group_buffer.view(),
                                 .zc_squares = rest.view(),
                                 .zd_sum = sum_buffer.view(),
                                 .zd_centred = centred_buffer.view(),
                                 .coupling_log_det = rest.view(),
                                 .constant_log_det = constant.view(),
                                 .v = v_buffer.view(),
                                 .nll = nll.view(),
                                 .shift = shift.view()});
  stream_.synchronise();
  const std::vector<double> nlls = nll.elements(), shifts = shift.elements();
  for (size_t i = 0; i < n; ++i) {
    double expected = 0;
    for (size_t p = 0; p < parameters; ++p) {
      std::vector<Vector> own;
      for (size_t g = begin[p]; g < begin[p + 1]; ++g) {
        own.push_back(z[g][i]);
      }
      const double value = v[i * parameters + p];
      expected += parameter_nll(own, s.groups, begin[p], value);
      for (size_t g = 0; g < own.size(); ++g) {
        const double here = own[g][0], step = 1e-4;
        own[g][0] = here + step;
        const double above = parameter_nll(own, s.groups, begin[p], value);
        own[g][0] = here - step;
        const double slope = (above - parameter_nll(own, s.groups, begin[p], value)) / (2 * step);
        own[g][0] = here;
        const double actual = here - shifts[(begin[p] + g) * n + i];
        EXPECT_TRUE(std::abs(actual - slope) <= 1e-6 * (1 + std::abs(slope))) << actual << " " << slope;
      }
    }
    EXPECT_TRUE(std::abs(nlls[i] - expected) <= 1e-10 * (100 + std::abs(expected))) << nlls[i] << " " << expected;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, LatentNames,
    on_every_backend<Windows>({{1, 0, 2, {category(6, 0.5, 2), category(6, 0.5, 2)}},
                               {65, 0, 9, {category(0.3, 0.2, 3), category(0.3, 0.7, 3), category(0.3, 0.1, 3)}},
                               {7, 0, 12, {steep, category(-1.5, 0.9, 2), category(-1.5, 0.1, 2), falling}},
                               {3,
                                0,
                                4,
                                {category(2, 0.25, 4), category(2, 0.25, 4), category(2, 0.25, 4), category(2, 0.25, 4),
                                 free_group}}}),
    case_name<Windows>);

// Sums whose exponentials no float64 holds: the likeliest category's density is left, and a value that is none is
// unknown.
TEST(CategoryLikelihood, NeverOverflows) {
  const std::vector<LatentGroup> groups(3, category(256, 1.0 / 3, 3));
  const double n = 1000;
  const std::vector<double> sum = {0.0, 256 * n, -256 * n}, centred = {0.0, 0.0, 0.0};
  std::vector<double> shift(3);
  const auto nll = [&](double v) {
    return kernels::category_likelihood(groups.data(), n, sum.data(), centred.data(), 1, v, shift.data());
  };
  const double expected = 3 * n * kernels::half_log_2pi + 0.5 * n * 256 * 256 + std::log(3.0);
  for (const double unknown : {std::numeric_limits<double>::quiet_NaN(), 3.0, 0.5, -1.0, 1e300}) {
    EXPECT_TRUE(std::abs(nll(unknown) - expected) <= 1e-12 * expected) << unknown;
    EXPECT_EQ(shift, (std::vector<double>{0, 256, 0}));
  }
  EXPECT_TRUE(std::abs(nll(1.0) - (expected - std::log(3.0))) <= 1e-12 * expected);
  EXPECT_TRUE(std::abs(nll(0.0) - (expected - std::log(3.0) + n * 256 * 256)) <= 1e-12 * expected);
  EXPECT_EQ(shift, (std::vector<double>{256, 0, 0}));
}

}  // namespace
}  // namespace evenflow::tests
