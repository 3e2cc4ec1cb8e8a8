#include "experiments/monitor/folder_feed.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "io/audio_names.h"
#include "io/error.h"

namespace evenflow::experiments::monitor {
namespace {

namespace fs = std::filesystem;

std::optional<RecordingMark> mark_of(const fs::path& file) {
  struct stat facts = {};
  if (::stat(file.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return std::nullopt;
  }
  return RecordingMark{facts.st_ino, static_cast<uint64_t>(facts.st_size),
                       facts.st_mtim.tv_sec * int64_t{1'000'000'000} + facts.st_mtim.tv_nsec};
}

/// The name of a subfolder, none: there is none, or it is hidden.
std::optional<std::string> first_subfolder(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code unknown;
    std::string name = entry->path().filename().string();
    if (!name.starts_with('.') && entry->is_directory(unknown)) {
      return name;
    }
  }
  return std::nullopt;
}

}  // namespace

RecordingMarks recordings_in(const fs::path& folder) {
  RecordingMarks marks;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (!io::is_audio(entry->path())) {
      continue;
    }
    if (const std::optional<RecordingMark> mark = mark_of(entry->path())) {
      marks.emplace(entry->path().filename().string(), *mark);
    }
  }
  return marks;
}

FolderFeed::FolderFeed(fs::path folder, std::optional<RecordingMarks> heard) : folder_(std::move(folder)) {
  if (!watch()) {
    throw io::DataError(fmt::format("cannot watch the folder '{}': {}", folder_.string(), std::strerror(errno)));
  }
  if (heard) {
    heard_ = std::move(*heard);
    scan();
    return;
  }
  heard_ = recordings_in(folder_);
  for (const auto& [name, mark] : heard_) {
    not_counted_.insert(name);
  }
}

FolderFeed::~FolderFeed() {
  close();
}

void FolderFeed::close() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
  descriptor_ = -1;
}

bool FolderFeed::watch() {
  descriptor_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (descriptor_ < 0) {
    return false;
  }
  constexpr uint32_t events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_OPEN | IN_DELETE | IN_MOVED_FROM |
                              IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
  if (::inotify_add_watch(descriptor_, folder_.c_str(), events) < 0) {
    const int why = errno;
    close();
    errno = why;
    return false;
  }
  if (const std::optional<std::string> name = first_subfolder(folder_)) {
    see_subfolder(*name);
  }
  return true;
}

void FolderFeed::see_subfolder(const std::string& name) {
  if (!std::exchange(saw_subfolder_, true)) {
    subfolder_ = name;
  }
}

/// All that is new, whatever the events said: at the start, and where there were too many of them.
void FolderFeed::scan() {
  const RecordingMarks there = recordings_in(folder_);
  std::erase_if(heard_, [&](const auto& entry) { return !there.contains(entry.first); });
  std::vector<std::tuple<int64_t, std::string>> fresh;
  for (const auto& [name, mark] : there) {
    const auto known = heard_.find(name);
    if (known == heard_.end() || known->second != mark) {
      fresh.emplace_back(mark.changed_ns, name);
    }
  }
  std::sort(fresh.begin(), fresh.end());
  finished_.clear();
  for (auto& [changed_ns, name] : fresh) {
    finished_.push_back(std::move(name));
  }
}

void FolderFeed::take_event(uint32_t mask, const std::string& name) {
  if ((mask & IN_ISDIR) != 0) {
    if ((mask & (IN_CREATE | IN_MOVED_TO)) != 0 && !name.starts_with('.')) {
      see_subfolder(name);
    }
    return;
  }
  if (!io::is_audio(name)) {
    return;
  }
  // Who makes a file to write it opens it in the same breath; nobody opens a link that is made.
  if ((mask & IN_CREATE) != 0) {
    created_.insert(name);
  } else {
    created_.erase(name);
    linked_.erase(name);
  }
  if ((mask & (IN_DELETE | IN_MOVED_FROM)) != 0) {
    heard_.erase(name);
    not_counted_.erase(name);
  }
  if ((mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0) {
    if (not_counted_.erase(name) > 0) {
      heard_.erase(name);
    }
    finished_.push_back(name);
  }
}

bool FolderFeed::look() {
  linked_ = std::exchange(created_, {});
  alignas(inotify_event) std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t count = ::read(descriptor_, buffer.data(), buffer.size());
    if (count <= 0) {
      finished_.insert(finished_.end(), linked_.begin(), linked_.end());
      linked_.clear();
      return true;
    }
    for (size_t at = 0; at + sizeof(inotify_event) <= static_cast<size_t>(count);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* name = buffer.data() + at + sizeof event;
      at += sizeof event + event.len;
      if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) != 0) {
        close();
        return false;
      }
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        scan();
      } else if (event.len > 0) {
        take_event(event.mask, name);
      }
    }
  }
}

bool FolderFeed::look_again() {
  if (!watch()) {
    return false;
  }
  scan();
  return true;
}

std::optional<fs::path> FolderFeed::next() {
  while (!finished_.empty()) {
    std::string name = std::move(finished_.front());
    finished_.pop_front();
    fs::path recording = folder_ / name;
    const std::optional<RecordingMark> mark = mark_of(recording);
    if (!mark) {
      continue;
    }
    const auto known = heard_.find(name);
    if (known == heard_.end() || known->second != *mark) {
      in_hand_.emplace(std::move(name), *mark);
      return recording;
    }
  }
  return std::nullopt;
}

void FolderFeed::hear() {
  if (in_hand_) {
    heard_.insert_or_assign(in_hand_->first, in_hand_->second);
    in_hand_.reset();
  }
}

}  // namespace evenflow::experiments::monitor
