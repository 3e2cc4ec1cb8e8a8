#include "train/detect/derived_scores.h"

namespace evenflow::train {

const std::vector<DerivedScore>& derived_scores() {
  static const std::vector<DerivedScore> scores;
  return scores;
}

}  // namespace evenflow::train
