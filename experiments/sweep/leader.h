// Who leads a sweep: trials are asked for, trained, judged and told, until there are enough of them.
//
// One process at a time leads, and holds the folder's lock. All that it knows is in the journal and in the trials'
// folders, so another process goes on where it was stopped.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "experiments/sweep/sweep.h"

namespace evenflow::experiments {

struct LeadOptions {
  int64_t jobs = 0;               ///< processes at once; 0: as many as cores or GPUs serve, on SLURM 100
  int64_t pack = 0;               ///< trainings side by side in each; 0: on a GPU of this machine many, else one
  bool retry_failed = false;      ///< trials that failed are tried again
  bool only_stop = false;         ///< starts nothing: what still runs is stopped
  std::filesystem::path program;  ///< evenflow's own, absolute
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const std::string& line)> log;
  std::function<void(const Sweep& sweep)> progress;
};

enum class SweepEnd { finished, exhausted, stopped };

/// Leads the sweep until it has its trials, the space has no more (exhausted), or a signal or ask_to_stop() stops it;
/// then what runs is told to save, and waited for. The caller holds the folder's lock. io::UsageError: no SLURM, no
/// Optuna. io::DataError: the disk is full, SLURM refuses, or the first trials all fail.
SweepEnd lead_sweep(Sweep& sweep, const LeadOptions& options);

/// Asks whoever leads the sweep, and its trainings, to stop.
void ask_to_stop(const std::filesystem::path& folder);

}  // namespace evenflow::experiments
