// Work in a process of its own, where a limit, a kill or a crash does not end the tests.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <optional>

namespace evenflow::tests {

/// What the child of in_child ends with when `work` throws.
inline constexpr int child_threw = 98;

/// Runs `work` in a child of fork() that ends with what it returns. It never comes back to the tests, whatever is
/// thrown. A GPU that this process has used, the child cannot use: rerun_this_test.
inline pid_t in_child(const std::function<int()>& work) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    int code = child_threw;
    try {
      code = work();
    } catch (...) {
    }
    ::_exit(code);
  }
  return pid;
}

/// What the child returned, or -1 if it was ended by a signal.
inline int exit_code(pid_t pid) {
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
    return -1;
  }
  return WEXITSTATUS(status);
}

/// Starts the test that is running once more, in a fresh process whose folder_from_parent() is `folder`, and whose
/// temporary files lie there too. std::system_error if it cannot.
pid_t rerun_this_test(const std::filesystem::path& folder);
/// Of the process that started this one by rerun_this_test; nothing in any other.
std::optional<std::filesystem::path> folder_from_parent();

}  // namespace evenflow::tests
