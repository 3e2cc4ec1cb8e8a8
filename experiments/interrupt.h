// Ctrl-C (SIGINT) and SIGTERM.
#pragma once

#include <atomic>
#include <filesystem>

namespace evenflow::experiments {

/// From now on the first signal sets the flag and the second ends the process.
const std::atomic<bool>& stop_on_signals();

/// From now on a signal ends the process with exit code 130, after removing what io::AtomicFile has begun under
/// `target`: for work that cannot be stopped in between and leaves nothing to resume.
void discard_on_signals(const std::filesystem::path& target);

}  // namespace evenflow::experiments
