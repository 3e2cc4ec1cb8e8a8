#include "io/run_folder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "io/atomic_file.h"
#include "io/config.h"
#include "io/error.h"
#include "io/file_identity.h"
#include "io/hdf5_file.h"
#include "io/standard_output.h"
#include "io/text.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

/// A run that is whole and about to take its place in a folder that is already there.
constexpr const char* next_name = ".evenflow-next";
/// What a new run has when it appears, and what it has not yet.
constexpr std::array beginning = {"checkpoint.h5", "data.txt", "log.txt", "config.toml"};
constexpr std::array later = {"model.h5", "last.h5", "metrics.csv", "tensorboard"};

[[noreturn]] void fail(const fs::path& folder, const std::string& why) {
  throw DataError("run folder '" + folder.string() + "' " + why);
}

bool any_of(const fs::path& folder, std::initializer_list<const char*> names) {
  std::error_code error;
  return std::any_of(names.begin(), names.end(), [&](const char* name) { return fs::exists(folder / name, error); });
}

/// "2026-01-31T12:00:00Z evenflow ...", perhaps after notes on the data.
bool is_log(const fs::path& file) {
  constexpr std::string_view stamp = "dddd-dd-ddTdd:dd:ddZ ";
  const std::string text = read_beginning(file);
  if (text.size() <= stamp.size()) {
    return false;
  }
  for (size_t i = 0; i < stamp.size(); ++i) {
    if (stamp[i] == 'd' ? std::isdigit(static_cast<unsigned char>(text[i])) == 0 : text[i] != stamp[i]) {
      return false;
    }
  }
  return text.find("Z evenflow ") != std::string::npos;
}

/// True for a configuration as evenflow writes it: every section, and a comment above every key.
bool is_written_config(const fs::path& file) {
  try {
    const std::string text = read_text(file);
    const std::string whole = to_toml(parse_config(text, file.string()));
    if (text == whole) {
      return true;
    }
    // An older version's has fewer keys.
    std::set<std::string> known;
    std::istringstream written(whole);
    for (std::string line; std::getline(written, line);) {
      known.insert(line);
    }
    int64_t comments = 0, keys = 0, sections = 0;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (line.empty()) {
        continue;
      }
      if (!known.contains(line) && line[0] != '#') {
        return false;
      }
      ++(line[0] == '#' ? comments : line[0] == '[' ? sections : keys);
    }
    return sections >= 5 && comments == keys;
  } catch (const std::runtime_error&) {
    return false;
  }
}

/// The names alone may be anybody's: what lies there must be of evenflow's making.
bool is_run(const fs::path& folder) {
  std::error_code error;
  if (fs::is_directory(folder / next_name, error)) {
    return true;
  }
  if (!any_of(folder, {"config.toml"})) {
    return false;
  }
  for (const char* name : {"model.h5", "last.h5", "checkpoint.h5"}) {
    if (hdf5_kind(folder / name).starts_with("evenflow ")) {
      return true;
    }
  }
  // A configuration may be copied: it tells of a killed start only where nothing else is at stake.
  const bool bare = !any_of(folder, {"model.h5", "last.h5", "checkpoint.h5", "metrics.csv", "tensorboard"}) &&
                    read_beginning(folder / "log.txt").empty();
  return read_beginning(folder / "metrics.csv").starts_with("epoch,step,learning_rate,train_loss,") ||
         is_log(folder / "log.txt") || (bare && is_written_config(folder / "config.toml"));
}

/// Throws if `folder` is no place for a new run.
void require_room(const fs::path& folder, RunFolder::Existing existing) {
  std::error_code error;
  const bool empty = fs::is_empty(folder, error);
  if (error) {
    fail(folder, "cannot be read (" + error.message() + "); choose another folder");
  }
  const bool run = is_run(folder);
  if (!run && !empty && !holds_nothing(folder)) {
    fail(folder, "is not empty and holds no run of evenflow's; choose another name");
  }
  // A start of evenflow 0.1 that was killed before there was anything to keep is no obstacle.
  const bool begun = any_of(folder, {next_name, "model.h5", "last.h5", "checkpoint.h5", "metrics.csv"});
  if (run && begun && existing == RunFolder::Existing::refuse) {
    fail(folder, "already holds a run; resume it or choose another name");
  }
}

FileLock locked(const fs::path& folder) {
  const fs::path file = folder / lock_name;
  std::optional<FileLock> lock;
  try {
    lock = FileLock::take(file);
  } catch (const DataError& refused) {
    fail(folder, std::string("cannot be written (") + refused.what() + "); choose another folder or free its disk");
  }
  if (!lock) {
    fail(folder, "is being trained in (by " + FileLock::holder(file) +
                     "); wait until that ends or stop it, or choose another name");
  }
  return std::move(*lock);
}

void clear(const fs::path& folder) {
  std::vector<std::string> names = {".writable"};
  names.insert(names.end(), beginning.begin(), beginning.end());
  names.insert(names.end(), later.begin(), later.end());
  clear_leftovers(folder, names);
}

