// How training's windows are changed (io: [augment]), for one training's data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/config.h"
#include "kernels/augment.h"
#include "train/loop/loader.h"

namespace evenflow::train {

/// What the settings draw from.
kernels::Augmentation augmentation_of(const io::AugmentSettings& settings);

/// The settings with what is automatic in numbers: the speed by `range`, and noise of 0.2 where that is not 0.
io::AugmentSettings with_range(io::AugmentSettings settings, double range);
/// The same for these training clips of a model that has `parameters`: three fifths of the smallest step between the
/// operating points (seen.h) of the speed among them, so that warped windows cover what lies between, in part twice.
/// 0 where there is no such speed, several and none is meant, fewer than two points, or one at or below that range.
io::AugmentSettings resolve_augmentation(const io::Config& config, const ClipSelection& clips,
                                         const std::vector<std::string>& parameters);

/// For a log: "speed by up to 60 in 50 % of the windows, noise 0.2"; "" where nothing is changed. What is automatic is
/// called so.
std::string describe_augmentation(const io::AugmentSettings& settings);

struct AugmentPlan {
  kernels::DrawChanges draw;  ///< all but what belongs to a step: step, values, changes and v
  /// Of the shards, where the speed is none of the model's parameters: a value of each window after these.
  std::optional<int> extra_column;
  double mels_per_band = 0;
};

/// The plan for these training clips of a model that has `parameters`; none where nothing is to be changed.
/// io::UsageError or io::DataError: no parameter is a speed, or several are and none is meant; the one that is meant is
/// not a speed or not there; a training clip stands still; no clip's speed is known; the range is larger than every
/// speed.
std::optional<AugmentPlan> plan_augmentation(const io::Config& config, const ClipSelection& clips,
                                             const std::vector<std::string>& parameters);

}  // namespace evenflow::train
