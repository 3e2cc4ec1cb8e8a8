// Target-mean adaptation: features whose mean is moved to where the training clips' is, condition by condition.
#pragma once

#include <filesystem>

#include "io/shard.h"

namespace evenflow::experiments {

/// Writes the shard anew with every band's frames less their mean over the clips of one value of the first parameter,
/// plus the mean over all training clips. A value's mean is that of its normal training clips; of a value without any,
/// that of all of its clips, whose labels are not looked at. Needs the value of every clip, as from a sensor; clips of
/// unknown value are taken together.
void centre_by_value(const io::Shard& shard, const std::filesystem::path& out);

}  // namespace evenflow::experiments
