// A shard of three short clips.
#pragma once

#include <filesystem>
#include <vector>

#include "io/shard.h"

namespace evenflow::io::testing {

inline constexpr int small_bands = 4;

/// `speed_rpm` is 100, 200 and unknown; 12 frames each.
inline void write_small_shard(const std::filesystem::path& file) {
  constexpr size_t frames = 12;
  FrontendSettings frontend;
  frontend.mel_bands = small_bands;
  ShardWriter writer(file, frontend, {"speed_rpm"});
  std::vector<float> logmel(frames * small_bands);
  for (size_t i = 0; i < logmel.size(); ++i) {
    logmel[i] = -40.0f + static_cast<float>(i * i % 7);
  }
  for (const auto& [name, label, speed] :
       {std::tuple{"a.wav", 0, 100.0}, {"b.wav", 0, 200.0}, {"c.wav", 1, std::numeric_limits<double>::quiet_NaN()}}) {
    writer.append({name, "motor", label == 0 ? Split::train : Split::test, label, {speed}, "source", "00"}, logmel);
  }
  writer.finish();
}

}  // namespace evenflow::io::testing
