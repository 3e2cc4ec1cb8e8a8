// Frames of shards' clips in memory, for the loaders of several trainings at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "io/shard.h"

namespace evenflow::train {

class HeldFrames {
 public:
  /// Reads these clips (of a shard's clips, by index) of each shard. All shards have the same mel bands.
  struct Clips {
    const io::Shard& shard;
    std::vector<int32_t> clips;
  };
  explicit HeldFrames(const std::vector<Clips>& of);

  std::span<const float> frames() const { return frames_; }
  /// Where a clip's frames begin, in frames; none: they are not held.
  std::optional<int64_t> first_frame(const io::Shard& shard, int32_t clip) const;

 private:
  std::vector<float> frames_;
  std::map<std::pair<std::filesystem::path, int32_t>, int64_t> first_;  // by the shard's path and the clip's index
};

}  // namespace evenflow::train
