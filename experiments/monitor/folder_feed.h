// Recordings that appear in a folder, each once it is finished.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <tuple>

namespace evenflow::experiments::monitor {

/// The last recording that was heard: those that were changed after it, or at the same time and stand behind it by
/// name, are new.
struct FolderPlace {
  int64_t changed_ns = 0;  ///< since 1970
  std::string name;
  bool operator==(const FolderPlace&) const = default;
  bool operator<(const FolderPlace& other) const {
    return std::tie(changed_ns, name) < std::tie(other.changed_ns, other.name);
  }
};

/// A recording is finished when its writer closes it or moves it into the folder (inotify). Subfolders, hidden files
/// and files that are no recordings by their name are left alone.
class FolderFeed {
 public:
  /// `after`: recordings that are there and newer than it come first, in order; none: those that are there don't count.
  /// io::DataError: no such folder, or it cannot be watched.
  FolderFeed(std::filesystem::path folder, const std::optional<FolderPlace>& after);
  ~FolderFeed();
  FolderFeed(const FolderFeed&) = delete;
  FolderFeed& operator=(const FolderFeed&) = delete;

  /// To be polled; -1: the folder has gone.
  int descriptor() const { return descriptor_; }
  /// Looks what has come; false if the folder has gone since the last time.
  bool look();
  /// Looks for a folder that has gone; true if it is back, with all that is new in it.
  bool look_again();
  /// The next finished recording.
  std::optional<std::filesystem::path> next();
  /// It was heard.
  void heard(const std::filesystem::path& recording);
  const FolderPlace& place() const { return place_; }

 private:
  bool watch();
  void close();
  void scan();

  std::filesystem::path folder_;
  FolderPlace place_;
  int descriptor_ = -1;
  std::deque<std::filesystem::path> finished_;
  std::deque<FolderPlace> lately_;  // heard: a scan and an event may both name a recording
};

}  // namespace evenflow::experiments::monitor
