// A data set of slide-rail recordings: WAV files in train/ and test/, and a manifest, written last.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "experiments/rail/rail.h"

namespace evenflow::experiments {

struct SynthOptions {
  RailSettings rail;
  std::vector<double> train_velocities_mm_s{100, 200, 300, 400, 500, 600, 700};
  std::vector<double> test_velocities_mm_s{50, 100, 150, 200, 250, 300, 350, 400, 450, 500, 550, 600, 650, 700, 750};
  std::vector<double> train_distances_mm{100, 250, 500};
  std::vector<double> test_distances_mm{500};
  int train_clips = 10;         ///< normal clips per velocity, distance and tool
  int test_normal_clips = 10;   ///< per velocity, distance and tool
  int test_anomaly_clips = 10;  ///< per velocity, distance and tool
  /// How many of rail_tools there are; 1: no column of tools. All but the first lack every third training velocity,
  /// each others, so that the test has combinations that are unseen though velocity and tool are seen.
  int tools = 1;
  bool stroke_column = false;  ///< the manifest has the stroke, `stroke_mm`, beside the velocity
  uint64_t seed = 1;
  int threads = 0;                          ///< 0: one per core
  const std::atomic<bool>* stop = nullptr;  ///< set: stop after the clips in hand, without a manifest
  std::function<void(size_t done, size_t total)> progress;
};

/// "paper": the paper's design (section 6.1), 510 clips of 10 s, of the rail called "drifting"; severity 1.4. "demo":
/// the same conditions, fewer clips, a plainer fault (severity 2). Else UsageError.
SynthOptions synth_preset(const std::string& name);

/// What a data set is made from, a line for each setting: the same for the same recordings.
std::string describe(const SynthOptions& options);

struct SynthResult {
  size_t clips = 0;
  double seconds_of_sound = 0;
  std::filesystem::path manifest;
  bool stopped = false;
};

/// A data set of an experiment's, FOLDER/rail, made where it is not there yet. FOLDER/recordings.txt says what it is
/// made from: `title` and describe(options). False: stopped. io::UsageError: the folder holds other recordings; else as
/// synth_dataset.
bool make_recordings(const std::filesystem::path& folder, const std::string& title, const SynthOptions& options);

/// Writes the data set into `folder` (made if missing; an old manifest there goes first). io::DataError if it cannot be
/// written; io::UsageError on counts, velocities or distances that make no sense or are listed twice.
SynthResult synth_dataset(const std::filesystem::path& folder, const SynthOptions& options);

}  // namespace evenflow::experiments
