// What a command is about to write, checked before it begins: no output is an input, and none replaces what is not
// evenflow's own.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "experiments/configuration.h"
#include "io/file_identity.h"
#include "io/manifest.h"

namespace evenflow::experiments {

enum class FileKind {
  shard,
  model,
  latents,
  samples,
  scores,
  picture,
  evaluation,
  profile,
  page,
  study_table,
  choice,
  trainings,
  comparison,
  graph,
  sound,
  monitor_state
};

/// A table that a study, a family or a choice wrote.
bool is_study_table(const std::filesystem::path& file);

/// A table that `compare` wrote.
bool is_comparison_table(const std::filesystem::path& file);

/// The files of one command. Tell what is read first, then what is written.
class Outputs {
 public:
  /// `force`: what is not evenflow's own may be replaced; what is read, never.
  explicit Outputs(bool force) : force_(force) {}

  /// `what`: "the model". Of a folder, the tables in it.
  void reads(const std::filesystem::path& file, const std::string& what);
  /// A recording, shard, manifest or folder, and the recordings it lists.
  void reads_recordings(const std::filesystem::path& file);
  void reads_listed(const io::Manifest& manifest, const std::filesystem::path& named);
  /// The configuration's file, if one was given.
  void reads(const ConfigSource& config);

  /// io::UsageError: the file is also read, is another output, is there and of another kind, or its ending tells of
  /// another kind. io::DataError: it cannot be made.
  void writes(const std::filesystem::path& file, FileKind kind) { writes(file, kind, "name another file"); }
  /// The same of a file, "name" or "folder/name", in a folder; either may still have to be made.
  void writes_below(const std::filesystem::path& folder, const std::string& name, FileKind kind);
  /// A file in a folder that the command owns: it only must not be read.
  void writes_own(const std::filesystem::path& file);

 private:
  void writes(const std::filesystem::path& file, FileKind kind, const std::string& cure);
  bool force_;
  std::map<io::FileIdentity, std::string> read_, written_;
};

/// True for a table that `score` wrote.
bool is_scores_table(const std::filesystem::path& file);

}  // namespace evenflow::experiments
