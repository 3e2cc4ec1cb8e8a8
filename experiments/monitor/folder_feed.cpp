#include "experiments/monitor/folder_feed.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "io/audio_names.h"
#include "io/error.h"

namespace evenflow::experiments::monitor {
namespace {

namespace fs = std::filesystem;

std::optional<FolderPlace> place_of(const fs::path& file) {
  struct stat facts = {};
  if (::stat(file.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return std::nullopt;
  }
  return FolderPlace{facts.st_mtim.tv_sec * int64_t{1'000'000'000} + facts.st_mtim.tv_nsec, file.filename().string()};
}

std::vector<FolderPlace> places_in(const fs::path& folder) {
  std::vector<FolderPlace> places;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (!io::is_audio(entry->path())) {
      continue;
    }
    if (const std::optional<FolderPlace> place = place_of(entry->path())) {
      places.push_back(*place);
    }
  }
  std::sort(places.begin(), places.end());
  return places;
}

}  // namespace

FolderFeed::FolderFeed(fs::path folder, const std::optional<FolderPlace>& after) : folder_(std::move(folder)) {
  if (!watch()) {
    throw io::DataError(fmt::format("cannot watch the folder '{}': {}", folder_.string(), std::strerror(errno)));
  }
  if (after) {
    place_ = *after;
    scan();
    return;
  }
  const std::vector<FolderPlace> there = places_in(folder_);
  if (!there.empty()) {
    place_ = there.back();
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
  constexpr uint32_t events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
  if (::inotify_add_watch(descriptor_, folder_.c_str(), events) < 0) {
    const int why = errno;
    close();
    errno = why;
    return false;
  }
  return true;
}

/// All that is new, whatever the events said: at the start, and where there were too many of them.
void FolderFeed::scan() {
  for (const FolderPlace& place : places_in(folder_)) {
    if (place_ < place) {
      finished_.push_back(folder_ / place.name);
    }
  }
}

bool FolderFeed::look() {
  alignas(inotify_event) std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t count = ::read(descriptor_, buffer.data(), buffer.size());
    if (count <= 0) {
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
      } else if (event.len > 0 && io::is_audio(name)) {
        finished_.push_back(folder_ / name);
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
    fs::path recording = std::move(finished_.front());
    finished_.pop_front();
    const std::optional<FolderPlace> place = place_of(recording);
    if (place && std::find(lately_.begin(), lately_.end(), *place) == lately_.end()) {
      return recording;
    }
  }
  return std::nullopt;
}

void FolderFeed::heard(const fs::path& recording) {
  constexpr size_t remembered = 64;
  const std::optional<FolderPlace> place = place_of(recording);
  if (!place) {
    return;
  }
  place_ = std::max(place_, *place);
  lately_.push_back(*place);
  if (lately_.size() > remembered) {
    lately_.pop_front();
  }
}

}  // namespace evenflow::experiments::monitor
