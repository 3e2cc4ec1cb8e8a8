// Inputs of commands that score: any mix of recordings, folders, manifests and shards, looked through and scored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "experiments/console.h"
#include "experiments/options.h"
#include "frontend/features.h"
#include "frontend/sound_notes.h"
#include "io/file_identity.h"
#include "io/manifest.h"
#include "io/shard.h"
#include "kernels/parallel.h"
#include "train/detect/score.h"

namespace evenflow::experiments {

struct ScoringRequest {
  std::vector<std::filesystem::path> inputs = {};
  std::string split = "test";   ///< "train", "test" or "all"
  bool skip_bad = false;        ///< go on without recordings that cannot be used
  bool normal_only = false;     ///< leave out clips that are labelled as anomalies, with a note
  bool other_machines = false;  ///< score clips of machines that the model was not trained on
  bool each_machine = false;    ///< clips of one path are told apart by their machines
  Compute compute = {};
};

/// The options --split, --skip-bad, --other-machines and --device of such a command.
void declare_scoring(Options& options, ScoringRequest& request);

/// The inputs, all looked at before any is scored, so that one which is refused costs no work.
class ScoringInputs {
 public:
  /// `request` must outlive it. `declared`: parameters whose values are names, and those where names of files and
  /// folders tell them. io::UsageError, io::DataError: an input that cannot be used, a parameter of numbers in one and
  /// of names in another.
  explicit ScoringInputs(const ScoringRequest& request, io::DeclaredCategories declared = {},
                         io::DeclaredCategories declared_of_files = {});
  /// Prints what is to be said of them.
  void print_notes() const;
  /// io::DataError: an input with names of a parameter that the model was trained on numbers of, or numbers where it
  /// was trained on names (`trained`, by the model's parameters).
  void require_kinds(const std::vector<std::string>& parameters, const io::Categories& trained) const;
  /// How many clips there are to score, by machine.
  const std::map<std::string, int64_t>& machines() const { return machines_; }

 private:
  friend class Scoring;
  /// One of the two. Paths of `recordings` stand in the table; `files` are theirs.
  struct Recordings {
    io::Manifest manifest;
    std::vector<std::filesystem::path> files;
  };
  struct Input {
    std::unique_ptr<io::Shard> shard;
    Recordings recordings;
  };

  void open(const std::filesystem::path& path);
  void list(const io::Clip& clip);
  Recordings open_recordings(const std::filesystem::path& path);
  void select(io::Manifest& manifest, bool is_recording);
  bool of_split(const io::Clip& clip) const;
  bool is_wanted(const io::Clip& clip) const;
  train::ScoreTable values_of(const Input& input) const;

  const ScoringRequest& request_;
  io::DeclaredCategories declared_, declared_of_files_;
  std::vector<Input> inputs_;
  std::map<std::string, int64_t> machines_;
  std::unordered_map<std::string, size_t> inputs_by_clip_;
  std::set<io::FileIdentity> identities_;
  std::vector<std::string> repeated_, notes_;
  int64_t anomalies_ = 0;  // that were left out
};

/// Scores inputs by one model.
class Scoring {
 public:
  /// Both must outlive it.
  Scoring(const ScoringRequest& request, train::Detector& detector);
  /// The same of inputs that are open already, and of one machine's clips alone.
  Scoring(std::shared_ptr<const ScoringInputs> inputs, std::string machine, train::Detector& detector);

  /// Opens the inputs, unless they are, and prints what is to be said of them; then scores them. io::UsageError,
  /// io::DataError: an input that cannot be used, clips of other machines (require_own_machines); Interrupted.
  void run();
  /// io::DataError if recordings could not be used, or if nothing was left to score.
  void finish();

  /// What was scored; once.
  train::ScoreTable table() { return train::joined(tables_); }
  /// Why recordings were skipped, a sentence each.
  const std::vector<std::string>& bad() const { return bad_; }
  /// What is to be said of the sound that was scored, a line each.
  std::vector<std::string> notes() const { return sound_notes_.lines(); }

 private:
  void open();
  bool of_machine(const io::Clip& clip) const;
  void add_shard(const io::Shard& shard);
  void add_recordings(const ScoringInputs::Recordings& recordings);
  void score_group(const ScoringInputs::Recordings& recordings, std::span<const size_t> clips);
  void score_clip(const io::Manifest& manifest, const io::Clip& clip, const frontend::FileFeatures& features,
                  std::string& error);
  void show(int64_t done, int64_t total);

  const ScoringRequest& request_;
  std::shared_ptr<const ScoringInputs> inputs_;  // empty: to be opened
  std::optional<std::string> machine_;           // none: all
  train::Detector& detector_;
  kernels::ThreadPool pool_;
  std::vector<train::ScoreTable> tables_;  // an input's each
  std::vector<std::string> bad_;
  frontend::SoundNotes sound_notes_;
  StatusLine status_;
};

}  // namespace evenflow::experiments
