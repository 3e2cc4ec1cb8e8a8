// A clip's sound in a few figures per mel band, by which clips are compared.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace evenflow::train {

struct ClipSound {
  std::vector<float> level_db, peak_db;  ///< [bands] mean and greatest over the frames
  float quietest_db = 0;                 ///< of the frame whose mean over the bands is the least
};

/// Of a clip's frames [frames, bands] in dB, one or more.
ClipSound clip_sound(std::span<const float> logmel_db, int64_t bands);

}  // namespace evenflow::train
