#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "io/error.h"
#include "io/file_identity.h"
#include "io/standard_output.h"

namespace evenflow::io {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what, const fs::path& file, int error) {
  std::string cure = "check the path and its permissions";
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    cure = "make room on the disk or choose another folder";
  }
  throw DataError(what + " '" + file.string() + "': " + std::strerror(error) + "; " + cure);
}

class Descriptor {
 public:
  Descriptor(const fs::path& file, int flags, const char* what) : Descriptor(file, flags, what, file) {}
  /// An error tells of the file as it is `named`.
  Descriptor(const fs::path& file, int flags, const char* what, const fs::path& named)
      : fd_(::open(file.c_str(), flags | O_CLOEXEC, 0666)) {
    if (fd_ < 0) {
      fail(what, named, errno);
    }
  }
  ~Descriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

void write_all(Descriptor& out, std::string_view text, const fs::path& named) {
  while (!text.empty()) {
    const ssize_t count = ::write(out.get(), text.data(), text.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      fail("cannot write", named, errno);
    }
    text.remove_prefix(static_cast<size_t>(count));
  }
}

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

/// Clears once in a process and folder, for each name: a folder of many files is not read for each of them.
void clear_once(const fs::path& folder, const fs::path& target) {
  static std::mutex mutex;
  static std::set<std::pair<fs::path, std::optional<FileIdentity>>> cleared;
  std::error_code error;
  const auto place = std::pair(fs::absolute(folder, error), identify(folder));
  const std::lock_guard lock(mutex);
  if (cleared.insert(place).second) {
    clear_leftovers(folder, {target.filename().string()});
  }
}

/// Of the file that is there; none, and `status` as it was, if there is none.
bool status_of(const fs::path& file, struct stat& status) {
  return ::stat(file.c_str(), &status) == 0;
}

/// Gives `descriptor` the owner and mode of a file. A change of owner that is not permitted is passed over.
void take_after(int descriptor, const struct stat& old) {
  struct stat made = {};
  if (::fstat(descriptor, &made) != 0) {
    return;
  }
  if (made.st_uid != old.st_uid || made.st_gid != old.st_gid) {
    const bool both = ::fchown(descriptor, old.st_uid, old.st_gid) == 0;
    const bool group = both || ::fchown(descriptor, static_cast<uid_t>(-1), old.st_gid) == 0;
    static_cast<void>(group);
  }
  ::fchmod(descriptor, old.st_mode & 07777);
}

bool is_device(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  return fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status);
}

}  // namespace

AtomicFile::AtomicFile(fs::path target) : named_(std::move(target)) {
  std::error_code error;
  const fs::file_status status = fs::status(named_, error);
  // Renaming over /dev/null as root would replace the device.
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    throw DataError("cannot write '" + named_.string() + "': it exists and is not a regular file; choose another name");
  }
  target_ = behind_links(named_);
  const fs::path folder = folder_of(target_);
  if (!fs::is_directory(folder, error)) {
    throw DataError("cannot write '" + named_.string() + "'" +
                    (named_ == target_ ? "" : ", a link to '" + target_.string() + "'") + ": '" + folder.string() +
                    "' is not a folder; create it first");
  }
  clear_once(folder, target_);
  struct stat old = {};
  const bool there = status_of(target_, old);
  // No more open to others than what it replaces.
  temporary_ = std::make_unique<TemporaryFile>(folder, named_, there ? (old.st_mode & 0666) | 0600 : 0666);
}

void AtomicFile::write(std::string_view bytes) {
  Descriptor out(temporary(), O_WRONLY | O_TRUNC, "cannot write", named_);
  write_all(out, bytes, named_);
  if (out.close() != 0) {
    fail("cannot write", named_, errno);
  }
}

void AtomicFile::begin_writing() const {
#ifdef SYNC_FILE_RANGE_WRITE
  ::sync_file_range(temporary_->descriptor(), 0, 0, SYNC_FILE_RANGE_WRITE);
#endif
}

void AtomicFile::commit() {
  {
    Descriptor file(temporary(), O_RDONLY, "cannot finish", named_);
    if (::fsync(file.get()) != 0) {
      fail("cannot flush to disk", named_, errno);
    }
    struct stat old = {};
    if (status_of(target_, old)) {
      take_after(file.get(), old);
    }
  }
  if (::rename(temporary().c_str(), target_.c_str()) != 0) {
    fail("cannot finish", named_, errno);
  }
  temporary_->release();
  // The rename itself lives in the folder. Some file systems refuse to sync a folder; the data are safe by then.
  const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
}

void write_text(const fs::path& file, std::string_view text) {
  if (is_standard_output(file)) {
    return write_to_standard_output(text);
  }
  if (is_device(file)) {
    Descriptor out(file, O_WRONLY, "cannot write");
    write_all(out, text, file);
    return;
  }
  AtomicFile atomic(file);
  atomic.write(text);
  atomic.commit();
}

std::string read_text(const fs::path& file) {
  // A shell's <(command) is a pipe too, under /dev/fd; one with a name of its own may never be written to.
  std::error_code error;
  const bool of_shell = file.string().starts_with("/dev/") || file.string().starts_with("/proc/");
  if (!of_shell && fs::is_fifo(file, error)) {
    throw DataError("'" + file.string() + "' is a pipe, not a file; give a file");
  }
  Descriptor in(file, O_RDONLY, "cannot read");
  std::string text;
  char block[65536];
  for (;;) {
    const ssize_t count = ::read(in.get(), block, sizeof block);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      fail("cannot read", file, errno);
    }
    if (count == 0) {
      return text;
    }
    text.append(block, static_cast<size_t>(count));
  }
}

std::string read_beginning(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) {
    return {};
  }
  std::string text(size_t{1} << 16, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

}  // namespace evenflow::io
