// A file that appears whole or not at all.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "io/temporary.h"

namespace evenflow::io {

/// A temporary beside the target. commit() fsyncs, renames over the target and fsyncs the folder; destruction without
/// commit() removes the temporary. The target of a symbolic link is what is written, whether it is there or not; a file
/// that is replaced leaves its mode and, where permitted, its owner to the new one. What dead programs left beside the
/// target is cleared. DataError when the folder is missing or the target is not a regular file; every error names the
/// file that was asked for, and none the temporary.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  /// Behind links.
  const std::filesystem::path& target() const { return target_; }
  /// An empty file, to be opened and overwritten in place.
  const std::filesystem::path& temporary() const { return temporary_->path(); }
  /// Fills it with `bytes` and no more. DataError names the system's reason.
  void write(std::string_view bytes);
  /// Has the system begin to write what the temporary holds, so that commit() need not wait for all of it. A hint.
  void begin_writing() const;
  void commit();

 private:
  std::filesystem::path named_, target_;
  std::unique_ptr<TemporaryFile> temporary_;
};

/// Writes `text` atomically (straight through where the file is a device, a pipe or standard output). DataError names
/// the file and the system's reason.
void write_text(const std::filesystem::path& file, std::string_view text);
/// The whole file. DataError names the file and the system's reason.
std::string read_text(const std::filesystem::path& file);
/// The first 64 KiB, enough to know any file of evenflow's by; empty where there is no file that can be read, or a
/// pipe.
std::string read_beginning(const std::filesystem::path& file);

}  // namespace evenflow::io
