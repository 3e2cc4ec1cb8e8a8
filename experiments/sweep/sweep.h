// What a folder is a sweep of, and how far it is (docs/formats.md, "Sweep").
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "experiments/sweep/state.h"
#include "io/sweep_file.h"

namespace evenflow::experiments {

/// What a folder is a sweep of, and how far it is.
struct Sweep {
  std::filesystem::path folder;  ///< absolute
  io::SweepFile file;
  std::vector<std::filesystem::path> features;  ///< absolute
  std::string where = "local";                  ///< or "slurm"
  std::vector<int64_t> rungs;                   ///< epochs of each; the last is 0, the whole training
  SweepState state{1, 1, 1};
  int64_t grid_points = 0;  ///< of a grid

  int64_t trials() const;  ///< that are asked for
  bool maximised(size_t objective) const;
};

/// Makes the folder of a new sweep, or opens that of the same one again. `file`: SPACE.toml. `claim`: called once the
/// request is found good, before anything is written. io::UsageError: a file that says what cannot be, an objective
/// that no trial can report, a folder that holds another sweep.
Sweep begin_sweep(const std::filesystem::path& file, const std::vector<std::filesystem::path>& features,
                  const std::filesystem::path& folder, const std::function<void()>& claim);
/// An existing one, from its folder. io::DataError: it holds none.
Sweep open_sweep(const std::filesystem::path& folder);
/// Notes down where it runs and how many trials it has.
void save_settings(const Sweep& sweep);

/// What stands in a sweep's folder.
std::filesystem::path journal_of(const std::filesystem::path& folder);
std::filesystem::path trial_config(const std::filesystem::path& folder, const std::string& hash);

}  // namespace evenflow::experiments
