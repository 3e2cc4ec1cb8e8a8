#include "io/temporary.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>

#include "io/error.h"

namespace evenflow::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = ".evenflow-", suffix = ".tmp";
constexpr size_t random_digits = 32;

bool is_hexadecimal(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_temporary(std::string_view name) {
  return name.size() == prefix.size() + random_digits + suffix.size() && name.starts_with(prefix) &&
         name.ends_with(suffix) && is_hexadecimal(name.substr(prefix.size(), random_digits));
}

/// What a name of evenflow 0.1's says: `NAME.tmp<pid>-<n>`.
struct NumberedTemporary {
  std::string target;
  pid_t pid = 0;
};

std::optional<NumberedTemporary> numbered(const std::string& name) {
  const size_t mark = name.rfind(suffix), dash = name.rfind('-');
  if (mark == std::string::npos || mark == 0 || dash == std::string::npos || dash < mark) {
    return std::nullopt;
  }
  NumberedTemporary found{name.substr(0, mark), 0};
  unsigned count = 0;
  const char *const pid = name.data() + mark + suffix.size(), *const end = name.data() + name.size();
  const auto [pid_end, pid_error] = std::from_chars(pid, name.data() + dash, found.pid);
  const auto [count_end, count_error] = std::from_chars(name.data() + dash + 1, end, count);
  const bool right = pid_error == std::errc() && pid_end == name.data() + dash && count_error == std::errc() &&
                     count_end == end && found.pid > 0;
  return right ? std::optional(found) : std::nullopt;
}

std::string fresh_name() {
  std::array<unsigned char, random_digits / 2> bytes = {};
  for (size_t filled = 0; filled < bytes.size();) {
    const ssize_t count = ::getrandom(bytes.data() + filled, bytes.size() - filled, 0);
    if (count < 0 && errno != EINTR) {
      throw DataError(std::string("no random numbers: ") + std::strerror(errno));
    }
    if (count > 0) {
      filled += static_cast<size_t>(count);
    }
  }
  std::string name(prefix);
  for (const unsigned char byte : bytes) {
    name += "0123456789abcdef"[byte >> 4];
    name += "0123456789abcdef"[byte & 15];
  }
  return name.append(suffix);
}

class Opened {
 public:
  explicit Opened(const fs::path& file)
      : descriptor_(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) {}
  ~Opened() {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  bool is_file() const {
    struct stat status = {};
    return descriptor_ >= 0 && ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

/// True if no process of this machine, in whatever container, has the file open: only then the system grants a lease.
bool open_nowhere_else(int descriptor) {
  return ::fcntl(descriptor, F_SETLEASE, F_WRLCK) == 0 && ::fcntl(descriptor, F_SETLEASE, F_UNLCK) == 0;
}

void clear_file(const fs::path& file) {
  const Opened opened(file);
  if (opened.is_file() && try_lock(opened.get()) == LockState::held) {
    ::unlink(file.c_str());
  }
}

void clear_folder(const fs::path& folder) {
  const std::optional<FileLock> lock = FileLock::take(folder / lock_name);
  std::error_code ignored;
  if (lock && lock->works()) {
    fs::remove_all(folder, ignored);
  }
}

/// The number tells nothing: every container counts its processes from 1.
void clear_numbered(const fs::path& file) {
  const Opened opened(file);
  if (opened.is_file() && open_nowhere_else(opened.get())) {
    ::unlink(file.c_str());
  }
}

}  // namespace

TemporaryFile::TemporaryFile(const fs::path& folder, const fs::path& target, unsigned mode) {
  // One that clears may see the new file before it is locked and take it away: then another name.
  for (;;) {
    path_ = folder / fresh_name();
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (descriptor_ < 0) {
      const bool full = errno == ENOSPC || errno == EDQUOT;
      throw DataError(
          "cannot write '" + target.string() + "': " + std::strerror(errno) +
          (full ? "; make room on the disk or choose another folder" : "; check the path and its permissions"));
    }
    struct stat status = {};
    if (try_lock(descriptor_) != LockState::refused && ::fstat(descriptor_, &status) == 0 && status.st_nlink > 0) {
      return;
    }
    ::close(descriptor_);
  }
}

TemporaryFile::~TemporaryFile() {
  if (!path_.empty()) {
    ::unlink(path_.c_str());
  }
  ::close(descriptor_);
}

TemporaryFolder::TemporaryFolder(const fs::path& folder) {
  while (!lock_) {
    path_ = folder / fresh_name();
    if (::mkdir(path_.c_str(), 0777) != 0) {
      throw DataError("cannot make a folder in '" + folder.string() + "': " + std::strerror(errno) +
                      "; check the path and its permissions");
    }
    if (std::optional<FileLock> lock = FileLock::take(path_ / lock_name)) {
      lock_.emplace(std::move(*lock));
    }
  }
}

TemporaryFolder::TemporaryFolder(TemporaryFolder&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::move(other.lock_)) {
  other.lock_.reset();
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (lock_) {
    fs::remove_all(path_, ignored);
  }
}

FileLock TemporaryFolder::release() {
  FileLock lock = std::move(*lock_);
  lock_.reset();
  return lock;
}

bool is_own_lock_or_mark(const fs::path& file) {
  if (file.filename() == lock_name) {
    return FileLock::is_own(file);
  }
  if (file.filename() != mark_name) {
    return false;
  }
  const Opened opened(file);
  std::array<char, 128> text = {};
  const ssize_t count = opened.is_file() ? ::read(opened.get(), text.data(), text.size()) : -1;
  const std::string_view words(text.data(), static_cast<size_t>(std::max<ssize_t>(count, 0)));
  return words.starts_with("evenflow ") && words.find('\n') == words.size() - 1;
}

void clear_leftovers(const fs::path& folder, const std::vector<std::string>& names) {
  std::error_code error;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    found.push_back(entry.path());
  }
  for (const fs::path& file : found) {
    const std::string name = file.filename().string();
    if (is_temporary(name)) {
      fs::is_directory(fs::symlink_status(file, error)) ? clear_folder(file) : clear_file(file);
    } else if (const auto old = numbered(name);
               old && std::find(names.begin(), names.end(), old->target) != names.end()) {
      clear_numbered(file);
    }
  }
}

bool holds_nothing(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (is_temporary(name)) {
      continue;
    }
    const fs::file_status status = entry.symlink_status();
    const bool ours = numbered(name) || is_own_lock_or_mark(entry.path());
    if (fs::is_directory(status) ? !holds_nothing(entry.path()) : !ours || !fs::is_regular_file(status)) {
      return false;
    }
  }
  return !error;
}

}  // namespace evenflow::io
