#include "experiments/fleet.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "experiments/console.h"
#include "io/error.h"
#include "io/run_folder.h"
#include "io/shard.h"
#include "io/text.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

/// Files and folders directly in a folder, in the order of their names. io::DataError: it cannot be read.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    entries.push_back(entry->path());
  }
  if (error) {
    throw io::DataError(fmt::format("cannot read the folder '{}': {}", folder.string(), error.message()));
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

}  // namespace

void require_file_names(const std::map<std::string, int64_t>& machines, const std::string& origin) {
  std::map<std::string, std::string> by_small_letters;
  for (const auto& [machine, clips] : machines) {
    if (machine.empty()) {
      throw io::UsageError(
          fmt::format("{} of '{}' {} not say the machine, and --each machine goes by it; name it in a manifest",
                      count_text(clips, "clip"), origin, clips == 1 ? "does" : "do"));
    }
    if (machine.find_first_of("/\\") != std::string::npos || machine.starts_with('.')) {
      throw io::UsageError(fmt::format(
          "machine '{}' of '{}' cannot give its name to a file, as it {}; rename it, or leave --each machine out",
          io::escaped(machine), origin,
          machine.starts_with('.')            ? "begins with a dot"
          : machine.find('/') != machine.npos ? "holds a slash"
                                              : "holds a backslash"));
    }
    const auto [other, fresh] = by_small_letters.emplace(io::in_small_letters(machine), machine);
    if (!fresh) {
      throw io::UsageError(
          fmt::format("machines '{}' and '{}' of '{}' differ in capitals alone, and some file systems take their files "
                      "for one; rename one of them",
                      io::escaped(other->second), io::escaped(machine), origin));
    }
  }
}

std::vector<fs::path> with_shards_of_folders(const std::vector<fs::path>& paths) {
  std::vector<fs::path> out;
  for (const fs::path& path : paths) {
    std::vector<fs::path> shards;
    std::error_code error;
    if (fs::is_directory(path, error)) {
      shards = entries_of(path);
      std::erase_if(shards, [](const fs::path& file) { return !fs::is_regular_file(file) || !io::is_shard(file); });
    }
    if (shards.empty()) {
      out.push_back(path);
    }
    out.insert(out.end(), shards.begin(), shards.end());
  }
  return out;
}

std::map<std::string, fs::path> fleet_models(const fs::path& runs) {
  std::error_code error;
  if (!fs::is_directory(runs, error)) {
    throw io::DataError(fmt::format(
        "'{}' is not a folder of runs; with --each machine give the folder that `train --each machine` wrote into",
        runs.string()));
  }
  std::map<std::string, fs::path> models;
  for (const fs::path& folder : entries_of(runs)) {
    const fs::path model = io::RunFolder::named(folder).model();
    if (fs::exists(model, error)) {
      models.emplace(folder.filename().string(), model);
    }
  }
  if (models.empty()) {
    throw io::DataError(
        fmt::format("no run in '{}' has a model; train them with `evenflow train --each machine`", runs.string()));
  }
  return models;
}

}  // namespace evenflow::experiments
