// Which clips a training uses, and which of them it holds out for validation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/loop/loader.h"

namespace evenflow::train {

/// The clips of split train, of `machine` or (empty) of every machine, that are normal (label 0) or not known to be
/// otherwise (label -1), in file order. io::DataError: an anomaly among them (naming the clip), or none left (naming
/// the machines there are).
ClipSelection normal_training_clips(const std::vector<const io::Shard*>& shards, const std::string& machine);

/// Without the clips at these operating points ("velocity_mm_s=300", by the rule of seen.h). io::UsageError: a
/// parameter that the shards do not have, a value that no clip is at (naming those there are), no clip left.
ClipSelection leave_out(ClipSelection clips, const std::vector<std::string>& points);

/// What a configuration trains on and holds out of: the normal training clips of its machine but for train.leave_out.
ClipSelection clips_to_train_on(const std::vector<const io::Shard*>& shards, const io::TrainSettings& settings);

struct HeldOut {
  ClipSelection train, validation;
  /// Of `validation`, those that were the only clips of their operating point, so that training lacks it.
  std::vector<std::pair<int32_t, int32_t>> lost = {};
};

/// Holds out `fraction` of the clips, at least one if fraction > 0, each chosen by a hash of (seed, its index), spread
/// evenly over machines and operating points (seen.h). Every machine, and every operating point of a machine, keeps a
/// clip for training. Where no clip can be spared so, one whose operating point another machine has; else one inside
/// the range of every parameter, which is then `lost`; else none.
HeldOut hold_out(const ClipSelection& all, double fraction, uint64_t seed);

/// The first way in which the shards do not fit together (frontend setting, parameter names) ends in io::DataError.
void require_alike(const std::vector<const io::Shard*>& shards);

/// Columns of `names` in the shard's parameters. io::UsageError names one that is not there, and those that are.
std::vector<int> parameter_columns(const io::Shard& shard, const std::vector<std::string>& names);

}  // namespace evenflow::train
