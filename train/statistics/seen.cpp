#include "train/statistics/seen.h"

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
    if (i < values.size() && !(values[i] - values[i - 1] > widest)) {
      continue;
    }
    groups.push_back(std::span(values).subspan(first, i - first));
    first = i;
  }
  return groups;
}

double width(std::span<const double> group) {
  return group.back() - group.front();
}

using Groups = std::vector<std::span<const double>>;

bool stand_apart(const Groups& groups, size_t most_single) {
  constexpr double least_ratio = 5.0;  // so that half a group's width is within the tolerance
  for (size_t g = 1; g < groups.size(); ++g) {
    const double gap = groups[g].front() - groups[g - 1].back();
    if (gap < least_ratio * std::max(width(groups[g - 1]), width(groups[g]))) {
      return false;
    }
  }
  const auto single = std::count_if(groups.begin(), groups.end(), [](const auto& group) { return group.size() == 1; });
  return static_cast<size_t>(single) <= most_single;
}

/// Steps all alike, or few values that are multiples of the smallest step.
bool look_set(const std::vector<double>& values, const Groups& groups) {
  std::vector<double> steps;
  steps.reserve(values.size());
  for (const std::span<const double> group : groups) {
    for (size_t i = 1; i < group.size(); ++i) {
      steps.push_back(group[i] - group[i - 1]);
    }
  }
  const auto [least, most] = std::minmax_element(steps.begin(), steps.end());
  if (*least >= 0.9 * *most) {
    return true;
  }
  return values.size() < 3 * groups.size() && std::all_of(values.begin(), values.end(), [step = *least](double value) {
           return equal_within_rounding(value / step, std::round(value / step));
         });
}

/// No group is wider than the share of its values; one about zero, which has no such share, than all others.
bool are_narrow(const Groups& groups, double share) {
  double widest = 0, about_zero = 0;
  for (const std::span<const double> group : groups) {
    if (group.front() <= 0 && group.back() >= 0) {
      about_zero = width(group);
      continue;
    }
    if (width(group) > share * std::max(std::abs(group.front()), std::abs(group.back()))) {
      return false;
    }
    widest = std::max(widest, width(group));
  }
  return about_zero <= widest;
}

/// The finest groups of readings, if possible without a single reading; none if there are none.
Groups groups_of_readings(const std::vector<double>& values) {
  constexpr size_t least_values = 5;
  if (values.size() < least_values) {
    return {};
  }
  std::vector<double> gaps;
  gaps.reserve(values.size());
  for (size_t i = 1; i < values.size(); ++i) {
    gaps.push_back(values[i] - values[i - 1]);
  }
  std::sort(gaps.begin(), gaps.end());
  for (const size_t most_single : {0U, 1U}) {
    for (size_t i = 0; i + 1 < gaps.size(); ++i) {
      if (gaps[i + 1] < 2.0 * gaps[i]) {
        continue;  // no break
      }
      Groups groups = split(values, gaps[i]);
      if (!stand_apart(groups, most_single)) {
        continue;
      }
      if (are_narrow(groups, look_set(values, groups) ? 0.01 : 0.1)) {
        return groups;
      }
    }
  }
  return {};
}

Points points_of(const std::vector<double>& values) {
  const Groups groups = groups_of_readings(values);
  Points points;
  points.reserve(values.size());
  for (const std::span<const double> group : groups) {
    points.push_back({group.front(), group.back()});
  }
  if (!points.empty()) {
    return points;
  }
  for (const double value : values) {
    points.push_back({value, value});
  }
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
  set_tolerance_and_digits();
}

OperatingPoints::OperatingPoints(std::vector<double> values, const std::vector<std::string>& names) {
  if (names.empty()) {
    *this = OperatingPoints(std::move(values));
    return;
  }
  names_ = names;
  for (const double code : distinct(std::move(values))) {
    points_.push_back({code, code, 6, names.at(static_cast<size_t>(code))});
  }
}

