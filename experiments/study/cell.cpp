#include "experiments/study/cell.h"

#include <fmt/format.h>

#include "io/error.h"
#include "io/run_folder.h"
#include "train/detect/config_match.h"
#include "train/loop/trainer.h"

namespace evenflow::experiments {

namespace fs = std::filesystem;

void require_same_training(const Cell& cell) {
  const fs::path begun = cell.run / "config.toml";
  if (!fs::exists(begun)) {
    return;
  }
  const auto differs = train::first_difference(io::read_config(begun), cell.config, [&](const std::string& key) {
    const bool more = cell.goes_further && key == "train.epochs";
    return !more && key != "train.threads" && key != "train.checkpoint_epochs" && key != "train.resident_mib";
  });
  if (differs) {
    throw io::UsageError(
        fmt::format("'{}' was made with {} = {}, now it is {}; choose another folder, or remove "
                    "that one to train it again",
                    cell.run.parent_path().string(), differs->key, differs->first, differs->second));
  }
}

bool train_cell(const Cell& cell, const CellWatcher& watcher) {
  require_same_training(cell);
  train::TrainOptions options;
  options.config = cell.config;
  options.shards = {cell.shard};
  options.run = cell.run;
  options.stop = watcher.stop;
  options.progress = [&](const train::TrainProgress& p) {
    const double in_epoch = p.epoch_end || p.steps_per_epoch == 0
                                ? 0.0
                                : static_cast<double>(p.step) / static_cast<double>(p.steps_per_epoch);
    watcher.progress(cell.title, (static_cast<double>(p.epoch) + in_epoch) / static_cast<double>(p.epochs));
  };
  // Without a checkpoint a run was stopped before there was anything to keep.
  options.resume = fs::exists(cell.run / "checkpoint.h5");
  options.replace = !options.resume && fs::exists(cell.run / "config.toml");
  return !train::train(options).interrupted;
}

}  // namespace evenflow::experiments
