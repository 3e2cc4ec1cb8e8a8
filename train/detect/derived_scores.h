// Scores of clips that are computed over another score of the same clip and over what that one was in training.
#pragma once

#include <string>
#include <vector>

#include "flow/scores.h"
#include "io/model_file.h"

namespace evenflow::train {

struct DerivedScore {
  flow::Score score;
  std::string of;  ///< the model's score that it is computed over
  double (*value)(double of, const io::ScoreReference& reference);
};

/// All there are. A model has those whose score it has, and whose reference its file holds.
const std::vector<DerivedScore>& derived_scores();

}  // namespace evenflow::train
