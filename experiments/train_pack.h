// Trainings side by side, as a person sees them: how far they are, what went wrong with which, and a table at the end.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "train/loop/trainer.h"

namespace evenflow::experiments {

/// `threads`: of all together. Ctrl-C saves all of them. To exit_ok, exit_interrupted, or the code of the first that
/// failed; the others are trained all the same. `results`: a CSV, a row each in their order.
int run_pack(std::vector<train::TrainOptions> trainings, int threads,
             const std::optional<std::filesystem::path>& results);

}  // namespace evenflow::experiments
