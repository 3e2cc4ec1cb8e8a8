// A study: systems, each trained with several seeds on the same recordings, and their scores of the same clips.
//
// FOLDER/manifest.csv (a copy: what the study is of), features.h5 (centred.h5, if a system wants it), and per system
// and seed a cell FOLDER/cells/SYSTEM/seed_N/ with the run folder run/ and scores.csv, which is written last: a cell
// that has one is finished. A study that was stopped goes on where it was, inside a training too.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "experiments/study/clip_statistics.h"
#include "io/config.h"
#include "io/manifest.h"
#include "train/detect/score.h"
#include "train/detect/threshold.h"

namespace evenflow::experiments {

/// A line of the study's table.
struct System {
  std::string name;   ///< of its folder: "multi_scale_constrained"
  std::string title;  ///< for people: "multi-scale, constrained"
  io::Config config;  ///< but for the seed
  /// Decided by Gaussian mixtures over what the model says (mixtures.h), not by the model's own score.
  bool mixtures = false;
  std::optional<ClipStatistics> statistics = {};  ///< no model: detectors on clip statistics
  bool centred = false;                           ///< of features that are centred by value (centring.h)
};

/// The paper's four flows over the settings of `base`: single-scale (one block) and multi-scale (base's blocks, or
/// three), each conventional and constrained.
std::vector<System> flow_systems(const io::Config& base);
/// The detectors on percentiles of a clip's log-mel, fitted to the clips that `base` trains on.
System clip_statistics_system(const io::Config& base);

struct StudyOptions {
  std::filesystem::path manifest, folder;
  std::vector<System> systems;
  std::vector<uint64_t> seeds;
  const std::atomic<bool>* stop = nullptr;
  std::function<void()> claim;  ///< called once the recordings are found good, before anything is written in the folder
  std::function<void(const std::string& line)> log;
  std::function<void(const std::string& what, double fraction)> progress;
  /// In place of those that `manifest` lists, which only names them then. Whether they have unseen values and clips of
  /// both classes is not looked at.
  std::optional<io::Manifest> recordings = {};
};

/// Rows of a run's table: the normal clips that it was trained on, and those that it held out.
struct NormalRows {
  std::vector<size_t> training, held_out;
};

/// A system's scores of all clips, training ones too; a table per seed, and its run folder.
struct SystemScores {
  System system;
  std::vector<train::ScoreTable> runs;
  std::vector<std::filesystem::path> folders;
  std::vector<NormalRows> normal = {};  ///< of each run; empty where only pictures are made of it
};

struct Study {
  std::vector<double> training_values;  ///< of the parameter, ascending
  std::string parameter;                ///< its name; the first, if there are several
  std::vector<uint64_t> seeds;
  std::vector<SystemScores> systems;
  std::filesystem::path features;
  bool interrupted = false;  ///< then without scores

  /// std::out_of_range if there is no such system.
  const SystemScores& find(const std::string& name) const;
};

/// Runs what is not done yet. io::DataError: a manifest without a parameter column, with fewer than two training
/// values, without a test value or combination that was not trained on, or without both classes there; io::UsageError:
/// a folder that holds another study, by the key that differs.
Study run_study(const StudyOptions& options);

/// Writes folder/manifest.csv, which says what a study is of, or looks whether it is of these recordings. `file`: of
/// the manifest. io::UsageError if it is of others.
void claim_recordings(const io::Manifest& manifest, const std::filesystem::path& file,
                      const std::filesystem::path& folder);

/// A score of a run's normal training clips.
train::NormalScores normal_scores(const SystemScores& system, size_t run, const std::string& score);

/// io::DataError if the first parameter of the manifest is a category; `named` begins the sentence.
void require_number(const io::Manifest& manifest, const std::string& named);

}  // namespace evenflow::experiments
