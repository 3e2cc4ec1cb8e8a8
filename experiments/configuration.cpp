#include "experiments/configuration.h"

#include <algorithm>

#include "train/detect/score_set.h"

namespace evenflow::experiments {

io::Config resolve(const ConfigSource& source, const io::Config& base) {
  io::Config config = source.file ? io::read_config(*source.file, base) : base;
  for (const KeyFlag& flag : source.flags) {
    const auto& keys = io::config_keys();
    const auto key = std::find_if(keys.begin(), keys.end(), [&](const auto& known) { return known.name == flag.key; });
    key->set(config, flag.value);
  }
  io::validate(config);
  train::require_score(config);
  return config;
}

}  // namespace evenflow::experiments
