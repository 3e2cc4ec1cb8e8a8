// The commands of `evenflow`.
#pragma once

#include <vector>

#include "experiments/command.h"

namespace evenflow::experiments {

/// In the order of the program's help.
std::vector<Command> commands();

}  // namespace evenflow::experiments
