#include "train/statistics/spectrum_by_speed.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <numeric>

namespace evenflow::train {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double grid_step = 0.03;        // of log f - log |v|: a band of 128 up to 8 kHz
constexpr double widest_ratio = 2.0;      // of a speed that is asked for to a recorded one
constexpr double smoothness = 9.0;        // weight of a squared second difference of S, to 1 of a squared error
constexpr double ridge = 1e-6;            // weight of what is unknown, squared: decides where the means do not
constexpr double least_deviation = 0.01;  // dB

/// Adds a row of few entries, weighted 1, to the normal equations.
struct Row {
  std::vector<std::pair<Index, double>> entries;
  double value = 0;
  void add_to(MatrixXd& matrix, VectorXd& right) const {
    for (const auto& [i, a] : entries) {
      right[i] += a * value;
      for (const auto& [j, b] : entries) {
        matrix(i, j) += a * b;
      }
    }
  }
};

/// Where a value lies among ascending ones: from `low` to the next, `part` of the way; outside by the outermost two.
struct Between {
  size_t low;
  double part;
};
Between between(const std::vector<double>& ascending, double value) {
  const auto above = std::upper_bound(ascending.begin() + 1, ascending.end() - 1, value);
  const auto low = static_cast<size_t>(above - ascending.begin()) - 1;
  return {low, (value - ascending[low]) / (ascending[low + 1] - ascending[low])};
}

std::vector<double> mix(const std::vector<double>& low, const std::vector<double>& high, double part) {
  std::vector<double> out(low.size());
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = low[i] + part * (high[i] - low[i]);
  }
  return out;
}

double mean_square(const std::vector<std::vector<double>>& errors) {
  double sum = 0;
  size_t count = 0;
  for (const std::vector<double>& row : errors) {
    sum += std::inner_product(row.begin(), row.end(), row.begin(), 0.0);
    count += row.size();
  }
  return count == 0 ? 0.0 : sum / static_cast<double>(count);
}

}  // namespace

SpectrumBySpeed::SpectrumBySpeed(std::vector<double> speeds, std::vector<BandMoments> recorded,
                                 std::vector<double> centres_hz)
    : speeds_(std::move(speeds)), recorded_(std::move(recorded)), centres_(std::move(centres_hz)) {
  for (BandMoments& moments : recorded_) {
    for (double& deviation : moments.deviation) {
      deviation = std::max(deviation, least_deviation);
    }
  }
  const double slowest = std::min(std::abs(speeds_.front()), std::abs(speeds_.back()));
  const double fastest = std::max(std::abs(speeds_.front()), std::abs(speeds_.back()));
  const bool one_direction = speeds_.front() * speeds_.back() > 0;
  if (one_direction && speeds_.size() > 2) {
    grid_first_ = std::log(centres_.front() / (widest_ratio * fastest));
    const double last = std::log(centres_.back() * widest_ratio / slowest);
    grid_ = static_cast<size_t>(std::ceil((last - grid_first_) / grid_step)) + 2;
    std::vector<std::vector<double>> of_lines = errors_of(Way::lines);
    errors_ = errors_of(Way::source_and_filter);
    way_ = Way::source_and_filter;
    if (!(mean_square(errors_) < mean_square(of_lines))) {
      way_ = Way::lines;
      errors_ = std::move(of_lines);
    }
  } else if (speeds_.size() > 2) {
    errors_ = errors_of(Way::lines);
  }
  std::vector<size_t> all(speeds_.size());
  std::iota(all.begin(), all.end(), size_t{0});
  fit_ = fit(way_, std::move(all));
}

double SpectrumBySpeed::error() const {
  return std::sqrt(mean_square(errors_));
}

std::vector<std::vector<double>> SpectrumBySpeed::errors_of(Way way) const {
  std::vector<std::vector<double>> errors;
  for (size_t out = 0; out < speeds_.size(); ++out) {
    std::vector<size_t> others;
    for (size_t i = 0; i < speeds_.size(); ++i) {
      if (i != out) {
        others.push_back(i);
      }
    }
    const std::vector<double> mean = mean_at(fit(way, std::move(others)), speeds_[out]);
    std::vector<double>& error = errors.emplace_back(recorded_[out].mean);
    for (size_t b = 0; b < error.size(); ++b) {
      error[b] -= mean[b];
    }
  }
  return errors;
}

