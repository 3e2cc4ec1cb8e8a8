#include "train/loop/augmentation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "io/error.h"
#include "kernels/mel_scale.h"
#include "train/detect/speeds.h"
#include "train/statistics/seen.h"

namespace evenflow::train {
namespace {

int64_t index_of(const std::string& name, const std::vector<std::string>& names) {
  return std::find(names.begin(), names.end(), name) - names.begin();
}

/// The shard's parameters that are numbers: a category called "speed" is none.
std::vector<std::string> numbers_of(const io::Shard& shard) {
  std::vector<std::string> names;
  for (size_t p = 0; p < shard.parameter_names().size(); ++p) {
    if (io::categories_of(shard.categories(), p).empty()) {
      names.push_back(shard.parameter_names()[p]);
    }
  }
  return names;
}

/// The name of the parameter that is moved.
std::string speed_to_move(const io::Config& config, const std::vector<std::string>& names) {
  const std::vector<std::string> speeds = speeds_among(names, config.condition);
  const std::string& meant = config.augment.speed_parameter;
  const auto listed = [](const std::vector<std::string>& list) {
    return list.empty() ? std::string("none") : fmt::format("{}", fmt::join(list, ", "));
  };
  if (!meant.empty()) {
    if (index_of(meant, names) == std::ssize(names)) {
      throw io::UsageError(fmt::format("augment.speed_parameter names '{}', which the data do not have; they have {}",
                                       meant, listed(names)));
    }
    if (index_of(meant, speeds) == std::ssize(speeds)) {
      throw io::UsageError(
          fmt::format("augment.speed_parameter names '{}', which is not a speed; if it is one, name it "
                      "in condition.speeds",
                      meant));
    }
    return meant;
  }
  if (speeds.empty()) {
    throw io::UsageError(
        fmt::format("augment.speed needs a speed, and of the data's parameters ({}) none is one by its "
                    "name; name it in condition.speeds, or set augment.speed to 0",
                    listed(names)));
  }
  if (speeds.size() > 1) {
    throw io::UsageError(
        fmt::format("augment.speed is of one speed, and the data have {}: {}; name the one that is "
                    "meant in augment.speed_parameter",
                    speeds.size(), listed(speeds)));
  }
  return speeds[0];
}

/// Errors as plan_augmentation's where the clips' speeds do not allow the range.
void check_speeds(const ClipSelection& clips, size_t column, const std::string& name,
                  const io::AugmentSettings& settings) {
  double largest = 0;
  for (const auto& [shard, index] : clips.clips) {
    const io::Clip& clip = clips.shards[static_cast<size_t>(shard)]->clips()[static_cast<size_t>(index)];
    const double v = clip.parameter[column];
    if (v == 0 && settings.speed_by == io::SpeedChange::warp && settings.speed_probability != 0) {
      throw io::DataError(
          fmt::format("clip '{}' has {} = 0, and augment.speed_by = warp takes the ratio of two speeds; "
                      "leave the clip out, or set augment.speed to 0",
                      clip.path.string(), name));
    }
    if (!std::isnan(v)) {
      largest = std::max(largest, std::abs(v));
    }
  }
  if (largest == 0) {
    throw io::DataError(fmt::format(
        "{} is unknown in every training clip, so that augment.speed cannot move it; set augment.speed to 0", name));
  }
  if (settings.speed > largest) {
    throw io::UsageError(
        fmt::format("augment.speed = {:g} is larger than every {} of the training clips, at most {:g}; "
                    "give a range in the unit of the parameter",
                    settings.speed, name, largest));
  }
}

/// 0: no speed that can be moved without being asked.
struct UsualSpeed {
  double range = 0;
  std::string parameter{};  // set where it would not be found by itself
};
UsualSpeed usual_speed(const io::Config& config, const ClipSelection& clips,
                       const std::vector<std::string>& parameters) {
  std::vector<std::string> speeds = speeds_among(numbers_of(*clips.shards[0]), config.condition);
  const bool several = speeds.size() > 1;
  if (!config.augment.speed_parameter.empty()) {
    speeds = {speed_to_move(config, numbers_of(*clips.shards[0]))};
  }
  std::erase_if(speeds, [&](const std::string& name) { return index_of(name, parameters) == std::ssize(parameters); });
  if (speeds.size() != 1) {
    return {};
  }
  const auto column = static_cast<size_t>(index_of(speeds[0], clips.shards[0]->parameter_names()));
  std::vector<double> values;
  values.reserve(clips.clips.size());
  for (const auto& [shard, index] : clips.clips) {
    values.push_back(clips.shards[static_cast<size_t>(shard)]->clips()[static_cast<size_t>(index)].parameter[column]);
  }
  return {usual_speed_range(values), several ? speeds[0] : config.augment.speed_parameter};
}

}  // namespace

std::string augmented_speed(const io::Config& config, const io::Shard& shard) {
  return speed_to_move(config, numbers_of(shard));
}

kernels::Augmentation augmentation_of(const io::AugmentSettings& settings) {
  return {.speed = settings.speed,
          .speed_probability = settings.speed_probability,
          .noise = settings.noise,
          .mask_bands = settings.mask_bands,
          .mask_frames = settings.mask_frames};
}

double usual_speed_range(const std::vector<double>& speeds) {
  constexpr double tolerances = 6;  // a tolerance is a tenth of the smallest step
  const bool stands_still = std::find(speeds.begin(), speeds.end(), 0.0) != speeds.end();
  return stands_still ? 0.0 : tolerances * OperatingPoints(speeds).tolerance();
}

io::AugmentSettings with_range(io::AugmentSettings settings, double range) {
  if (settings.speed == io::AugmentSettings::automatic) {
    settings.speed = range;
  }
  if (settings.noise == io::AugmentSettings::automatic) {
    settings.noise = settings.speed > 0 ? usual_noise : 0.0;
  }
  return settings;
}

io::AugmentSettings with_change(io::AugmentSettings settings, io::SpeedChange change) {
  constexpr double by_warp = 0.5;
  settings.speed_by = change;
  if (settings.speed_probability == io::AugmentSettings::automatic) {
    settings.speed_probability = change == io::SpeedChange::spectrum ? 1.0 : by_warp;
  }
  return settings;
}

io::AugmentSettings resolve_augmentation(const io::Config& config, const ClipSelection& clips,
                                         const std::vector<std::string>& parameters) {
  const std::vector<std::string> names = numbers_of(*clips.shards[0]);
  if (config.augment.speed_parameter.empty()) {
    speeds_among(names, config.condition);
  } else {
    speed_to_move(config, names);
  }
  const bool asked = config.augment.speed == io::AugmentSettings::automatic && config.augment.speed_probability != 0;
  if (!asked) {
    return with_range(config.augment, 0.0);
  }
  const UsualSpeed usual = usual_speed(config, clips, parameters);
  io::AugmentSettings settings = with_range(config.augment, usual.range);
  if (usual.range > 0) {
    settings.speed_parameter = usual.parameter;
  }
  return settings;
}

std::string describe_augmentation(const io::AugmentSettings& settings) {
  std::vector<std::string> parts;
  if (settings.speed == io::AugmentSettings::automatic) {
    parts.emplace_back("speed automatically");
  } else if (settings.speed > 0) {
    const double share = settings.speed_probability;
    parts.push_back(fmt::format(
        "{} by up to {:g}{}{}", settings.speed_parameter.empty() ? "speed" : settings.speed_parameter, settings.speed,
        share == io::AugmentSettings::automatic ? "" : fmt::format(" in {:g} % of the windows", 100 * share),
        settings.speed_by == io::SpeedChange::automatic ? "" : fmt::format(", by {}", io::name_of(settings.speed_by))));
  }
  if (settings.noise == io::AugmentSettings::automatic) {
    parts.emplace_back("noise automatically");
  } else if (settings.noise > 0) {
    parts.push_back(fmt::format("noise {:g}", settings.noise));
  }
  if (settings.mask_bands > 0) {
    parts.push_back(fmt::format("up to {} bands masked", settings.mask_bands));
  }
  if (settings.mask_frames > 0) {
    parts.push_back(fmt::format("up to {} frames masked", settings.mask_frames));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::optional<AugmentPlan> plan_augmentation(const io::Config& config, const ClipSelection& clips,
                                             const std::vector<std::string>& parameters, const SpeedMoves* moves) {
  const io::AugmentSettings& settings = config.augment;
  if (!settings.any()) {
    return std::nullopt;
  }
  AugmentPlan plan;
  plan.mels_per_band = mels_per_band(config.frontend);
  plan.draw.augmentation = augmentation_of(settings);
  plan.draw.seed = config.train.seed;
  plan.draw.bands = config.frontend.mel_bands;
  plan.draw.frames = config.window.window_frames;
  plan.draw.band_ratio = kernels::band_ratio(plan.mels_per_band);
  if (settings.speed > 0) {
    const std::vector<std::string>& names = clips.shards[0]->parameter_names();
    const std::string name = augmented_speed(config, *clips.shards[0]);
    const int64_t column = index_of(name, names);
    check_speeds(clips, static_cast<size_t>(column), name, settings);
    plan.draw.speed_column = index_of(name, parameters);
    const bool is_models = plan.draw.speed_column < std::ssize(parameters);
    if (settings.speed_by == io::SpeedChange::spectrum) {
      plan.moves = moves->table(settings.speed);
      plan.draw.point_column = std::ssize(parameters);
      plan.draw.speed_column = is_models ? plan.draw.speed_column : -1;
    } else if (!is_models) {
      plan.extra_column = static_cast<int>(column);
    }
  }
  return plan;
}

}  // namespace evenflow::train
