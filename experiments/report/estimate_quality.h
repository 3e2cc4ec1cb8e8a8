// How good estimates of operating points are: of a number their error, of a name how often they are right and what
// their probabilities are worth.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "experiments/report/evaluation.h"
#include "train/detect/score.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {

/// The names that a category had in training, of the table's estimate `e`; none: nothing tells.
std::optional<std::vector<std::string>> names_trained(const train::ScoreTable& table,
                                                      const train::TrainingPoints& training, size_t e);

/// Adds what `evaluation` has of estimates: `estimates` and `names` of its overall groups, whose rows are places in
/// `clips`, and `names_left_out` and `without_estimate` of all `clips`. These have the table's parameters and
/// estimates. An estimate whose parameter the table lacks has no figures, nor has one that is a name where the table
/// has numbers, or the other way round.
void add_estimates(Evaluation& evaluation, const train::ScoreTable& table, const std::vector<train::ClipScore>& clips,
                   const train::TrainingPoints& training);

}  // namespace evenflow::experiments
