// The program `evenflow`: one command line to one command; errors become one sentence and an exit code.
#include <csignal>
#include <cstdio>
#include <exception>

#include <fmt/format.h>

#include "experiments/command.h"
#include "experiments/command_line.h"
#include "experiments/console.h"
#include "experiments/failure.h"
#include "experiments/ranks.h"
#include "io/error.h"
#include "io/text.h"

namespace {

using namespace evenflow;

int complain(int code, const std::string& sentence) {
  std::fflush(stdout);
  experiments::let_first_rank_speak(code);
  // If nobody hears it, the exit code still tells.
  std::fputs(fmt::format("evenflow: {}\n", io::escaped(experiments::one_line(sentence))).c_str(), stderr);
  experiments::end_ranks(code);
  return code;
}

int run(int argc, char** argv) {
  const int code = experiments::parse_command_line(argc, argv)();
  if (std::fflush(stdout) != 0 && code == experiments::exit_ok) {
    throw io::DataError("cannot write to standard output; is its disk full?");
  }
  experiments::leave_ranks();
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  // A file that grows beyond the limit is a full disk like any other: an error of write, not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return run(argc, argv);
  } catch (const std::exception&) {
    const experiments::Failure failure = experiments::failure_of(std::current_exception());
    return complain(failure.code, failure.sentence);
  }
}
