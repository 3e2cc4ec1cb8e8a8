// A fleet: one model for each machine of a data set. Its files bear the machines' names: SHARDS/<machine>.h5 and
// RUNS/<machine>/model.h5.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace evenflow::experiments {

/// io::UsageError, naming `origin`, unless each machine can give its name to a file: a clip that does not say its
/// machine; a slash, a backslash or a dot at the beginning; two names that differ in capitals alone, which some file
/// systems take for one. `machines`: how many clips of each (count_machines).
void require_file_names(const std::map<std::string, int64_t>& machines, const std::string& origin);

/// The paths, each folder that holds feature shards replaced by these, in the order of their names.
std::vector<std::filesystem::path> with_shards_of_folders(const std::vector<std::filesystem::path>& paths);

/// The models in a folder of runs, by machine. io::DataError: no such folder, or no run with a model in it.
std::map<std::string, std::filesystem::path> fleet_models(const std::filesystem::path& runs);

}  // namespace evenflow::experiments
