// Recordings that appear in a folder, each once it is finished.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace evenflow::experiments::monitor {

/// What tells a recording from another one of its name, and from itself before it was written anew. No order of times
/// is read from it: clocks are set, and files keep their times when they are moved.
struct RecordingMark {
  uint64_t inode = 0, bytes = 0;
  int64_t changed_ns = 0;  ///< since 1970
  bool operator==(const RecordingMark&) const = default;
};

/// By the file's name.
using RecordingMarks = std::map<std::string, RecordingMark>;

/// Those in a folder, of which the name says that they are recordings; links count as what they lead to.
RecordingMarks recordings_in(const std::filesystem::path& folder);

/// A recording is finished when its writer closes it, or when it is moved or linked into the folder (inotify). Each is
/// handed out once, and again when it was written anew. Subfolders, hidden files and files that are no recordings by
/// their name are left alone.
class FolderFeed {
 public:
  /// `heard`: those of them that still are as they were are not handed out, all others that are there come first, the
  /// one that was changed first in front; none: those that are there don't count until they are written anew.
  /// io::DataError: no such folder, or it cannot be watched.
  FolderFeed(std::filesystem::path folder, std::optional<RecordingMarks> heard);
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
  /// It was heard, as it was when next() gave it: what is written to it meanwhile is another one.
  void hear();
  /// Of the recordings that are still there, those that were heard or don't count.
  const RecordingMarks& heard() const { return heard_; }
  /// The first subfolder that was seen, once.
  std::optional<std::string> subfolder() { return std::exchange(subfolder_, std::nullopt); }

 private:
  bool watch();
  void close();
  void scan();
  void take_event(uint32_t mask, const std::string& name);
  void see_subfolder(const std::string& name);

  std::filesystem::path folder_;
  RecordingMarks heard_;
  std::set<std::string> not_counted_;  // of heard_: there when a feed without memory began
  std::optional<std::pair<std::string, RecordingMark>> in_hand_;
  int descriptor_ = -1;
  std::deque<std::string> finished_;
  std::set<std::string> created_, linked_;  // since the last look, and before: nobody has opened them yet
  bool saw_subfolder_ = false;
  std::optional<std::string> subfolder_;
};

}  // namespace evenflow::experiments::monitor
