// Scores of clips that are computed over what the model says of the same clip, and over what is known of normal ones.
#pragma once

#include <functional>
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

struct DerivedScore {
  enum class RestsOn { reference, calibration, points };
  flow::Score score;
  std::string of;  ///< the score that it is computed over, the model's or one before it; empty: the clip's descriptor
  RestsOn rests_on;
  /// How, where `of`, if it is one, is the clip's score of this index; empty where `normal` lacks what it rests on.
  Derivation (*derivation)(const std::string& of, size_t index, const io::NormalData& normal);
};

/// All there are, each behind what it is computed over. A model has those whose score, if they are of one, it has, and
/// whose grounds its file holds.
const std::vector<DerivedScore>& derived_scores();

}  // namespace evenflow::train
