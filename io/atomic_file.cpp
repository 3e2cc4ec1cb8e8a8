#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "io/error.h"

namespace evenflow::io {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what, const fs::path& file, int error) {
  std::string cure = "check the path and its permissions";
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) cure = "make room on the disk or choose another folder";
  throw DataError(what + " '" + file.string() + "': " + std::strerror(error) + "; " + cure);
}

class Descriptor {
 public:
  Descriptor(const fs::path& file, int flags, const char* what) : fd_(::open(file.c_str(), flags | O_CLOEXEC, 0666)) {
    if (fd_ < 0) fail(what, file, errno);
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
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
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot write", named, errno);
    text.remove_prefix(static_cast<size_t>(count));
  }
}

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

}  // namespace

AtomicFile::AtomicFile(fs::path target) : target_(std::move(target)) {
  static std::atomic<unsigned> counter{0};
  std::error_code error;
  // The file behind a link is replaced, not the link.
  if (fs::is_symlink(target_, error)) {
    const fs::path resolved = fs::weakly_canonical(target_, error);
    if (!error) target_ = resolved;
  }
  const fs::file_status status = fs::status(target_, error);
  // Renaming over /dev/null as root would replace the device.
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw DataError("cannot write '" + target_.string() +
                    "': it exists and is not a regular file; choose another name");
  const fs::path folder = folder_of(target_);
  if (!fs::is_directory(folder, error))
    throw DataError("cannot write '" + target_.string() + "': '" + folder.string() +
                    "' is not a folder; create it first");
  temporary_ = target_;
  temporary_ += ".tmp" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
}

AtomicFile::~AtomicFile() {
  if (!committed_) ::unlink(temporary_.c_str());
}

void AtomicFile::begin_writing() const {
#ifdef SYNC_FILE_RANGE_WRITE
  const int file = ::open(temporary_.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  ::sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE);
  ::close(file);
#endif
}

void AtomicFile::commit() {
  {
    Descriptor file(temporary_, O_RDONLY, "cannot finish");
    if (::fsync(file.get()) != 0) fail("cannot flush to disk", target_, errno);
  }
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot finish", target_, errno);
  committed_ = true;
  // The rename itself lives in the folder. Some file systems refuse to sync a folder; the data are safe by then.
  const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
}

void write_text(const fs::path& file, std::string_view text) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status)) {
    Descriptor out(file, O_WRONLY, "cannot write");
    write_all(out, text, file);
    return;
  }
  AtomicFile atomic(file);
  Descriptor out(atomic.temporary(), O_WRONLY | O_CREAT | O_EXCL, "cannot write");
  write_all(out, text, file);
  if (out.close() != 0) fail("cannot write", file, errno);
  atomic.commit();
}

std::string read_text(const fs::path& file) {
  Descriptor in(file, O_RDONLY, "cannot read");
  std::string text;
  char block[65536];
  for (;;) {
    const ssize_t count = ::read(in.get(), block, sizeof block);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot read", file, errno);
    if (count == 0) return text;
    text.append(block, static_cast<size_t>(count));
  }
}

}  // namespace evenflow::io
