// The command line of `evenflow`: commands, their options and help.
#pragma once

#include "experiments/options.h"

namespace evenflow::experiments {

/// io::UsageError says what is wrong with the arguments and, for an unknown option, which one is near.
Command parse_command_line(int argc, const char* const* argv);

}  // namespace evenflow::experiments
