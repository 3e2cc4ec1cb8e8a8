// What zd says of each parameter against what is true, as a picture for the event log.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/detect/score.h"
#include "train/loop/selection.h"

namespace evenflow::train {

/// Every n-th clip, so that no more than a few hundred are left.
ClipSelection thinned(const ClipSelection& clips);

/// Estimates of the model's parameter `index` over the clips' true values; of a name by the model's codes. PNG bytes.
std::vector<uint8_t> draw_estimates(const io::ConditionData& condition, size_t index, const io::Shard& shard,
                                    const std::vector<ClipScore>& train, const std::vector<ClipScore>& validation);

}  // namespace evenflow::train
