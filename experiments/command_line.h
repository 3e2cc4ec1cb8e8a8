// The command line of `evenflow`: which command was asked for, with its arguments.
#pragma once

#include "experiments/command.h"

namespace evenflow::experiments {

/// What was asked for: a command, or the text of --help or --version. io::UsageError says what is wrong with the
/// arguments and, for an unknown command or option, which one is near.
Run parse_command_line(int argc, const char* const* argv);

}  // namespace evenflow::experiments
