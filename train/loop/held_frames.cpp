#include "train/loop/held_frames.h"

namespace evenflow::train {
namespace {

int64_t frames_of(const io::Shard& shard, int32_t clip) {
  const auto i = static_cast<size_t>(clip);
  return shard.offsets()[i + 1] - shard.offsets()[i];
}

}  // namespace

HeldFrames::HeldFrames(const std::vector<Clips>& of) {
  int64_t frames = 0, bands = 0;
  for (const auto& [shard, clips] : of) {
    bands = shard.mel_bands();
    for (const int32_t clip : clips) {
      first_.emplace(std::pair(shard.path(), clip), frames);
      frames += frames_of(shard, clip);
    }
  }
  frames_.resize(static_cast<size_t>(frames * bands));
  for (const auto& [shard, clips] : of) {
    for (const int32_t clip : clips) {
      shard.read_frames(shard.offsets()[static_cast<size_t>(clip)], frames_of(shard, clip),
                        frames_.data() + *first_frame(shard, clip) * bands);
    }
  }
}

std::optional<int64_t> HeldFrames::first_frame(const io::Shard& shard, int32_t clip) const {
  const auto found = first_.find({shard.path(), clip});
  return found == first_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace evenflow::train
