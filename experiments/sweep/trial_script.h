// FOLDER/trial.sh: what a training of a sweep runs, or several side by side, in the order of plain commands that a
// person could type.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/sweep_file.h"

namespace evenflow::experiments {

/// One training, from where it is to an epoch.
struct Job {
  std::string trial;  ///< its hash, and its folder below trials/
  uint64_t seed = 0;
  int64_t until_epoch = 0;  ///< 0: to its end
  int64_t attempt = 0;
  int threads = 0;           ///< of its process; 0: one per core; -1: as its configuration says
  std::string device = "-";  ///< the GPU that it sees; "-": whichever are there
};

/// Jobs that one process runs side by side, on one device.
using JobPack = std::vector<Job>;

/// The arguments of trial.sh: six for each job.
std::vector<std::string> words_of(const JobPack& pack);

/// Where a job runs, and the file that says how it ended: an exit code.
std::filesystem::path repeat_folder(const std::filesystem::path& sweep, const std::string& trial, uint64_t seed);
std::filesystem::path exit_file(const std::filesystem::path& sweep, const Job& job);

/// The script. `program`, `folder`, `features`: absolute.
std::string trial_script(const std::filesystem::path& program, const std::filesystem::path& folder,
                         const std::vector<std::filesystem::path>& features, const io::SweepFile& sweep);

}  // namespace evenflow::experiments
