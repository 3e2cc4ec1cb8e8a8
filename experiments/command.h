// A command of `evenflow`: its name, its help, what it takes and what it does. Each stands in commands/, in a file of
// its name; commands/commands.cpp lists them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "experiments/options.h"

namespace evenflow::experiments {

inline constexpr int exit_ok = 0;
inline constexpr int exit_slower = 1;  ///< profile --compare found something slower
inline constexpr int exit_usage = 2;
inline constexpr int exit_data = 3;
inline constexpr int exit_interrupted = 130;

/// Runs a command whose arguments are parsed, to its exit code.
using Run = std::function<int()>;

struct Command {
  std::string name;
  std::string about;                      ///< its first sentence stands in the program's list of commands
  std::string example;                    ///< lines to type, each indented by two blanks
  std::function<Run(Options&)> declare;   ///< what it gives back may run once the options are filled
  std::vector<Command> subcommands = {};  ///< a group, such as "experiment", has no `declare`; "sweep" has both
};

/// `declare` names the options and the places in the arguments that they fill. `run` prints its result to standard
/// output and gives an exit code: exit_ok, or exit_interrupted after Ctrl-C. Errors are thrown: io::UsageError,
/// io::DataError and kernels' own.
template <class Arguments>
Command make_command(const std::string& name, const std::string& about, const std::string& example,
                     void (*declare)(Options&, Arguments&), int (*run)(const Arguments&)) {
  return {.name = name, .about = about, .example = example, .declare = [=](Options& options) -> Run {
            const auto arguments = std::make_shared<Arguments>();
            declare(options, *arguments);
            return [=] { return run(*arguments); };
          }};
}

}  // namespace evenflow::experiments
