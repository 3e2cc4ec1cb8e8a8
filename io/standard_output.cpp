#include "io/standard_output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "io/error.h"

namespace evenflow::io {
namespace {

/// Where standard output led when the program began.
int result = STDOUT_FILENO;

[[noreturn]] void fail() {
  throw DataError(std::string("cannot write to standard output: ") + std::strerror(errno) +
                  "; is its reader gone, or its disk full?");
}

}  // namespace

bool is_standard_output(const std::filesystem::path& file) {
  return file == "-" || file == "/dev/stdout" || file == "/dev/fd/1" || file == "/proc/self/fd/1";
}

void keep_standard_output_for_result() {
  if (result != STDOUT_FILENO) {
    return;
  }
  std::fflush(stdout);
  const int kept = ::dup(STDOUT_FILENO);
  if (kept < 0 || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
    fail();
  }
  result = kept;
}

void write_to_standard_output(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(result, text.data(), text.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      fail();
    }
    text.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace evenflow::io
