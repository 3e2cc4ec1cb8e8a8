// The folds of a study in which every value of the parameter is unseen once.
//
// In the fold of a value all of its clips are test clips. Of every other value those clips train that the manifest
// trains on. Where it trains on none, every other normal clip of the value does (the first, the third, ... of each
// machine, in the manifest's order), so that every value but the one left out is seen. Anomalous clips are always test
// clips. Clips of unknown value stay what they are.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/manifest.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {

struct Fold {
  train::OperatingPoint value;  ///< that is left out
  io::Manifest manifest;        ///< without notes
};

struct Folds {
  train::OperatingPoints points;   ///< of all clips, by the manifest's first parameter
  std::vector<Fold> folds;         ///< one for each point with a clip that is known to be normal, ascending
  std::vector<std::string> notes;  ///< what has no fold, or no AUC of its own, and which clips train: a sentence each
};

/// io::DataError naming `file`: a manifest without a parameter column, without an anomalous clip or with one that
/// trains, or with fewer than three values that can be trained on.
Folds make_folds(const io::Manifest& manifest, const std::filesystem::path& file);

}  // namespace evenflow::experiments
