#include "io/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>
#include <utility>

#include "io/error.h"

namespace evenflow::io {
namespace {

namespace fs = std::filesystem;

bool busy(int error) {
  return error == EAGAIN || error == EACCES || error == EWOULDBLOCK;
}

/// True if `file` still names what is open: it may have been removed between opening and locking.
bool names(const fs::path& file, int descriptor) {
  struct stat opened = {}, named = {};
  return ::fstat(descriptor, &opened) == 0 && ::lstat(file.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

std::string utc_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text = {};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text.data();
}

/// True for nothing, and for what write_holder() writes.
bool tells_holder(int descriptor) {
  struct stat status = {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    return false;
  }
  std::array<char, 512> text = {};
  const ssize_t count = ::pread(descriptor, text.data(), text.size(), 0);
  const std::string_view words(text.data(), static_cast<size_t>(count > 0 ? count : 0));
  return words.empty() || (words.starts_with("process ") && words.find('\n') >= words.size() - 1);
}

/// A lock without these words is a lock all the same.
void write_holder(int descriptor) {
  std::array<char, 256> host = {};
  if (::gethostname(host.data(), host.size() - 1) != 0) {
    host = {"an unknown host"};
  }
  const std::string text =
      "process " + std::to_string(::getpid()) + " on " + host.data() + ", since " + utc_text() + "\n";
  if (::ftruncate(descriptor, 0) != 0) {
    return;
  }
  const ssize_t ignored = ::pwrite(descriptor, text.data(), text.size(), 0);
  static_cast<void>(ignored);
}

}  // namespace

LockState try_lock(int descriptor) {
#ifdef F_OFD_SETLK
  // Of the open file, not of the process; and not flock, which HDF5 may take on the same file.
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(descriptor, F_OFD_SETLK, &whole) == 0) {
    return LockState::held;
  }
  if (busy(errno)) {
    return LockState::refused;
  }
  if (errno != EINVAL) {
    return LockState::unsupported;
  }
#endif
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
    return LockState::held;
  }
  return busy(errno) ? LockState::refused : LockState::unsupported;
}

std::optional<FileLock> FileLock::take(const fs::path& file) {
  for (;;) {
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor < 0 && errno == ENOENT) {
      return std::nullopt;
    }
    if (descriptor < 0) {
      throw DataError("cannot make '" + file.string() + "': " + std::strerror(errno) +
                      "; check the folder and its permissions");
    }
    if (!tells_holder(descriptor)) {
      ::close(descriptor);
      throw DataError("the file '" + file.string() +
                      "' is not a lock of evenflow's; move it away or choose another folder");
    }
    const LockState state = try_lock(descriptor);
    if (state != LockState::refused && names(file, descriptor)) {
      write_holder(descriptor);
      return FileLock(file, descriptor, state == LockState::held);
    }
    ::close(descriptor);
    if (state == LockState::refused) {
      return std::nullopt;
    }
  }
}

bool FileLock::is_held(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0) {
    return false;
  }
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
#ifdef F_OFD_GETLK
  const int command = F_OFD_GETLK;
#else
  const int command = F_GETLK;
#endif
  const bool held = ::fcntl(descriptor, command, &whole) == 0 && whole.l_type != F_UNLCK;
  ::close(descriptor);
  return held;
}

std::string FileLock::holder(const fs::path& file) {
  std::array<char, 512> text = {};
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  const ssize_t count = descriptor < 0 ? 0 : ::read(descriptor, text.data(), text.size() - 1);
  if (descriptor >= 0) {
    ::close(descriptor);
  }
  const std::string words(text.data(), count > 0 ? static_cast<size_t>(count) : 0);
  return words.empty() ? "another evenflow" : words.substr(0, words.find('\n'));
}

bool FileLock::is_own(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  const bool own = descriptor >= 0 && tells_holder(descriptor);
  if (descriptor >= 0) {
    ::close(descriptor);
  }
  return own;
}

FileLock::FileLock(FileLock&& other) noexcept
    : file_(std::move(other.file_)), descriptor_(std::exchange(other.descriptor_, -1)), works_(other.works_) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(works_, other.works_);
  return *this;
}

FileLock::~FileLock() {
  if (descriptor_ < 0) {
    return;
  }
  if (names(file_, descriptor_)) {
    ::unlink(file_.c_str());
  }
  ::close(descriptor_);
}

}  // namespace evenflow::io
