#include "train/loop/budget.h"

namespace evenflow::train {

int64_t epochs_to_train(const io::TrainSettings& settings, int64_t steps_per_epoch) {
  return settings.epochs > 0 ? settings.epochs : (settings.steps + steps_per_epoch - 1) / steps_per_epoch;
}

int64_t patience_of(const io::TrainSettings& settings) {
  constexpr int64_t of_a_budget_in_steps = 100;
  if (settings.patience >= 0) {
    return settings.patience;
  }
  return settings.epochs > 0 ? 0 : of_a_budget_in_steps;
}

std::string describe_budget(const io::TrainSettings& settings) {
  return settings.epochs > 0 ? std::to_string(settings.epochs) + " epochs" : std::to_string(settings.steps) + " steps";
}

}  // namespace evenflow::train
