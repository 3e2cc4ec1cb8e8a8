// Recordings, a shard, a model and scores, as small as they can be, for tests through the program.
#pragma once

#include <string>
#include <vector>

#include "tests/experiments/program.h"

namespace evenflow::experiments::test {

/// Made once in a process, when a test first asks; tests copy what they would change.
class SmallWorld {
 public:
  static const SmallWorld& get();
  /// A configuration file for models of next to nothing.
  std::string config() const { return folder_ / "small.toml"; }
  std::string rails() const { return folder_ / "rails"; }
  std::string manifest() const { return folder_ / "rails/manifest.csv"; }
  std::string shard() const { return folder_ / "features.h5"; }
  std::string run() const { return folder_ / "run"; }
  std::string model() const { return folder_ / "run/model.h5"; }
  std::string scores() const { return folder_ / "scores.csv"; }
  /// `synth` of the recordings, into a folder.
  static Words synth_words(const std::string& folder);
  Words train_words(const std::string& run_folder, const std::string& epochs) const;

 private:
  SmallWorld();
  Folder folder_;
};

}  // namespace evenflow::experiments::test
