#include "train/detect/config_match.h"

#include <set>

#include "io/error.h"

namespace evenflow::train {

std::optional<ConfigDifference> first_difference(const io::Config& a, const io::Config& b,
                                                 const std::function<bool(const std::string& key)>& compared) {
  for (const io::ConfigKey& key : io::config_keys()) {
    if (!compared(key.name)) {
      continue;
    }
    const std::string first = key.get(a), second = key.get(b);
    if (first != second) {
      return ConfigDifference{key.name, first, second};
    }
  }
  return std::nullopt;
}

void require_frontend(const io::Shard& shard, const io::FrontendSettings& frontend, const std::string& owner) {
  io::Config prepared, wanted;
  prepared.frontend = shard.frontend();
  wanted.frontend = frontend;
  const auto difference =
      first_difference(prepared, wanted, [](const std::string& key) { return key.starts_with("frontend."); });
  if (!difference) {
    return;
  }
  throw io::DataError("'" + shard.path().string() + "' was prepared with " + difference->key + " = " +
                      difference->first + ", but " + owner + " has " + difference->second +
                      "; prepare the recordings again with " + difference->key + " = " + difference->second);
}

std::optional<ConfigDifference> difference_of_runs(const io::Config& a, const io::Config& b) {
  static const std::set<std::string> free = {
      "train.epochs",      "train.steps", "train.patience", "train.threads", "train.checkpoint_epochs",
      "train.resident_mib"};
  return first_difference(a, b, [](const std::string& key) { return !free.contains(key); });
}

void require_resumable(const io::Config& before, const io::Config& now) {
  const auto difference = difference_of_runs(before, now);
  if (!difference) {
    return;
  }
  throw io::UsageError("the run was begun with " + difference->key + " = " + difference->first +
                       " and cannot go on with " + difference->second + "; set it back, or train a new run");
}

}  // namespace evenflow::train
