#include "train/detect/derived_scores.h"

#include <cmath>

namespace evenflow::train {

const std::vector<DerivedScore>& derived_scores() {
  static const std::vector<DerivedScore> scores = {
      {{"score_typical", "How far nll is from its mean over the training clips, to either side"},
       "nll",
       [](double nll, const io::ScoreReference& training) { return std::abs(nll - training.mean); }}};
  return scores;
}

}  // namespace evenflow::train
