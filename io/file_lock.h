// Advisory locks: who holds one keeps other evenflows out; they end with the process, however it ends.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace evenflow::io {

enum class LockState {
  held,
  refused,      ///< another holds it
  unsupported,  ///< the file system has no locks
};

/// Locks an open file, without waiting. The lock belongs to the descriptor and ends when that is closed. It is of the
/// kind that also holds between the machines of a network file system.
LockState try_lock(int descriptor);

/// A file that is there to be locked, and tells who holds it. It is removed at the end; what a killed holder leaves is
/// taken over by the next.
class FileLock {
 public:
  /// None: another holds it, or the file's folder has gone. DataError: the file cannot be made, or is a person's.
  static std::optional<FileLock> take(const std::filesystem::path& file);
  /// True if another process holds it now; asks, and locks nothing.
  static bool is_held(const std::filesystem::path& file);
  /// Who holds it, as far as the file tells: "process 123 on host, since 2026-01-31 12:00:00 UTC".
  static std::string holder(const std::filesystem::path& file);
  /// True for a lock's file: empty, or one line that tells a holder.
  static bool is_own(const std::filesystem::path& file);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();
  /// False: the file system has no locks, nothing keeps others out.
  bool works() const { return works_; }
  /// Tells that the file's folder was renamed.
  void moved_to(std::filesystem::path file) { file_ = std::move(file); }

 private:
  FileLock(std::filesystem::path file, int descriptor, bool works)
      : file_(std::move(file)), descriptor_(descriptor), works_(works) {}
  std::filesystem::path file_;
  int descriptor_;
  bool works_;
};

}  // namespace evenflow::io
