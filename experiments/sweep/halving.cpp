#include "experiments/sweep/halving.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/error.h"

namespace evenflow::experiments {

std::vector<int64_t> rung_epochs(const io::HalvingSettings& halving, const io::TrainSettings& train) {
  if (halving.min_epochs == 0) {
    return {0};
  }
  if (train.epochs == 0) {
    throw io::UsageError("halving counts epochs, and the training's length is in train.steps; set train.epochs");
  }
  if (halving.min_epochs >= train.epochs) {
    throw io::UsageError(fmt::format("halving.min_epochs = {} stops no trial early: a training has {} epochs; lower it",
                                     halving.min_epochs, train.epochs));
  }
  // The last step is one of `factor` or more.
  std::vector<int64_t> rungs = {halving.min_epochs};
  while (rungs.back() * halving.factor * halving.factor <= train.epochs) {
    rungs.push_back(rungs.back() * halving.factor);
  }
  rungs.push_back(0);
  return rungs;
}

std::optional<size_t> next_to_climb(const std::vector<Climber>& trials, int64_t rungs, int64_t factor) {
  for (int64_t rung = rungs - 2; rung >= 0; --rung) {
    const auto at = static_cast<size_t>(rung);
    std::vector<std::pair<double, size_t>> reached;
    size_t count = 0;
    for (size_t i = 0; i < trials.size(); ++i) {
      if (trials[i].at_rung.size() > at) {
        ++count;
        if (!std::isnan(trials[i].at_rung[at])) {
          reached.emplace_back(trials[i].at_rung[at], i);
        }
      }
    }
    std::sort(reached.begin(), reached.end());
    const size_t best = std::min(count / static_cast<size_t>(factor), reached.size());
    for (size_t place = 0; place < best; ++place) {
      const Climber& trial = trials[reached[place].second];
      if (trial.may_climb && trial.at_rung.size() == at + 1) {
        return reached[place].second;
      }
    }
  }
  return std::nullopt;
}

}  // namespace evenflow::experiments
