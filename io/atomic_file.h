// A file that appears whole or not at all.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace evenflow::io {

/// A temporary name in the target's folder. commit() fsyncs, renames over the target and fsyncs the folder;
/// destruction without commit() removes the temporary. The name is `<target>.tmp<pid>-<n>`: what a killed process
/// leaves behind may be deleted. DataError when the folder is missing or the target is not a regular file.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  const std::filesystem::path& target() const { return target_; }
  const std::filesystem::path& temporary() const { return temporary_; }
  /// Has the system begin to write what the temporary holds, so that commit() need not wait for all of it. A hint.
  void begin_writing() const;
  void commit();

 private:
  std::filesystem::path target_, temporary_;
  bool committed_ = false;
};

/// Writes `text` atomically (straight through where the file is a device or pipe). DataError names the file and the
/// system's reason.
void write_text(const std::filesystem::path& file, std::string_view text);
/// The whole file. DataError names the file and the system's reason.
std::string read_text(const std::filesystem::path& file);

}  // namespace evenflow::io
