// Other programs: one that runs to its end, and one that is talked with line by line.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

namespace evenflow::experiments {

struct ProgramOutput {
  int code = -1;    ///< exit code, 128 + the signal that ended it; -1: there is no such program
  std::string out;  ///< standard output
  std::string err;
};

/// Runs a program, found as a shell finds it, in a folder (empty: this process's), with nothing to read, and waits for
/// its end. io::DataError: there is no room for what it says.
ProgramOutput run_program(const std::vector<std::string>& words, const std::filesystem::path& folder = {});

/// The Python that modules of evenflow's are run by: $EVENFLOW_PYTHON or, where that is not set, python3.
std::string python();

/// A child process that answers a line with a line. It ends with this object, or when this process does.
class Conversation {
 public:
  explicit Conversation(const std::vector<std::string>& words);
  ~Conversation();
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  /// io::DataError: the program has ended, with the last line that it complained with.
  std::string ask(const std::string& line);

 private:
  std::string complaint() const;
  std::vector<std::string> words_;
  pid_t child_ = -1;
  int socket_ = -1;  ///< to its input and from its output
  std::FILE* from_ = nullptr;
  std::FILE* complaints_ = nullptr;
};

}  // namespace evenflow::experiments