SpectrumBySpeed::Fit SpectrumBySpeed::fit(Way way, std::vector<size_t> points) const {
  Fit out;
  out.points = std::move(points);
  if (way == Way::source_and_filter) {
    fit_source_and_filter(out);
  }
  for (const size_t i : out.points) {
    const std::vector<double> mean = told(out, speeds_[i]);
    std::vector<double>& left = out.left.emplace_back(recorded_[i].mean);
    for (size_t b = 0; b < left.size(); ++b) {
      left[b] -= mean[b];
    }
  }
  return out;
}

SpectrumBySpeed::Place SpectrumBySpeed::on_grid(double centre_hz, double speed) const {
  const double at = (std::log(centre_hz / std::abs(speed)) - grid_first_) / grid_step;
  const double low = std::clamp(std::floor(at), 0.0, static_cast<double>(grid_ - 2));
  return {static_cast<size_t>(low), std::clamp(at - low, 0.0, 1.0)};
}

// Unknowns: F, S, a, b.
void SpectrumBySpeed::fit_source_and_filter(Fit& fit) const {
  const auto bands = std::ssize(centres_), cells = static_cast<Index>(grid_), unknowns = bands + cells + 2;
  MatrixXd matrix = ridge * MatrixXd::Identity(unknowns, unknowns);
  VectorXd right = VectorXd::Zero(unknowns);
  for (const size_t i : fit.points) {
    const double level = std::log(std::abs(speeds_[i]));
    for (Index b = 0; b < bands; ++b) {
      const auto band = static_cast<size_t>(b);
      const Place at = on_grid(centres_[band], speeds_[i]);
      const Index cell = bands + static_cast<Index>(at.low);
      Row{{{b, 1.0}, {cell, 1.0 - at.part}, {cell + 1, at.part}, {unknowns - 2, level}, {unknowns - 1, level * level}},
          recorded_[i].mean[band]}
          .add_to(matrix, right);
    }
  }
  const double weight = std::sqrt(smoothness);
  for (Index cell = bands; cell + 2 < bands + cells; ++cell) {
    Row{{{cell, weight}, {cell + 1, -2.0 * weight}, {cell + 2, weight}}, 0.0}.add_to(matrix, right);
  }
  const VectorXd x = matrix.llt().solve(right);
  fit.fixed.assign(x.begin(), x.begin() + bands);
  fit.moving.assign(x.begin() + bands, x.begin() + bands + cells);
  fit.level = x[unknowns - 2];
  fit.bend = x[unknowns - 1];
}

/// Without what the fit leaves.
std::vector<double> SpectrumBySpeed::told(const Fit& fit, double speed) const {
  std::vector<double> mean(centres_.size(), 0.0);
  if (fit.moving.empty()) {
    return mean;
  }
  const double log_speed = std::log(std::abs(speed));
  for (size_t b = 0; b < mean.size(); ++b) {
    const Place at = on_grid(centres_[b], speed);
    mean[b] = fit.fixed[b] + fit.moving[at.low] + at.part * (fit.moving[at.low + 1] - fit.moving[at.low]) +
              (fit.level + fit.bend * log_speed) * log_speed;
  }
  return mean;
}

std::vector<double> SpectrumBySpeed::mean_at(const Fit& fit, double asked) const {
  double speed = asked;
  if (!fit.moving.empty()) {  // of one direction
    const double a = speeds_.front(), b = speeds_.back();
    speed = std::clamp(asked, a > 0 ? a / widest_ratio : a * widest_ratio, b > 0 ? b * widest_ratio : b / widest_ratio);
  }
  std::vector<double> speeds;
  for (const size_t i : fit.points) {
    speeds.push_back(speeds_[i]);
  }
  Between at = between(speeds, speed);
  // Of lines as far again as the last two recorded speeds lie apart.
  at.part = fit.moving.empty() ? std::clamp(at.part, -1.0, 2.0) : std::clamp(at.part, 0.0, 1.0);
  std::vector<double> mean = told(fit, speed);
  const std::vector<double> left = mix(fit.left[at.low], fit.left[at.low + 1], at.part);
  for (size_t b = 0; b < mean.size(); ++b) {
    mean[b] += left[b];
  }
  return mean;
}

BandMoments SpectrumBySpeed::at(double speed) const {
  const Between at = between(speeds_, speed);
  const std::vector<double>&low = recorded_[at.low].deviation, &high = recorded_[at.low + 1].deviation;
  BandMoments out{mean_at(fit_, speed), std::vector<double>(low.size())};
  const double part = std::clamp(at.part, 0.0, 1.0);
  for (size_t b = 0; b < low.size(); ++b) {
    out.deviation[b] = low[b] * std::pow(high[b] / low[b], part);
  }
  return out;
}

}  // namespace evenflow::train
