// Sound that says nothing: digital silence, or what never varies.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/config.h"

namespace evenflow::frontend {

/// True if a clip's frames, [frames, mel_bands] in dB, say nothing: every band is either constant (within 0.0001 dB) or
/// below -130 dB, where 24 bits hold nothing either. Frames that reach over the clip's ends don't count.
bool says_nothing(std::span<const float> logmel_db, const io::FrontendSettings& settings);

/// What the training clips have to say, all together.
class TrainingSound {
 public:
  explicit TrainingSound(const io::FrontendSettings& settings);
  void add(const std::string& clip, std::span<const float> logmel_db);
  /// A sentence on clips that say nothing among others that do; empty if there are none.
  std::string warning() const;
  /// io::DataError if no clip says anything, or if a band has the same value in all of them.
  void require() const;

 private:
  io::FrontendSettings settings_;
  std::vector<float> low_, high_;  // per band, over all clips
  int64_t clips_ = 0;
  std::vector<std::string> silent_;
};

}  // namespace evenflow::frontend