/// Moves a run that waits in `next` into its folder. Where a kill interrupts, the next call goes on: what the old run
/// had beyond the new one's beginning goes first, and none of it is written again before all is in place.
void take_place(const fs::path& folder) {
  const fs::path next = folder / next_name;
  std::error_code error;
  if (!fs::is_directory(next, error)) {
    return;
  }
  for (const char* name : later) {
    fs::remove_all(folder / name, error);
    if (error) {
      fail(folder, "cannot be replaced: '" + (folder / name).string() + "': " + error.message());
    }
  }
  for (const char* name : beginning) {
    if (!fs::exists(next / name, error)) {
      continue;
    }
    fs::rename(next / name, folder / name, error);
    if (error) {
      fail(folder, "cannot be replaced: '" + (folder / name).string() + "': " + error.message());
    }
  }
  fs::remove_all(next, error);
}

}  // namespace

RunFolder RunFolder::create(const fs::path& folder, Existing existing) {
  std::error_code error;
  if (is_standard_output(folder)) {
    throw UsageError("'" + folder.string() + "' is standard output, and a run takes a folder; name one");
  }
  RunFolder run(folder);
  run.place_ = behind_links(folder);
  const fs::file_status status = fs::status(folder, error);
  if (fs::exists(status) && !fs::is_directory(status)) {
    fail(folder, "cannot be made: a file of that name is in the way; choose another name");
  }
  if (fs::is_directory(status)) {
    require_room(folder, existing);
    run.lock_.emplace(locked(folder));
    clear(folder);
    take_place(folder);
    require_room(folder, existing);  // another start may have been quicker
  }
  // A folder that is there may be a mount or another's gift: it stays, and the new run is made in it.
  const fs::path named = run.place_.has_filename() ? run.place_ : run.place_.parent_path();
  const fs::path parent = named.has_parent_path() ? named.parent_path() : fs::path(".");
  const fs::path beside = fs::is_directory(status) ? folder : parent;
  fs::create_directories(beside, error);
  if (error) {
    fail(folder, "cannot be made: " + error.message() + "; choose a folder you can write to");
  }
  if (!fs::is_directory(status)) {
    clear_leftovers(beside, {});
  }
  try {
    run.aside_.emplace(beside);
  } catch (const DataError& refused) {
    fail(folder, std::string("cannot be written (") + refused.what() + "); choose another folder or free its disk");
  }
  run.folder_ = run.aside_->path();
  return run;
}

void RunFolder::fill(const std::function<void()>& work) const {
  try {
    work();
  } catch (const DataError& error) {
    std::string text = error.what();
    const std::string aside = folder_.string();
    for (size_t at = text.find(aside); at != std::string::npos; at = text.find(aside, at + place_.string().size())) {
      text.replace(at, aside.size(), place_.string());
    }
    throw DataError(text);
  }
}

void RunFolder::appear() {
  if (!aside_) {
    return;
  }
  const fs::path to = lock_ ? place_ / next_name : place_;
  std::error_code error;
  // Renaming would replace an empty folder that another start has just made, and that is all right.
  fs::rename(folder_, to, error);
  if (error == std::errc::directory_not_empty || error == std::errc::file_exists) {
    fail(place_, "holds a run that was begun meanwhile; resume it or choose another name");
  }
  if (error) {
    fail(place_, "cannot be made: " + error.message() + "; choose a folder you can write to");
  }
  FileLock of_aside = aside_->release();
  of_aside.moved_to(to / lock_name);
  aside_.reset();
  folder_ = place_;
  if (lock_) {
    take_place(place_);
  } else {
    lock_.emplace(std::move(of_aside));
  }
}

RunFolder RunFolder::resume(const fs::path& folder) {
  open(folder);
  RunFolder run(folder);
  run.lock_.emplace(locked(folder));
  clear(folder);
  take_place(folder);
  return run;
}

RunFolder RunFolder::open(const fs::path& folder) {
  std::error_code error;
  RunFolder run(folder);
  if (!fs::is_directory(folder, error)) {
    fail(folder, "does not exist; train first or check the name");
  }
  // A start that was killed at the last moment: unless its maker lives, and then does it himself.
  if (fs::is_directory(folder / next_name, error)) {
    const std::optional<FileLock> lock = FileLock::take(folder / lock_name);
    if (lock) {
      take_place(folder);
    }
  }
  if (!fs::exists(run.config(), error)) {
    fail(folder, "holds no run (no config.toml); check the name");
  }
  return run;
}

std::vector<fs::path> RunFolder::shards() const {
  std::vector<fs::path> shards;
  std::error_code error;
  if (!fs::exists(data(), error)) {
    return shards;
  }
  std::istringstream lines(read_text(data()));
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) {
      shards.emplace_back(line);
    }
  }
  return shards;
}

void RunFolder::write_shards(const std::vector<fs::path>& shards) const {
  std::string text;
  for (const fs::path& shard : shards) {
    if (fs::absolute(shard).string().find('\n') != std::string::npos) {
      throw UsageError("the path of the shard " + in_quotes(shard.string()) +
                       " holds a line end, and a run lists its shards one a line; rename it");
    }
  }
  for (const fs::path& shard : shards) {
    text += fs::absolute(shard).lexically_normal().string() + "\n";
  }
  write_text(data(), text);
}

}  // namespace evenflow::io
