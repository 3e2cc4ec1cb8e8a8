// How training's windows are changed (io: [augment]), for one training's data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/config.h"
#include "kernels/augment.h"
#include "train/loop/loader.h"
#include "train/loop/speed_moves.h"

namespace evenflow::train {

/// What the settings draw from.
kernels::Augmentation augmentation_of(const io::AugmentSettings& settings);

/// What windows' speeds are changed by, and the noise beside it, where nothing else is asked for: three fifths of the
/// smallest step between the operating points (seen.h) of a speed, so that they cover what lies between, in part twice.
/// 0 where there is one point only, or one of 0.
double usual_speed_range(const std::vector<double>& speeds);
inline constexpr double usual_noise = 0.2;

/// The settings with what is automatic in numbers: the speed by `range`, and usual_noise where that is not 0.
io::AugmentSettings with_range(io::AugmentSettings settings, double range);
/// The settings with this for speed_by, and the share of the windows that goes with it where it is automatic.
io::AugmentSettings with_change(io::AugmentSettings settings, io::SpeedChange change);
/// The settings in numbers for these training clips of a model that has `parameters`: usual_speed_range of the
/// speed among them; 0 where there is none, or several and none is meant. io::UsageError, whether windows are changed
/// or not: condition.speeds or augment.speed_parameter names what the clips do not have, or the latter what is no
/// speed.
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
  /// What windows are moved by, where augment.speed_by is spectrum: their points are a value behind the model's.
  std::optional<MoveTable> moves;
  int64_t more_values() const { return extra_column || moves ? 1 : 0; }
};

/// The parameter that is moved. io::UsageError: no parameter is a speed, several are and none is meant, or the one that
/// is meant is not a speed or not there.
std::string augmented_speed(const io::Config& config, const io::Shard& shard);

/// The plan for these training clips of a model that has `parameters`; none where nothing is to be changed. `moves`:
/// where augment.speed_by is spectrum. io::UsageError or io::DataError: as augmented_speed; a training clip that is to
/// be warped stands still; no clip's speed is known; the range is larger than every speed.
std::optional<AugmentPlan> plan_augmentation(const io::Config& config, const ClipSelection& clips,
                                             const std::vector<std::string>& parameters, const SpeedMoves* moves);

}  // namespace evenflow::train
