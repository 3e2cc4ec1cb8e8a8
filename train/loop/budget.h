// How long a training lasts: epochs in all, and how many without progress end it before.
#pragma once

#include <cstdint>
#include <string>

#include "io/config.h"

namespace evenflow::train {

/// train.epochs or, where that is 0, as many as make up train.steps.
int64_t epochs_to_train(const io::TrainSettings& settings, int64_t steps_per_epoch);

/// Epochs without a lower held-out loss after which a training ends; 0: never. Where nobody chose (-1), 100 if the
/// length was left to train.steps: it then bites only where an epoch is 20 steps or fewer, that is on few recordings,
/// which a model overfits long before the steps are made.
int64_t patience_of(const io::TrainSettings& settings);

/// "40 epochs" or "2000 steps".
std::string describe_budget(const io::TrainSettings& settings);

}  // namespace evenflow::train
