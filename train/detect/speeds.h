// Which parameters are speeds, and sound at one speed heard as if it were at another.
#pragma once

#include <string>
#include <vector>

#include "io/categories.h"
#include "io/config.h"
#include "kernels/gather.h"

namespace evenflow::train {

/// Those of `names` that are speeds: condition.speeds or, where it is empty, those whose names begin with vel, speed,
/// spd or rpm in any case; none whose values are names, by `categories`. io::UsageError: condition.speeds names one
/// that is not there, or whose values are names.
std::vector<std::string> speeds_among(const std::vector<std::string>& names, const io::ConditionSettings& settings,
                                      const io::Categories& categories = {});

/// How a window recorded at speed v is changed to sound as at `moved`: all frequencies by moved / v. Unchanged where
/// either is NaN. io::DataError: v is 0, or the ratio is not between kernels::least_speed_ratio and most_speed_ratio.
kernels::WindowChange change_to_speed(double v, double moved);

/// What a change needs to know of the frames (kernels/mel_scale.h).
double mels_per_band(const io::FrontendSettings& frontend);

}  // namespace evenflow::train
