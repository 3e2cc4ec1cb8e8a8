// Normal sound that a clip is compared with, from what a person has.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "train/detect/score.h"

namespace evenflow::experiments {

/// Of recordings, a folder or a manifest of them, or a shard: those that are not labelled as anomalies, of more than
/// 128 so many that are spread evenly. `progress` is told how many of how many recordings were read, and may throw.
/// io::DataError: fewer than two, another frontend than the model's, or one that cannot be read.
train::NormalReference read_normals(const std::filesystem::path& input, train::Detector& detector,
                                    const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace evenflow::experiments
