// What one training is asked for, whoever asks: the command line, a line of a list (train_pack.h), Python.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "experiments/configuration.h"
#include "experiments/outputs.h"
#include "train/loop/trainer.h"

namespace evenflow::experiments {

struct TrainArguments {
  std::vector<std::filesystem::path> shards;
  std::filesystem::path run;
  ConfigSource config;
  int64_t until_epoch = 0;
  bool resume = false, replace = false;
};

/// io::UsageError, io::DataError: what is wrong with the arguments before any work.
train::TrainOptions options_of(const TrainArguments& arguments);

/// What a training reads, and what it writes: errors as Outputs'.
void note_files(Outputs& outputs, const TrainArguments& arguments);

}  // namespace evenflow::experiments
