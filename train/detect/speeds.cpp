#include "train/detect/speeds.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "io/error.h"
#include "kernels/augment.h"
#include "kernels/mel_scale.h"

namespace evenflow::train {
namespace {

bool is_speed_name(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name.starts_with("vel") || name.starts_with("speed") || name.starts_with("spd") || name.starts_with("rpm");
}

}  // namespace

std::vector<std::string> speeds_among(const std::vector<std::string>& names, const io::ConditionSettings& settings,
                                      const io::Categories& categories) {
  const auto is_category = [&](const std::string& name) {
    const auto place = std::find(names.begin(), names.end(), name) - names.begin();
    return !io::categories_of(categories, static_cast<size_t>(place)).empty();
  };
  for (const std::string& speed : settings.speeds) {
    if (is_category(speed)) {
      throw io::UsageError(
          fmt::format("condition.speeds names '{}', whose values are names; a speed is a number", speed));
    }
    if (std::find(names.begin(), names.end(), speed) == names.end()) {
      throw io::UsageError(fmt::format("condition.speeds names '{}', but the data have {}", speed,
                                       names.empty() ? "no parameter" : fmt::format("{}", fmt::join(names, ", "))));
    }
  }
  if (!settings.speeds.empty()) {
    return settings.speeds;
  }
  std::vector<std::string> speeds;
  std::copy_if(names.begin(), names.end(), std::back_inserter(speeds),
               [&](const std::string& name) { return is_speed_name(name) && !is_category(name); });
  return speeds;
}

kernels::WindowChange change_to_speed(double v, double moved) {
  if (std::isnan(v) || std::isnan(moved)) {
    return {};
  }
  const double ratio = kernels::speed_ratio(v, moved);
  if (!(ratio >= kernels::least_speed_ratio && ratio <= kernels::most_speed_ratio)) {
    throw io::DataError(fmt::format(
        "sound at speed {:g} cannot be heard as at {:g}: frequencies can be multiplied by {:g} to {:g} only", v, moved,
        kernels::least_speed_ratio, kernels::most_speed_ratio));
  }
  return {.warp = static_cast<float>(ratio)};
}

double mels_per_band(const io::FrontendSettings& frontend) {
  return kernels::mels_per_band(frontend.sample_rate_hz, frontend.mel_bands);
}

}  // namespace evenflow::train
