#include "train/detect/operating_points.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

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

double tolerance_of(const io::ModelData& model, const std::vector<double>& trained, size_t parameter) {
  std::optional<double> of_new_clips, of_calibration;
  if (model.conformal && parameter < model.conformal->estimate_distance.size()) {
    const std::vector<double>& distances = model.conformal->estimate_distance[parameter];
    of_new_clips = unusual(distances);
    if (conformal_threshold(distances, unusual_share)) {
      return *of_new_clips;
    }
  }
  if (const auto& calibration = model.normal.calibration; calibration && calibration->clips > 0) {
    of_calibration = unusual(distances_of(trained, *calibration, parameter, model.condition.names.size()));
  }
  const std::optional<double> larger = std::max(of_new_clips, of_calibration);  // any value is more than none
  return larger ? *larger : quarter_of_gap(trained);
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
    parameters_.push_back({names[p], trained, tolerance_of(model, trained, p)});
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
        "{} {:.5g} is {:.3g} away from {:.5g}, the nearest that was trained, and normal clips at most {:.3g}",
        parameter.name, value, std::abs(value - next), next, parameter.tolerance);
  }
  return "";
}

}  // namespace evenflow::train
