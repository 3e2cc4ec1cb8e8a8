// A profile as files: JSON to keep and to compare with, CSV, and a roofline picture.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "experiments/profile/profile.h"

namespace evenflow::experiments {

nlohmann::json to_json(const Profile& profile);
/// One line per call within a step.
std::string to_csv(const Profile& profile);

/// io::DataError if the file is no profile that this evenflow can read.
nlohmann::json read_profile(const std::filesystem::path& file);
/// io::UsageError unless `old` was measured on this device in this configuration: for a look before hours are spent.
void require_comparable(const nlohmann::json& old, const std::filesystem::path& file, const ProfileSettings& settings);

/// How one operation's time, or the whole step's, went from an old profile to a new one.
struct Change {
  std::string what;
  double old_seconds = 0, new_seconds = 0;  ///< medians
  bool slower = false;                      ///< by more than 5 %, and even the 10th percentile is beyond the old 90th
  double ratio() const { return new_seconds / old_seconds; }
};
/// In the new profile's order; what only one of the two has is left out. io::DataError if `old` is damaged.
std::vector<Change> compare(const nlohmann::json& old, const nlohmann::json& now);

/// gnuplot's script for the picture: FLOP/s over FLOP per byte, under what the device can do.
std::string roofline_script(const Profile& profile, const std::filesystem::path& picture);

/// Writes profile.json, profile.csv, roofline.gp and, by gnuplot, roofline.svg. Returns why there is no picture, or
/// nothing.
std::string write_profile(const Profile& profile, const std::filesystem::path& folder);

}  // namespace evenflow::experiments
