#include "experiments/study/centring.h"

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

namespace evenflow::experiments {
namespace {

bool is_training(const io::Clip& clip) {
  return clip.split == io::Split::train && clip.label != 1;
}

std::string value_of(const io::Clip& clip) {
  return clip.parameter.empty() ? std::string() : fmt::format("{}", clip.parameter.front());
}

/// Sums over frames, band by band.
struct Mean {
  std::vector<double> sum;
  double frames = 0;
  void add(const std::vector<float>& clip, size_t bands) {
    sum.resize(bands);
    for (size_t i = 0; i < clip.size(); ++i) {
      sum[i % bands] += clip[i];
    }
    frames += static_cast<double>(clip.size()) / static_cast<double>(bands);
  }
  double operator[](size_t band) const { return sum[band] / frames; }
};

}  // namespace

void centre_by_value(const io::Shard& shard, const std::filesystem::path& out) {
  const auto bands = static_cast<size_t>(shard.mel_bands());
  std::map<std::string, Mean> trained, all;
  Mean training;
  for (size_t i = 0; i < shard.clips().size(); ++i) {
    const std::vector<float> frames = shard.clip_frames(i);
    const io::Clip& clip = shard.clips()[i];
    all[value_of(clip)].add(frames, bands);
    if (!is_training(clip)) {
      continue;
    }
    trained[value_of(clip)].add(frames, bands);
    training.add(frames, bands);
  }
  io::ShardWriter writer(out, shard.frontend(), shard.parameter_names(), shard.device(), shard.categories());
  for (size_t i = 0; i < shard.clips().size(); ++i) {
    std::vector<float> frames = shard.clip_frames(i);
    const io::Clip& clip = shard.clips()[i];
    const auto own = trained.find(value_of(clip));
    const Mean& mean = own != trained.end() ? own->second : all.at(value_of(clip));
    for (size_t f = 0; f < frames.size(); ++f) {
      frames[f] += static_cast<float>(training[f % bands] - mean[f % bands]);
    }
    writer.append(clip, frames);
  }
  writer.finish();
}

}  // namespace evenflow::experiments
