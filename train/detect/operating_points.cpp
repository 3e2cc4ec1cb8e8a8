#include "train/detect/operating_points.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "train/statistics/conformal.h"

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

double tolerance_of_estimates(const std::vector<double>& trained, const io::CalibrationData& data, size_t parameter,
                              size_t parameters) {
  std::vector<double> distances;
  for (size_t clip = 0; clip < static_cast<size_t>(data.clips); ++clip) {
    const double estimate = data.estimate[clip * parameters + parameter];
    distances.push_back(std::abs(estimate - nearest(trained, estimate)));
  }
  std::sort(distances.begin(), distances.end());
  return conformal_threshold(distances, unusual_share).value_or(distances.back());
}

double quarter_of_gap(const std::vector<double>& trained) {
  double gap = std::abs(trained.front());
  for (size_t i = 1; i < trained.size(); ++i) {
    gap = std::min(gap, trained[i] - trained[i - 1]);
  }
  return 0.25 * gap;
}

}  // namespace

TrainedOperatingPoints::TrainedOperatingPoints(const io::ModelData& model) {
  const std::vector<std::string>& names = model.condition.names;
  for (size_t p = 0; p < names.size() && p < model.condition.training_values.size(); ++p) {
    const std::vector<double>& trained = model.condition.training_values[p];
    if (trained.empty()) {
      continue;
    }
    const bool measured = model.normal.calibration && model.normal.calibration->clips > 0;
    parameters_.push_back({names[p], trained,
                           measured ? tolerance_of_estimates(trained, *model.normal.calibration, p, names.size())
                                    : quarter_of_gap(trained)});
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
