// Listens to machines until it is stopped or their sound ends.
#pragma once

#include <atomic>
#include <vector>

#include "experiments/monitor/settings.h"
#include "io/sources_file.h"

namespace evenflow::experiments::monitor {

/// Both are set by signals.
struct Requests {
  const std::atomic<bool>& stop;
  std::atomic<bool>& reload;  ///< the models' files are read anew; cleared once that has begun
};

/// Machines are dealt to settings.threads threads, each with models of its own; this thread saves the state. Returns
/// once all sources have ended or a stop was requested; the state is saved then as well. Throws what models, sources,
/// the state and the metrics' port throw before anything is heard; later io::DataError, once every source has ended, if
/// one ended because it could not be understood, and at once if standard output is gone.
void run_monitor(const std::vector<io::MonitorSource>& sources, const MonitorSettings& settings,
                 const Requests& requests);

}  // namespace evenflow::experiments::monitor
