#include "experiments/configuration.h"

#include <algorithm>

#include "io/error.h"
#include "train/detect/score_set.h"

namespace evenflow::experiments {

io::Config unaugmented() {
  io::Config config;
  config.augment = io::AugmentSettings::none();
  return config;
}

io::Config resolve(const ConfigSource& source, const io::Config& base) {
  io::Config config = source.file ? io::read_config(*source.file, base) : base;
  const auto given = [&](const char* name) {
    return std::any_of(source.flags.begin(), source.flags.end(), [&](const KeyFlag& flag) { return flag.key == name; });
  };
  if (given("train.steps")) {
    if (given("train.epochs")) {
      throw io::UsageError("--train.steps and --train.epochs both say how long to train; give one of them");
    }
    config.train.epochs = 0;  // of the file, which flags override
  }
  for (const KeyFlag& flag : source.flags) {
    io::config_key(flag.key).set(config, flag.value);
  }
  io::validate(config);
  train::require_score(config);
  return config;
}

}  // namespace evenflow::experiments
