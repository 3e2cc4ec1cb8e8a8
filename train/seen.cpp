#include "train/seen.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace evenflow::train {
namespace {

using Points = std::vector<OperatingPoint>;

bool equal_within_rounding(double a, double b) {
  return std::abs(a - b) <= 1e-6 * std::max(std::abs(a), std::abs(b));
}

/// Ascending, distinct values, split wherever a gap is wider than `widest`.
std::vector<std::span<const double>> split(const std::vector<double>& values, double widest) {
  std::vector<std::span<const double>> groups;
  size_t first = 0;
  for (size_t i = 1; i <= values.size(); ++i) {
    if (i < values.size() && !(values[i] - values[i - 1] > widest)) continue;
    groups.push_back(std::span(values).subspan(first, i - first));
    first = i;
  }
  return groups;
}

double width(std::span<const double> group) {
  return group.back() - group.front();
}

bool stand_apart(const std::vector<std::span<const double>>& groups) {
  constexpr double least_ratio = 4.0;
  for (size_t g = 1; g < groups.size(); ++g) {
    const double gap = groups[g].front() - groups[g - 1].back();
    if (gap < least_ratio * std::max(width(groups[g - 1]), width(groups[g]))) return false;
  }
  return std::count_if(groups.begin(), groups.end(), [](const auto& group) { return group.size() == 1; }) <= 1;
}

bool are_settings(const std::vector<double>& values, const std::vector<std::span<const double>>& groups) {
  std::vector<double> inside;
  for (const std::span<const double> group : groups) {
    for (size_t i = 1; i < group.size(); ++i) inside.push_back(group[i] - group[i - 1]);
  }
  const bool wide = std::any_of(groups.begin(), groups.end(), [](const auto& group) {
    return width(group) > 0.1 * std::max(std::abs(group.front()), std::abs(group.back()));
  });
  const auto [least, most] = std::minmax_element(inside.begin(), inside.end());
  const bool multiples = std::all_of(values.begin(), values.end(), [gap = *least](double value) {
    return equal_within_rounding(value / gap, std::round(value / gap));
  });
  const bool few = values.size() < 3 * groups.size(), even = equal_within_rounding(*least, *most);
  return multiples && (few || wide || even);
}

/// The finest groups of readings, or every value by itself.
Points points_of(const std::vector<double>& values) {
  constexpr size_t least_values = 5;
  Points points;
  if (values.size() >= least_values) {
    std::vector<double> gaps;
    for (size_t i = 1; i < values.size(); ++i) gaps.push_back(values[i] - values[i - 1]);
    std::sort(gaps.begin(), gaps.end());
    for (size_t i = 0; i + 1 < gaps.size(); ++i) {
      if (gaps[i + 1] < 2.0 * gaps[i]) continue;  // no break
      const std::vector<std::span<const double>> groups = split(values, gaps[i]);
      if (!stand_apart(groups) || are_settings(values, groups)) continue;
      for (const std::span<const double> group : groups) points.push_back({group.front(), group.back()});
      return points;
    }
  }
  for (const double value : values) points.push_back({value, value});
  return points;
}

std::vector<double> distinct(std::vector<double> values) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

}  // namespace

OperatingPoints::OperatingPoints(std::vector<double> values) : points_(points_of(distinct(std::move(values)))) {
  set_tolerance();
}

void OperatingPoints::set_tolerance() {
  for (size_t i = 1; i < points_.size(); ++i) {
    const double tenth = 0.1 * (points_[i].centre() - points_[i - 1].centre());
    tolerance_ = i == 1 ? tenth : std::min(tolerance_, tenth);
  }
}

size_t OperatingPoints::nearest(double value) const {
  const auto distance = [&](const OperatingPoint& point) {
    return std::max({0.0, point.low - value, value - point.high});
  };
  const auto found = std::min_element(points_.begin(), points_.end(),
                                      [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
  return static_cast<size_t>(found - points_.begin());
}

Familiarity OperatingPoints::of(double value) const {
  if (std::isnan(value) || points_.empty()) return Familiarity::unknown;
  const OperatingPoint& point = points_[nearest(value)];
  const double rounding = 4.0 * std::numeric_limits<double>::epsilon() * std::abs(value);
  const double slack = std::max(tolerance_, rounding);
  return value >= point.low - slack && value <= point.high + slack ? Familiarity::seen : Familiarity::unseen;
}

OperatingPoints OperatingPoints::of_others(std::vector<double> values) const {
  const bool readings = std::any_of(points_.begin(), points_.end(), [](const auto& p) { return p.low < p.high; });
  if (!readings) return OperatingPoints(std::move(values));
  OperatingPoints others;
  const std::vector<double> sorted = distinct(std::move(values));
  for (const std::span<const double> group : split(sorted, tolerance_)) {
    if (!group.empty()) others.points_.push_back({group.front(), group.back()});
  }
  others.set_tolerance();
  return others;
}

std::string to_text(const OperatingPoint& point) {
  return point.low == point.high ? fmt::format("{:g}", point.low) : fmt::format("{:g} to {:g}", point.low, point.high);
}

std::string OperatingPoints::text() const {
  constexpr size_t most = 8;
  if (points_.size() > most) {
    return fmt::format("{}, ..., {} ({} values)", to_text(points_.front()), to_text(points_.back()), points_.size());
  }
  std::string out;
  for (size_t i = 0; i < points_.size(); ++i) {
    out += (i == 0 ? "" : i + 1 == points_.size() ? " and " : ", ") + to_text(points_[i]);
  }
  return out;
}

Familiarity familiarity(std::span<const double> values, const std::vector<std::string>& names,
                        const TrainingPoints& training) {
  bool any = false, unknown = false;
  for (size_t p = 0; p < names.size() && p < values.size(); ++p) {
    const auto known = training.find(names[p]);
    if (known == training.end() || known->second.empty()) continue;
    any = true;
    const Familiarity own = known->second.of(values[p]);
    if (own == Familiarity::unseen) return Familiarity::unseen;
    unknown = unknown || own == Familiarity::unknown;
  }
  return !any || unknown ? Familiarity::unknown : Familiarity::seen;
}

}  // namespace evenflow::train
