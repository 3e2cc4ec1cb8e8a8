// Temporary files and folders: beside what they are to become, held by a lock as long as their maker lives.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/file_lock.h"

namespace evenflow::io {

/// A new file of an unpredictable name in a folder, open and locked. What a killed program leaves of it is cleared by
/// the next that writes in the folder. DataError names `target`, the file it is to become.
class TemporaryFile {
 public:
  /// `mode` is that of the new file, less the process's mask.
  TemporaryFile(const std::filesystem::path& folder, const std::filesystem::path& target, unsigned mode);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  /// It has its final name; nothing is left to remove.
  void release() { path_.clear(); }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// The same for a folder, with what is in it. It holds its lock in a file `.evenflow-lock` in it.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& folder);
  ~TemporaryFolder();
  TemporaryFolder(TemporaryFolder&& other) noexcept;
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  const std::filesystem::path& path() const { return path_; }
  /// False: the file system has no locks.
  bool is_locked() const { return lock_ && lock_->works(); }
  /// It was renamed; nothing is left to remove. Hands over the lock, which went along.
  FileLock release();

 private:
  std::filesystem::path path_;
  std::optional<FileLock> lock_;
};

/// The names of the lock in a folder that has one writer, and of the mark in one that a command fills (OutputFolder).
inline constexpr const char *lock_name = ".evenflow-lock", *mark_name = ".evenflow";

/// True for a lock or a mark of evenflow's: a file of that name may be a person's, which its content tells.
bool is_own_lock_or_mark(const std::filesystem::path& file);

/// Removes what dead programs left in a folder: temporaries that nobody holds, and those that evenflow 0.1 named after
/// its process number (`NAME.tmp<pid>-<n>`) of the files in `names`.
void clear_leftovers(const std::filesystem::path& folder, const std::vector<std::string>& names);

/// True if all files in a folder and below are evenflow's temporaries, locks and marks: no more than a program that was
/// killed at its start leaves.
bool holds_nothing(const std::filesystem::path& folder);

}  // namespace evenflow::io
