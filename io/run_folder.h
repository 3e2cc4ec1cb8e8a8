// A run folder: everything one training leaves behind, under fixed names.
#pragma once

#include <filesystem>

namespace evenflow::io {

/// `runs/<name>/` with config.toml, model.h5 (best), last.h5, checkpoint.h5, metrics.csv, log.txt and tensorboard/.
/// A folder with a config.toml is a run; anything else that is not empty is foreign and never touched.
class RunFolder {
 public:
  enum class Existing {
    refuse,   ///< a run that is already there is an error
    replace,  ///< its files of the names above are removed; any others stay
  };

  /// Makes the folder (parents too) and checks that it can be written. DataError names the folder and the cure:
  /// a foreign folder that is not empty, a run that is already there, no permission, a file in the way.
  static RunFolder create(const std::filesystem::path& folder, Existing existing = Existing::refuse);
  /// An existing run, to resume or to read. DataError if it is not one.
  static RunFolder open(const std::filesystem::path& folder);

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path config() const { return folder_ / "config.toml"; }
  std::filesystem::path model() const { return folder_ / "model.h5"; }
  std::filesystem::path last() const { return folder_ / "last.h5"; }
  std::filesystem::path checkpoint() const { return folder_ / "checkpoint.h5"; }
  std::filesystem::path metrics() const { return folder_ / "metrics.csv"; }
  std::filesystem::path log() const { return folder_ / "log.txt"; }
  std::filesystem::path tensorboard() const { return folder_ / "tensorboard"; }

 private:
  explicit RunFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path folder_;
};

}  // namespace evenflow::io
