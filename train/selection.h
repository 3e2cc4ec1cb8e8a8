// Which clips a training uses, and which of them it holds out for validation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/loader.h"

namespace evenflow::train {

/// The clips of split train, of `machine` or (empty) of every machine, that are normal (label 0) or not known to be
/// otherwise (label -1), in file order. io::DataError: an anomaly among them (naming the clip), or none left (naming
/// the machines there are).
ClipSelection normal_training_clips(const std::vector<const io::Shard*>& shards, const std::string& machine);

struct HeldOut {
  ClipSelection train, validation;
};

/// Holds out `fraction` of the clips, each chosen by a hash of (seed, its index), spread evenly over machines and
/// parameter values; every value with two clips keeps one for training. At least one clip on each side if fraction > 0
/// and there are two clips or more.
HeldOut hold_out(const ClipSelection& all, double fraction, uint64_t seed);

/// The first way in which the shards do not fit together (frontend setting, parameter names) ends in io::DataError.
void require_alike(const std::vector<const io::Shard*>& shards);

/// Columns of `names` in the shard's parameters. io::UsageError names one that is not there, and those that are.
std::vector<int> parameter_columns(const io::Shard& shard, const std::vector<std::string>& names);

}  // namespace evenflow::train
