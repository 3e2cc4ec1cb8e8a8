// The training loop: shards in, a run folder out (config.toml, model.h5, last.h5, checkpoint.h5, metrics.csv, log.txt).
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/config.h"
#include "kernels/communicator.h"

namespace evenflow::train {

/// What a progress display needs; sent after every step and every epoch.
struct TrainProgress {
  int64_t epoch = 0, epochs = 0;          ///< epochs finished; in all
  int64_t step = 0, steps_per_epoch = 0;  ///< steps finished in this epoch
  double loss = 0;                        ///< running mean of this epoch, nats per dimension
  double validation_loss = 0;             ///< of the last finished epoch; NaN if there is none
  double windows_per_second = 0;
  double seconds_left = 0;
  bool epoch_end = false;
  bool last = false;  ///< the training's last epoch has ended
};

class Lane;

struct TrainOptions {
  io::Config config;
  std::vector<std::filesystem::path> shards;
  std::filesystem::path run;                ///< run folder
  bool resume = false;                      ///< go on from run/checkpoint.h5 (bit-exact); config and data must match
  bool replace = false;                     ///< a new run may take the place of one that is already in the folder
  bool remember_shards = false;             ///< in data.txt, so that a resume need not be given them
  int64_t until_epoch = 0;                  ///< stop once so many epochs are made, as if interrupted; 0: at the end
  int64_t stop_after_steps = 0;             ///< tests: behave as if interrupted after so many steps; 0: never
  const std::atomic<bool>* stop = nullptr;  ///< set by Ctrl-C: finish the step, save, return
  /// Who trains the same model together, each with these options; the first alone writes, logs and shows progress.
  kernels::Communicator* ranks = &kernels::alone();
  std::function<void(const TrainProgress&)> progress;
  std::function<void(const std::string&)> log;  ///< each line also goes to log.txt
  Lane* lane = nullptr;                         ///< among others (lane.h); null: alone
};

struct TrainResult {
  int64_t epochs = 0, steps = 0;
  double loss = 0, validation_loss = 0, best_loss = 0;
  int64_t best_epoch = -1;
  double seconds = 0, windows_per_second = 0;
  bool interrupted = false;
  bool stopped = false;          ///< by `stop`, on whichever rank
  bool out_of_patience = false;  ///< ended by train.patience, before its epochs were made
};

/// io::UsageError, io::DataError: one sentence. Three non-finite steps in a row: io::DataError, the last good model
/// saved.
TrainResult train(const TrainOptions& options);

}  // namespace evenflow::train
