// Scores of clips that are computed over what the model says of the same clip, and over what is known of normal ones.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "flow/scores.h"
#include "io/model_file.h"
#include "train/detect/score_table.h"

namespace evenflow::train {

struct DerivedValue {
  double score = 0;
  bool outside = false;  ///< ClipScore::outside_calibration
};
/// Of a clip whose scores before this one and whose estimate are known.
using Derivation = std::function<DerivedValue(const ClipScore& clip)>;

/// Scores of a clip by name, and their places among its scores.
struct Operands {
  std::vector<std::string> names;
  std::vector<size_t> places;
};

struct DerivedScore {
  enum class RestsOn { reference, calibration, points, scores };  // scores: on nothing but `of`
  flow::Score score;
  /// What it is computed over: scores of the model's or before it; none: the clip's descriptor.
  std::vector<std::string> of;
  RestsOn rests_on;
  /// How, over the clip's `of`; empty where `normal` lacks what it rests on.
  Derivation (*derivation)(const Operands& of, const io::NormalData& normal);

  bool calibrates(const std::string& name) const { return rests_on == RestsOn::calibration && of.front() == name; }
};

/// All there are, each behind what it is computed over. A model has those that are of scores that it has, and whose
/// grounds its file holds.
const std::vector<DerivedScore>& derived_scores();

/// Where its `of` lie among scores of these names; none if one is missing.
std::optional<Operands> operands_of(const DerivedScore& derived, const std::vector<std::string>& names);
/// Is it a score that rests on a calibration, itself or by what it is computed over?
bool needs_calibration(const std::string& score);

}  // namespace evenflow::train
