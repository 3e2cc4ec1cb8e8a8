// Where a sweep's trainings run.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "experiments/sweep/trial_script.h"
#include "io/sweep_file.h"

namespace evenflow::experiments {

class Runner {
 public:
  virtual ~Runner() = default;
  /// Hears where each pack will be, before any of them begins: a text by which this runner, or one of another process,
  /// finds it again. Whoever notes it down never starts a job twice, whatever ends this process and when.
  using Note = std::function<void(const std::vector<std::string>& where)>;
  /// Hands packs of jobs over, each to run `sh FOLDER/trial.sh` with its words. io::DataError: they cannot be handed
  /// over.
  virtual void start(std::span<const JobPack> packs, const Note& note) = 0;
  /// Which of these still run, or wait to. What cannot be asked now counts as running.
  virtual std::vector<bool> alive(std::span<const std::string> where) = 0;
  /// Asks them to save and end; returns at once. Those that have not begun never do.
  virtual void stop(std::span<const std::string> where) = 0;
  /// Waits until something may have changed, or a signal comes.
  virtual void wait() = 0;
  /// How often a job must be found gone before it counts as lost: its last files may still be on their way.
  virtual int patience() const { return 1; }
};

/// As child processes. They are told to save when this process ends, however it ends.
std::unique_ptr<Runner> make_local_runner(const std::filesystem::path& folder);

/// As tasks of SLURM's job arrays; whatever ends this process, they go on. io::UsageError as require_slurm's.
std::unique_ptr<Runner> make_slurm_runner(const std::filesystem::path& folder, const io::SlurmSettings& settings);
/// io::UsageError: no SLURM on this machine.
void require_slurm();

}  // namespace evenflow::experiments
