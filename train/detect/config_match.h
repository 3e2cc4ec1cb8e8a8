// Where two configurations, or a shard and a model, differ: the first key, by name.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "io/config.h"
#include "io/shard.h"

namespace evenflow::train {

struct ConfigDifference {
  std::string key, first, second;  ///< the key and both values as text
};

/// The first key, among those for which `compared` holds, whose values differ.
std::optional<ConfigDifference> first_difference(const io::Config& a, const io::Config& b,
                                                 const std::function<bool(const std::string& key)>& compared);

/// io::DataError naming the setting, unless the shard was prepared with `frontend`, which is that of `owner`
/// ("the model", "the configuration").
void require_frontend(const io::Shard& shard, const io::FrontendSettings& frontend, const std::string& owner);

/// The first difference that makes two runs of them: in anything but epochs, steps, patience, threads,
/// checkpoint_epochs and resident_mib.
std::optional<ConfigDifference> difference_of_runs(const io::Config& a, const io::Config& b);

/// io::UsageError naming the key, unless a training begun with `before` may go on with `now`, which is one run.
void require_resumable(const io::Config& before, const io::Config& now);

}  // namespace evenflow::train
