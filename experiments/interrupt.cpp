#include "experiments/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

namespace evenflow::experiments {
namespace {

std::atomic<bool> stop{false}, reload{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

// Asked beforehand: a terminal that is gone no longer says that it is one.
bool was_terminal[STDERR_FILENO + 1] = {};

void set_stop(int) {
  stop.store(true);
}

void set_reload(int) {
  reload.store(true);
}

/// The terminal is gone: what is still said must not fail, or it would end the saving.
void hang_up(int) {
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  for (const int output : {STDOUT_FILENO, STDERR_FILENO}) {
    if (nowhere >= 0 && was_terminal[output]) {
      ::dup2(nowhere, output);
    }
  }
  stop.store(true);
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

const std::atomic<bool>& stop_on_signals() {
  handle(SIGINT, set_stop);
  handle(SIGTERM, set_stop);
  for (const int output : {STDOUT_FILENO, STDERR_FILENO}) {
    was_terminal[output] = ::isatty(output) == 1;
  }
  struct sigaction before = {};
  if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) {
    handle(SIGHUP, hang_up);
  }
  return stop;
}

std::atomic<bool>& reload_on_hangup() {
  if (!was_terminal[STDOUT_FILENO]) {
    struct sigaction action = {};
    action.sa_handler = set_reload;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGHUP, &action, nullptr);
  }
  return reload;
}

HeldSignals::HeldSignals() {
  sigset_t held = {};
  sigemptyset(&held);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    sigaddset(&held, signal);
  }
  ::pthread_sigmask(SIG_BLOCK, &held, &before_);
}

HeldSignals::~HeldSignals() {
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void throw_if_stopped() {
  if (stop.load()) {
    throw Interrupted();
  }
}

}  // namespace evenflow::experiments
