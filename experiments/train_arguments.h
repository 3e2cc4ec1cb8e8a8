// One training on the command line, or on a line of a list (train_pack.h).
#pragma once

#include "experiments/options.h"
#include "experiments/train_request.h"

namespace evenflow::experiments {

void declare_training(Options& options, TrainArguments& arguments);
/// The last of a command's options: the keys.
void declare_configuration(Options& options, TrainArguments& arguments);

}  // namespace evenflow::experiments
