// One training of many: a run folder that is gone on with where it was stopped.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>

#include "io/config.h"

namespace evenflow::experiments {

struct Cell {
  std::filesystem::path run;  ///< its run folder
  std::string title;          ///< for people: "multi-scale, constrained, seed 1"
  io::Config config;
  std::filesystem::path shard;  ///< what it is trained on
  bool goes_further = false;    ///< more epochs than it was begun with are no difference
};

/// What many trainings in a row need of who started them.
struct CellWatcher {
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const std::string& what, double fraction)> progress;
};

/// io::UsageError if the cell has been begun with another configuration, naming the first key that differs. Those that
/// change no result may.
void require_same_training(const Cell& cell);
/// Trains what is not trained yet. False: stopped. Errors as require_same_training's and train::train's.
bool train_cell(const Cell& cell, const CellWatcher& watcher);

}  // namespace evenflow::experiments
