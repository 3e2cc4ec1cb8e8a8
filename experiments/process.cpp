#include "experiments/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "io/error.h"

extern char** environ;

namespace evenflow::experiments {
namespace {

struct Closed {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Closed>;

/// A file without a name, which the child writes and this process reads.
File nameless() {
  File file(std::tmpfile());
  if (!file) {
    throw io::DataError("no temporary file can be made; is the disk of the temporary folder full?");
  }
  ::fcntl(::fileno(file.get()), F_SETFD, FD_CLOEXEC);
  return file;
}

std::string contents(std::FILE* file) {
  std::string text;
  std::array<char, 4096> buffer;
  std::rewind(file);
  for (size_t count = 0; (count = std::fread(buffer.data(), 1, buffer.size(), file)) > 0;) {
    text.append(buffer.data(), count);
  }
  return text;
}

/// -1: there is no such program.
pid_t spawn(const std::vector<std::string>& words, int in, int out, int err, const std::filesystem::path& folder = {}) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (in < 0) {
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  } else {
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  }
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  if (!folder.empty()) {
    posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  }
  // Ctrl-C on the terminal is for this process, which ends its programs as it sees fit.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  std::vector<std::string> own = words;
  std::vector<char*> argv;
  argv.reserve(own.size() + 1);
  for (std::string& word : own) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  pid_t child = -1;
  const int error = ::posix_spawnp(&child, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error == 0 ? child : -1;
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

ProgramOutput run_program(const std::vector<std::string>& words, const std::filesystem::path& folder) {
  const File out = nameless(), err = nameless();
  const pid_t child = spawn(words, -1, ::fileno(out.get()), ::fileno(err.get()), folder);
  if (child < 0) {
    return {};
  }
  const int code = wait_for(child);
  return {code, contents(out.get()), contents(err.get())};
}

std::string python() {
  const char* named = std::getenv("EVENFLOW_PYTHON");
  return named != nullptr && *named != '\0' ? named : "python3";
}

Conversation::Conversation(const std::vector<std::string>& words) : words_(words) {
  std::array<int, 2> ends = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw io::DataError("no socket can be made; too many files are open");
  }
  complaints_ = nameless().release();
  child_ = spawn(words, ends[1], ends[1], ::fileno(complaints_));
  ::close(ends[1]);
  socket_ = ends[0];
  from_ = ::fdopen(socket_, "r");
}

Conversation::~Conversation() {
  std::fclose(from_);
  std::fclose(complaints_);
  if (child_ >= 0) {
    wait_for(child_);
  }
}

std::string Conversation::complaint() const {
  const std::string text = contents(complaints_);
  const size_t end = text.find_last_not_of(" \n");
  if (end == std::string::npos) {
    return "it says nothing";
  }
  const size_t begin = text.find_last_of('\n', end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1,
                     end - (begin == std::string::npos ? 0 : begin + 1) + 1);
}

std::string Conversation::ask(const std::string& line) {
  const std::string words = line + "\n";
  size_t sent = 0;
  while (child_ >= 0 && sent < words.size()) {
    const ssize_t count = ::send(socket_, words.data() + sent, words.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno != EINTR) {
      break;
    }
    sent += count > 0 ? static_cast<size_t>(count) : 0;
  }
  const bool written = sent == words.size();
  char* answer = nullptr;
  size_t size = 0;
  const ssize_t count = written ? ::getline(&answer, &size, from_) : -1;
  const std::string text(answer == nullptr || count < 0 ? "" : answer, count > 0 ? static_cast<size_t>(count) : 0);
  std::free(answer);
  if (count <= 0 || text.back() != '\n') {
    throw io::DataError(fmt::format("{} has ended: {}", words_.front(), complaint()));
  }
  return text.substr(0, text.size() - 1);
}

}  // namespace evenflow::experiments
