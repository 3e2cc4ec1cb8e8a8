// What is known of clips, in words, and which of them are there.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/manifest.h"

namespace evenflow::experiments {

/// io::DataError naming (up to ten of) the recordings that do not exist, all at once.
void require_recordings(const io::Manifest& manifest, const std::filesystem::path& named);

/// A clip's file, absolute or below the manifest's folder.
std::filesystem::path file_of(const io::Manifest& manifest, const io::Clip& clip);

/// Distinct known values, ascending.
std::vector<double> distinct_values(std::span<const io::Clip> clips, size_t parameter);

/// "50, 100, 150" or, of many, "50, 100, ..., 750 (15 values)".
std::string values_text(const std::vector<double>& values);

/// Lines on splits, labels, machines, domains and parameters, each indented by two blanks and ended.
std::string describe_clips(std::span<const io::Clip> clips, const std::vector<std::string>& parameter_names);

}  // namespace evenflow::experiments
