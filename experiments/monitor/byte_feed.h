// Bytes as they come: from standard input, a FIFO, a device, or a file that may still grow.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace evenflow::experiments::monitor {

/// Where a file was left, to go on there.
struct FilePlace {
  uint64_t device = 0, inode = 0, position = 0;
};

/// Reading never blocks for long: a caller polls descriptor(), or asks again after a while where it is -1. A pipe is
/// its own bounded buffer: while nobody reads, its writer waits.
class ByteFeed {
 public:
  enum class State {
    data,     ///< `bytes` hold some
    waiting,  ///< none now
    ended,    ///< there will be none
    gone,     ///< the writer or the file has gone; it may come back, and then begins anew
    anew      ///< it is back, or another file has its name: what comes now is a beginning
  };

  /// `follow`: a file is not at its end when it has been read, but may grow. io::DataError: it cannot be read.
  ByteFeed(std::string source, bool follow);
  ~ByteFeed();
  ByteFeed(const ByteFeed&) = delete;
  ByteFeed& operator=(const ByteFeed&) = delete;

  /// To be polled for reading; -1: nothing to poll, ask again after a while.
  int descriptor() const;
  /// What has come, at most 64 KiB; `bytes` is overwritten.
  State read(std::string& bytes);
  bool is_file() const { return is_file_; }
  /// Does it go on when what was written has been read: a FIFO for the next writer, a file that is followed?
  bool goes_on() const { return is_fifo_ || follow_; }

  /// Of a file: where reading stands.
  FilePlace place() const { return place_; }
  /// Goes on at a place if that is still in the same file, and the file is that long; false: it is not.
  bool resume(const FilePlace& place);

 private:
  bool open();
  bool replaced() const;
  State at_end();
  State come_back();
  void close();

  std::string source_;
  bool follow_, is_file_ = false, is_fifo_ = false;
  int descriptor_ = -1;
  bool reopened_ = false;  // a FIFO or device that had gone: the next byte is of another writer
  std::chrono::steady_clock::time_point next_try_;  // when a device that had nothing is opened again
  std::string kept_;                                // read, and not handed on yet
  FilePlace place_;
};

/// "standard input", or the file's name in quotes.
std::string source_name(const std::string& source);

}  // namespace evenflow::experiments::monitor
