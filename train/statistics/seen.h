// Was a clip recorded at an operating point that the training has? The one rule for all tables, pictures and reports.
//
// A parameter's values may be settings (100, 200, 300), each an operating point, or readings of an instrument that
// scatter about them (98.8, 99.6, 200.2, 201.7). Five or more values are readings if they fall into groups, each of two
// or more (one alone may be single), five times as far apart as the wider neighbour is wide, and no group is wider than
// a tenth of its values, or one about zero than the widest other: each group then is one operating point. The tenth is
// a hundredth where the values look set: all steps inside the groups alike within a tenth, or all values multiples of
// the smallest step and fewer than three to a group.
//
// Of a parameter that is a category, each name is an operating point.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace evenflow::train {

enum class Familiarity { seen, unseen, unknown };

/// An operating point: the values from `low` to `high`.
struct OperatingPoint {
  double low = 0, high = 0;
  int digits = 6;         // that tell it from its neighbours in print
  std::string name = {};  ///< of a category
  double centre() const { return low + 0.5 * (high - low); }
};

/// The operating points that values of one parameter come from, ascending.
class OperatingPoints {
 public:
  OperatingPoints() = default;
  /// In any order, with repetitions; NaN is left out.
  explicit OperatingPoints(std::vector<double> values);
  /// The same of a parameter whose values are places in `names`; of no names, as above.
  OperatingPoints(std::vector<double> values, const std::vector<std::string>& names);

  bool empty() const { return points_.empty(); }
  size_t size() const { return points_.size(); }
  const OperatingPoint& operator[](size_t i) const { return points_[i]; }
  bool are_categories() const { return !names_.empty(); }
  /// A tenth of the smallest distance between two neighbours' centres; 0 of one point only, and of categories.
  double tolerance() const { return tolerance_; }
  /// The index of the point that `value` lies in or nearest to; not of NaN, nor where there is none.
  size_t nearest(double value) const;
  /// seen: inside a point, or within the tolerance of one. unknown: NaN, or there is no point.
  Familiarity of(double value) const;
  /// The points that other clips' values of the parameter come from: where these points are groups of readings, values
  /// no further apart than the tolerance share one.
  OperatingPoints of_others(std::vector<double> values) const;
  /// "100, 200 and 300", readings as "98 to 102", names; of many the first, the last and how many.
  std::string text() const;

 private:
  void set_tolerance_and_digits();
  std::vector<OperatingPoint> points_;
  std::vector<std::string> names_;
  double tolerance_ = 0;
};

/// "100", readings as "98 to 102", or a name.
std::string to_text(const OperatingPoint& point);

/// Of rows of parameter values, none NaN, the number of the operating point that they share in every parameter, from 0
/// in the order of their first row.
std::vector<int64_t> operating_points(std::span<const std::vector<double>> rows);

/// Operating points of the training clips by parameter.
using TrainingPoints = std::map<std::string, OperatingPoints>;

/// A clip with these values of the named parameters. Of the parameters whose training values are known: unseen if one
/// value is; else unknown if one is unknown, or there is no such parameter; else seen.
Familiarity familiarity(std::span<const double> values, const std::vector<std::string>& names,
                        const TrainingPoints& training);

/// Which operating points of several parameters occur together in training.
class Combinations {
 public:
  Combinations() = default;
  /// `rows`: of each training clip the values of the parameters `names`; NaN: unknown.
  Combinations(std::span<const std::vector<double>> rows, std::vector<std::string> names, TrainingPoints training);
  /// Of a clip whose every known value is seen: is there a training clip at the same points in all of them? unknown: a
  /// value is unseen, fewer than two are known, or nothing is known of the training.
  Familiarity of(std::span<const double> values) const;

 private:
  std::vector<int64_t> places(std::span<const double> values) const;  // -1: unknown, or no points are known of it
  std::vector<std::string> names_;
  TrainingPoints training_;
  std::set<std::vector<int64_t>> trained_;
};

}  // namespace evenflow::train
