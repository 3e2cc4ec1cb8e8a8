#include "train/detect/operating_points.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "train/statistics/conformal.h"
#include "train/statistics/finite.h"
#include "train/statistics/seen.h"

namespace evenflow::train {
namespace {

constexpr double unusual_share = 0.01;

double nearest(const std::vector<double>& trained, double value) {
  const auto above = std::lower_bound(trained.begin(), trained.end(), value);
  if (above == trained.end()) {
    return trained.back();
  }
  if (above == trained.begin() || *above - value < value - *(above - 1)) {
    return *above;
  }
  return *(above - 1);
}

double distance(const std::vector<double>& trained, double estimate) {
  return std::abs(estimate - nearest(trained, estimate));
}

/// Of distances, ascending, the one that is seldom exceeded.
double unusual(const std::vector<double>& distances) {
  return conformal_threshold(distances, unusual_share).value_or(distances.back());
}

/// Of the clips that calibrate scores.
std::vector<double> distances_of(const std::vector<double>& trained, const io::CalibrationData& data, size_t parameter,
                                 size_t parameters) {
  std::vector<double> distances;
  for (size_t clip = 0; clip < static_cast<size_t>(data.clips); ++clip) {
    distances.push_back(distance(trained, data.estimate[clip * parameters + parameter]));
  }
  std::sort(distances.begin(), distances.end());
  return distances;
}

double quarter_of_gap(const std::vector<double>& trained) {
  double gap = std::abs(trained.front());
  for (size_t i = 1; i < trained.size(); ++i) {
    gap = std::min(gap, trained[i] - trained[i - 1]);
  }
  return 0.25 * gap;
}

}  // namespace

std::vector<std::vector<double>> estimate_distances(const io::ConditionData& condition, const ParameterColumns& columns,
                                                    std::span<const ClipScore> clips) {
  const size_t parameters = std::min(condition.names.size(), condition.training_values.size());
  std::vector<OperatingPoints> trained;
  for (size_t p = 0; p < parameters; ++p) {
    trained.emplace_back(condition.training_values[p], io::categories_of(condition.categories, p));
  }
  std::vector<std::vector<double>> distances(parameters);
  for (const ClipScore& clip : clips) {
    const std::vector<double> v = values_of(clip.clip, columns, condition).v;
    bool counts = all_finite(clip.estimate);
    for (size_t p = 0; p < parameters; ++p) {
      counts = counts && trained[p].of(v[p]) == Familiarity::seen;
    }
    for (size_t p = 0; counts && p < parameters; ++p) {
      distances[p].push_back(distance(condition.training_values[p], clip.estimate[p]));
    }
  }
  if (distances.empty() || distances.front().empty()) {
    return {};
  }
  for (std::vector<double>& of_parameter : distances) {
    std::sort(of_parameter.begin(), of_parameter.end());
  }
  return distances;
}

TrainedOperatingPoints::TrainedOperatingPoints(const io::ModelData& model) {
  const std::vector<std::string>& names = model.condition.names;
  for (size_t p = 0; p < names.size() && p < model.condition.training_values.size(); ++p) {
    const std::vector<double>& trained = model.condition.training_values[p];
    if (trained.empty()) {
      continue;
    }
    std::vector<double> seldom_exceeded;
    if (model.normal.calibration && model.normal.calibration->clips > 0) {
      seldom_exceeded.push_back(unusual(distances_of(trained, *model.normal.calibration, p, names.size())));
    }
    if (model.conformal && p < model.conformal->estimate_distance.size()) {
      seldom_exceeded.push_back(unusual(model.conformal->estimate_distance[p]));
    }
    const auto largest = std::max_element(seldom_exceeded.begin(), seldom_exceeded.end());
    parameters_.push_back({names[p], trained, largest == seldom_exceeded.end() ? quarter_of_gap(trained) : *largest});
  }
}

std::string TrainedOperatingPoints::fault_of(std::span<const double> estimate) const {
  for (size_t p = 0; p < parameters_.size() && p < estimate.size(); ++p) {
    const Parameter& parameter = parameters_[p];
    const double value = estimate[p], next = nearest(parameter.trained, value);
    if (!std::isfinite(value) || std::abs(value - next) <= parameter.tolerance) {
      continue;
    }
    const double low = parameter.trained.front(), high = parameter.trained.back();
    if (value < low || value > high) {
      return fmt::format("{} {:.5g} is {} what was trained, {:.5g} to {:.5g}", parameter.name, value,
                         value < low ? "below" : "above", low, high);
    }
    return fmt::format(
        "{} {:.5g} is {:.3g} away from {:.5g}, the nearest that was trained, and clips in training at "
        "most {:.3g}",
        parameter.name, value, std::abs(value - next), next, parameter.tolerance);
  }
  return "";
}

}  // namespace evenflow::train
