#include "experiments/monitor/executor.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>

extern char** environ;

namespace evenflow::experiments::monitor {
namespace {

using Clock = std::chrono::steady_clock;

/// A nameless file that holds the text, to be read from its beginning.
int file_of(const std::string& text) {
  const int file = ::memfd_create("evenflow alarm", MFD_CLOEXEC);
  if (file >= 0 && (::write(file, text.data(), text.size()) < 0 || ::lseek(file, 0, SEEK_SET) < 0)) {
    ::close(file);
    return -1;
  }
  return file;
}

std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& more) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    all.emplace_back(*entry);
  }
  for (const auto& [name, value] : more) {
    all.push_back(fmt::format("{}={}", name, value));
  }
  return all;
}

/// In a process group of its own, its output to standard error; -1 and errno: not started.
pid_t start(const std::string& command, const std::vector<std::pair<std::string, std::string>>& more, int input) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setsigmask(&attributes, &none);
  sigset_t pipes;
  sigemptyset(&pipes);
  sigaddset(&pipes, SIGPIPE);  // which this program ignores
  posix_spawnattr_setsigdefault(&attributes, &pipes);
  std::array<std::string, 3> words = {"/bin/sh", "-c", command};
  std::array<char*, 4> argv = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  std::vector<std::string> entries = environment_with(more);
  std::vector<char*> environment;
  environment.reserve(entries.size() + 1);
  for (std::string& entry : entries) {
    environment.push_back(entry.data());
  }
  environment.push_back(nullptr);
  pid_t child = -1;
  const int error = ::posix_spawn(&child, words[0].c_str(), &actions, &attributes, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  errno = error;
  return error == 0 ? child : -1;
}

/// How a child ended, or none: it has not by then.
std::optional<int> wait_until(pid_t child, Clock::time_point end) {
  for (;;) {
    int status = 0;
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) {
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    if ((ended < 0 && errno != EINTR) || Clock::now() >= end) {
      return std::nullopt;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

Executor::Executor(double limit_s, std::function<void(const std::string&)> complain)
    : limit_s_(limit_s), complain_(std::move(complain)), thread_([this] { work(); }) {}

Executor::~Executor() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Executor::give(Job job) {
  constexpr size_t most = 64;
  bool left_out = false;
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    left_out = jobs_.size() > most;
    if (left_out) {
      jobs_.pop_front();
    }
  }
  changed_.notify_all();
  if (left_out) {
    complain_("an alarm's command was left out: 64 others wait to be run");
  }
}

void Executor::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
    if (jobs_.empty()) {
      return;
    }
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    run(job);
    lock.lock();
  }
}

void Executor::run(const Job& job) const {
  const int input = file_of(job.input);
  const pid_t child = input < 0 ? -1 : start(job.command, job.environment, input);
  if (child < 0) {
    complain_(fmt::format("an alarm's command cannot be started: {}", std::strerror(errno)));
  }
  if (input >= 0) {
    ::close(input);
  }
  if (child < 0) {
    return;
  }
  const auto limit = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(limit_s_));
  std::optional<int> code = wait_until(child, Clock::now() + limit);
  if (code) {
    if (*code != 0) {
      complain_(fmt::format("an alarm's command ended with exit code {}: {}", *code, job.command));
    }
    return;
  }
  ::kill(-child, SIGTERM);
  if (!wait_until(child, Clock::now() + std::chrono::seconds(1))) {
    ::kill(-child, SIGKILL);
    wait_until(child, Clock::now() + std::chrono::seconds(1));
  }
  complain_(fmt::format("an alarm's command took longer than {:g} s and was ended: {}", limit_s_, job.command));
}

}  // namespace evenflow::experiments::monitor
