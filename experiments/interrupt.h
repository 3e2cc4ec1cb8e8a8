// Ctrl-C (SIGINT), SIGTERM, and SIGHUP, which a terminal sends as it closes.
#pragma once

#include <atomic>
#include <csignal>
#include <stdexcept>

namespace evenflow::experiments {

/// From now on the first signal sets the flag and the second ends the process. A SIGHUP that the caller has had ignored
/// (nohup) stays ignored.
const std::atomic<bool>& stop_on_signals();

/// After stop_on_signals(): SIGHUP no longer stops but sets this flag, each time, unless standard output is a terminal,
/// which sends it as it closes. Also where the caller has had it ignored (nohup): whoever wants to outlive a terminal
/// does, since a flag ends nothing.
std::atomic<bool>& reload_on_hangup();

/// While it lives, these signals wait: for what must be removed again before the first of them may end the program.
class HeldSignals {
 public:
  HeldSignals();
  ~HeldSignals();
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

 private:
  sigset_t before_ = {};
};

/// What throw_if_stopped throws. The program ends with exit code 130.
class Interrupted : public std::runtime_error {
 public:
  Interrupted() : std::runtime_error("interrupted; nothing was written") {}
};

/// For work that leaves nothing to resume: throws once a signal has come, so that what was begun is removed on the way.
void throw_if_stopped();

}  // namespace evenflow::experiments
