// A folder that a command fills with files of its own: a study, a report, generated recordings.
#pragma once

#include <exception>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/file_lock.h"

namespace evenflow::io {

/// Makes a folder, and those above it, where they are missing; one behind a link too. DataError says why not.
void make_folder(const std::filesystem::path& folder);

/// What a folder was claimed for ("study"); empty if it was not.
std::string kind_of_folder(const std::filesystem::path& folder);

/// Claims a folder for one kind of content, until destruction, and makes it where it is missing. A hidden file
/// `.evenflow` in it names the kind: with it, files that a person keeps there are no obstacle. `.evenflow-lock` keeps a
/// second writer out. What dead programs left in it is cleared.
class OutputFolder {
 public:
  /// `kind`: "study". `older`: whether a folder without the mark is one that evenflow 0.1 filled.
  /// UsageError, nothing changed: the folder holds what is not of the kind, and `force` is not given. DataError: it
  /// cannot be made, or another evenflow is writing in it.
  OutputFolder(std::filesystem::path folder, const std::string& kind,
               const std::function<bool(const std::filesystem::path&)>& older, bool force);
  /// False: the file system has no locks.
  bool is_locked() const { return lock_.works(); }
  /// Takes the mark with it if the folder has remained empty, or if an exception leaves before anything was added.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

 private:
  std::filesystem::path folder_;
  FileLock lock_;
  std::vector<std::string> before_;  ///< what was in it
  bool fresh_ = false;               ///< the mark is this claim's
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace evenflow::io