void OperatingPoints::set_tolerance_and_digits() {
  for (size_t i = 1; i < points_.size(); ++i) {
    const double tenth = 0.1 * (points_[i].centre() - points_[i - 1].centre());
    tolerance_ = i == 1 ? tenth : std::min(tolerance_, tenth);
  }
  double finest = std::numeric_limits<double>::infinity(), largest = 0;
  for (const OperatingPoint& point : points_) {
    for (const double step : {tolerance_, point.high - point.low}) {
      if (step > 0) {
        finest = std::min(finest, step);
      }
    }
    largest = std::max({largest, std::abs(point.low), std::abs(point.high)});
  }
  if (!std::isfinite(finest) || !std::isfinite(largest)) {
    return;
  }
  const double digits = std::floor(std::log10(largest)) + 1.0 - std::floor(std::log10(finest));
  for (OperatingPoint& point : points_) {
    point.digits = static_cast<int>(std::clamp(digits, 6.0, 17.0));
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
  if (std::isnan(value) || points_.empty()) {
    return Familiarity::unknown;
  }
  const OperatingPoint& point = points_[nearest(value)];
  const double rounding = 4.0 * std::numeric_limits<double>::epsilon() * std::abs(value);
  const double slack = std::max(tolerance_, rounding);
  return value >= point.low - slack && value <= point.high + slack ? Familiarity::seen : Familiarity::unseen;
}

OperatingPoints OperatingPoints::of_others(std::vector<double> values) const {
  if (are_categories()) {
    return {std::move(values), names_};
  }
  const bool readings = std::any_of(points_.begin(), points_.end(), [](const auto& p) { return p.low < p.high; });
  if (!readings) {
    return OperatingPoints(std::move(values));
  }
  OperatingPoints others;
  const std::vector<double> sorted = distinct(std::move(values));
  for (const std::span<const double> group : split(sorted, tolerance_)) {
    if (!group.empty()) {
      others.points_.push_back({group.front(), group.back()});
    }
  }
  others.set_tolerance_and_digits();
  return others;
}

std::string to_text(const OperatingPoint& point) {
  if (!point.name.empty()) {
    return point.name;
  }
  const std::string low = fmt::format("{:.{}g}", point.low, point.digits);
  return point.low == point.high ? low : fmt::format("{} to {:.{}g}", low, point.high, point.digits);
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

std::vector<int64_t> operating_points(std::span<const std::vector<double>> rows) {
  const size_t parameters = rows.empty() ? 0 : rows.front().size();
  std::vector<std::vector<size_t>> places(rows.size());
  for (size_t p = 0; p < parameters; ++p) {
    std::vector<double> values;
    values.reserve(rows.size());
    for (const std::vector<double>& v : rows) {
      values.push_back(v[p]);
    }
    const OperatingPoints points(values);
    for (size_t i = 0; i < values.size(); ++i) {
      places[i].push_back(points.nearest(values[i]));
    }
  }
  std::map<std::vector<size_t>, int64_t> numbers;
  std::vector<int64_t> out;
  out.reserve(places.size());
  for (const std::vector<size_t>& place : places) {
    out.push_back(numbers.try_emplace(place, static_cast<int64_t>(numbers.size())).first->second);
  }
  return out;
}

Familiarity familiarity(std::span<const double> values, const std::vector<std::string>& names,
                        const TrainingPoints& training) {
  bool any = false, unknown = false;
  for (size_t p = 0; p < names.size() && p < values.size(); ++p) {
    const auto known = training.find(names[p]);
    if (known == training.end() || known->second.empty()) {
      continue;
    }
    any = true;
    const Familiarity own = known->second.of(values[p]);
    if (own == Familiarity::unseen) {
      return Familiarity::unseen;
    }
    unknown = unknown || own == Familiarity::unknown;
  }
  return !any || unknown ? Familiarity::unknown : Familiarity::seen;
}

Combinations::Combinations(std::span<const std::vector<double>> rows, std::vector<std::string> names,
                           TrainingPoints training)
    : names_(std::move(names)), training_(std::move(training)) {
  for (const std::vector<double>& row : rows) {
    trained_.insert(places(row));
  }
}

std::vector<int64_t> Combinations::places(std::span<const double> values) const {
  std::vector<int64_t> out;
  for (size_t p = 0; p < names_.size(); ++p) {
    const auto points = training_.find(names_[p]);
    const bool known =
        p < values.size() && !std::isnan(values[p]) && points != training_.end() && !points->second.empty();
    out.push_back(known ? static_cast<int64_t>(points->second.nearest(values[p])) : -1);
  }
  return out;
}

Familiarity Combinations::of(std::span<const double> values) const {
  const std::vector<int64_t> wanted = places(values);
  const auto known = std::count_if(wanted.begin(), wanted.end(), [](int64_t place) { return place >= 0; });
  if (trained_.empty() || known < 2) {
    return Familiarity::unknown;
  }
  for (size_t p = 0; p < wanted.size(); ++p) {
    if (wanted[p] >= 0 && training_.at(names_[p]).of(values[p]) != Familiarity::seen) {
      return Familiarity::unknown;
    }
  }
  const bool together = std::any_of(trained_.begin(), trained_.end(), [&](const std::vector<int64_t>& row) {
    for (size_t p = 0; p < wanted.size(); ++p) {
      if (wanted[p] >= 0 && wanted[p] != row[p]) {
        return false;
      }
    }
    return true;
  });
  return together ? Familiarity::seen : Familiarity::unseen;
}

}  // namespace evenflow::train
