// A run folder: everything one training leaves behind, under fixed names.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "io/file_lock.h"
#include "io/temporary.h"

namespace evenflow::io {

/// `runs/<name>/` with config.toml, data.txt, model.h5 (best), last.h5, checkpoint.h5, metrics.csv, log.txt and
/// tensorboard/. A folder with a config.toml and a model, metrics or log of evenflow's making is a run, and so is one
/// with a config.toml as evenflow writes it; anything else that is not empty is foreign and never touched.
///
/// A run appears whole: create() gives a folder aside, appear() puts it in its place. Until then a run that it is to
/// replace is as it was. One writer at a time: create() and resume() hold a lock, `.evenflow-lock`, until destruction.
class RunFolder {
 public:
  enum class Existing {
    refuse,   ///< a run that is already there is an error
    replace,  ///< its files of the names above are removed; any others stay
  };

  /// A folder aside, to be filled with what makes it a run. DataError names the folder and the cure: a foreign folder
  /// that is not empty, a run that is already there, one that is being trained in, no permission, a file in the way.
  static RunFolder create(const std::filesystem::path& folder, Existing existing = Existing::refuse);
  /// An existing run, to go on with. DataError if it is not one, or is being trained in.
  static RunFolder resume(const std::filesystem::path& folder);
  /// An existing run, to read. DataError if it is not one.
  static RunFolder open(const std::filesystem::path& folder);
  /// The names alone, of a run that another process writes.
  static RunFolder named(const std::filesystem::path& folder) { return RunFolder(folder); }

  /// Runs `work`, which writes into the run; its errors name the run's place, not the folder aside.
  void fill(const std::function<void()>& work) const;
  /// Puts what create() began in its place. DataError: another run appeared there meanwhile.
  void appear();
  /// False: the file system has no locks, and nothing keeps a second training out.
  bool is_locked() const { return lock_ ? lock_->works() : aside_ && aside_->is_locked(); }

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path config() const { return folder_ / "config.toml"; }
  std::filesystem::path data() const { return folder_ / "data.txt"; }
  std::filesystem::path model() const { return folder_ / "model.h5"; }
  std::filesystem::path last() const { return folder_ / "last.h5"; }
  std::filesystem::path checkpoint() const { return folder_ / "checkpoint.h5"; }
  std::filesystem::path metrics() const { return folder_ / "metrics.csv"; }
  std::filesystem::path log() const { return folder_ / "log.txt"; }
  std::filesystem::path tensorboard() const { return folder_ / "tensorboard"; }

  /// The shards the run is trained on, absolute, one a line of data.txt; none if it has no such file.
  std::vector<std::filesystem::path> shards() const;
  void write_shards(const std::vector<std::filesystem::path>& shards) const;

 private:
  explicit RunFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path folder_;  ///< where the files are: aside until appear()
  std::filesystem::path place_;   ///< where they are to be
  std::optional<FileLock> lock_;  ///< of place_, or of a new folder aside
  std::optional<TemporaryFolder> aside_;
};

}  // namespace evenflow::io
