#include "experiments/interrupt.h"

#include <csignal>
#include <string>

#include <unistd.h>

#include "experiments/commands/commands.h"
#include "io/atomic_file.h"

namespace evenflow::experiments {
namespace {

std::atomic<bool> stop{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

// A process makes one temporary per file it writes; probes come first and count too.
constexpr int names = 8;
std::string temporary[names];

void set_stop(int) {
  stop.store(true);
}

void discard(int) {
  for (const std::string& name : temporary)
    if (!name.empty()) ::unlink(name.c_str());
  constexpr char sentence[] = "evenflow: interrupted; nothing was written\n";
  const ssize_t ignored = ::write(STDERR_FILENO, sentence, sizeof(sentence) - 1);
  static_cast<void>(ignored);
  ::_exit(exit_interrupted);
}

void handle(void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART | flags;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

}  // namespace

const std::atomic<bool>& stop_on_signals() {
  handle(set_stop, static_cast<int>(SA_RESETHAND));
  return stop;
}

void discard_on_signals(const std::filesystem::path& target) {
  const std::filesystem::path resolved = io::AtomicFile(target).target();
  for (int i = 0; i < names; ++i)
    temporary[i] = resolved.string() + ".tmp" + std::to_string(::getpid()) + "-" + std::to_string(i);
  handle(discard, 0);
}

}  // namespace evenflow::experiments
