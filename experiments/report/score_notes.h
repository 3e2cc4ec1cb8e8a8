// What has to be said beside scores: which clips have no value of one, and which lie outside of the calibration.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "train/detect/score_table.h"

namespace evenflow::experiments {

/// "Not finite, and so in no figure: nll_given_v of 3 clips.", a line; empty if there is none. `scores`: of
/// train::without_value.
std::string without_value_text(const std::vector<std::pair<std::string, int64_t>>& scores);

/// A sentence for each reason, without a full stop: "3 clips lie outside of ...: a.wav, b.wav, c.wav". `or_unlike`:
/// those of another operating point may be clips that fit no category, which a file does not tell apart.
std::vector<std::string> outside_calibration_texts(const train::OutsideClips& outside, bool or_unlike = false);

}  // namespace evenflow::experiments
