#include "experiments/monitor/byte_feed.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "io/error.h"

namespace evenflow::experiments::monitor {
namespace {

constexpr size_t block_bytes = 64 * 1024;
constexpr int pipe_bytes = 1024 * 1024;
constexpr auto device_pause = std::chrono::seconds(1);

}  // namespace

std::string source_name(const std::string& source) {
  return source == "-" ? "standard input" : fmt::format("'{}'", source);
}

ByteFeed::ByteFeed(std::string source, bool follow) : source_(std::move(source)), follow_(follow) {
  if (!open()) {
    throw io::DataError(fmt::format("cannot read {}: {}", source_name(source_), std::strerror(errno)));
  }
}

ByteFeed::~ByteFeed() {
  close();
}

void ByteFeed::close() {
  if (descriptor_ > STDIN_FILENO) {
    ::close(descriptor_);
  }
  descriptor_ = -1;
}

bool ByteFeed::open() {
  // A FIFO without a writer would have a blocking open wait.
  descriptor_ = source_ == "-" ? STDIN_FILENO : ::open(source_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat facts = {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &facts) != 0) {
    return false;
  }
  if (S_ISDIR(facts.st_mode)) {
    close();
    errno = EISDIR;
    return false;
  }
  is_file_ = S_ISREG(facts.st_mode);
  is_fifo_ = S_ISFIFO(facts.st_mode) && source_ != "-";
  if (S_ISFIFO(facts.st_mode)) {
    ::fcntl(descriptor_, F_SETPIPE_SZ, pipe_bytes);  // best effort: more of a burst fits
  }
  place_ = {facts.st_dev, facts.st_ino, 0};
  return true;
}

int ByteFeed::descriptor() const {
  return is_file_ ? -1 : descriptor_;
}

ByteFeed::State ByteFeed::read(std::string& bytes) {
  bytes.clear();
  if (descriptor_ < 0) {
    return come_back();
  }
  if (!kept_.empty()) {
    bytes = std::exchange(kept_, {});
    return State::data;
  }
  pollfd ready = {descriptor_, POLLIN, 0};
  if (!is_file_ && ::poll(&ready, 1, 0) == 0) {
    return State::waiting;  // standard input is not made non-blocking: it is shared with other programs
  }
  bytes.resize(block_bytes);
  const ssize_t count = ::read(descriptor_, bytes.data(), bytes.size());
  bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
  if (count > 0) {
    place_.position += static_cast<uint64_t>(count);
    if (std::exchange(reopened_, false)) {
      kept_ = bytes;
      return State::anew;
    }
    return State::data;
  }
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
    return State::waiting;
  }
  if (count < 0 && source_ == "-") {
    throw io::DataError(fmt::format("cannot read {}: {}", source_name(source_), std::strerror(errno)));
  }
  return at_end();
}

/// What had gone may be there again: a file at once, of a FIFO or a device the first byte tells.
ByteFeed::State ByteFeed::come_back() {
  if (std::chrono::steady_clock::now() < next_try_ || !open()) {
    return State::waiting;
  }
  reopened_ = !is_file_;
  return is_file_ ? State::anew : State::waiting;
}

ByteFeed::State ByteFeed::at_end() {
  if (source_ == "-" || (is_file_ && !follow_)) {
    return State::ended;
  }
  if ((is_file_ && !replaced()) || (is_fifo_ && reopened_)) {
    return State::waiting;
  }
  if (!is_file_ && !is_fifo_) {
    next_try_ = std::chrono::steady_clock::now() + device_pause;
  }
  close();
  return std::exchange(reopened_, false) ? State::waiting : State::gone;  // that it has gone was told
}

/// Has the file under the name become another one, or been cut short?
bool ByteFeed::replaced() const {
  struct stat facts = {};
  return ::stat(source_.c_str(), &facts) != 0 || facts.st_ino != place_.inode || facts.st_dev != place_.device ||
         static_cast<uint64_t>(facts.st_size) < place_.position;
}

bool ByteFeed::resume(const FilePlace& place) {
  struct stat facts = {};
  if (!is_file_ || ::fstat(descriptor_, &facts) != 0 || facts.st_ino != place.inode || facts.st_dev != place.device ||
      static_cast<uint64_t>(facts.st_size) < place.position ||
      ::lseek(descriptor_, static_cast<off_t>(place.position), SEEK_SET) < 0) {
    return false;
  }
  place_ = place;
  return true;
}

}  // namespace evenflow::experiments::monitor
