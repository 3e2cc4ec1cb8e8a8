#include "experiments/normal_reference.h"

#include <fmt/format.h>

#include <vector>

#include "experiments/console.h"
#include "experiments/recordings.h"
#include "io/error.h"
#include "io/hdf5_file.h"
#include "io/shard.h"
#include "train/detect/config_match.h"

namespace evenflow::experiments {
namespace {

/// So many are enough, and as many as a model holds.
constexpr size_t most_normals = 128;

/// Which of so many: all, or evenly spread ones.
std::vector<size_t> spread_over(std::vector<size_t> all) {
  if (all.size() <= most_normals) {
    return all;
  }
  std::vector<size_t> some;
  for (size_t i = 0; i < most_normals; ++i) {
    some.push_back(all[i * all.size() / most_normals]);
  }
  return some;
}

/// Clips that are not labelled as anomalies.
std::vector<size_t> normal_among(const std::vector<io::Clip>& clips) {
  std::vector<size_t> normal;
  for (size_t i = 0; i < clips.size(); ++i) {
    if (clips[i].label != 1) {
      normal.push_back(i);
    }
  }
  return spread_over(std::move(normal));
}

}  // namespace

train::NormalReference read_normals(const std::filesystem::path& input, train::Detector& detector,
                                    const std::function<void(int64_t done, int64_t total)>& progress) {
  train::NormalReference reference;
  if (io::looks_like_hdf5(input)) {
    const io::Shard shard(input);
    train::require_frontend(shard, detector.model().config.frontend, "the model");
    std::vector<float> frames;
    for (const size_t i : normal_among(shard.clips())) {
      const int64_t first = shard.offsets()[i], count = shard.offsets()[i + 1] - first;
      frames.resize(static_cast<size_t>(count * shard.mel_bands()));
      shard.read_frames(first, count, frames.data());
      detector.add_normal(reference, shard.clips()[i], frames, shard.parameter_names(), shard.categories());
    }
  } else {
    const io::Manifest manifest = read_clips(input, detector.model().condition.category_names());
    require_recordings(manifest, input);
    const std::vector<size_t> clips = normal_among(manifest.clips);
    for (size_t n = 0; n < clips.size(); ++n) {
      const io::Clip& clip = manifest.clips[clips[n]];
      detector.add_normal(reference, clip, detector.features(file_of(manifest, clip)).logmel_db,
                          manifest.parameter_names, manifest.categories);
      progress(static_cast<int64_t>(n + 1), static_cast<int64_t>(clips.size()));
    }
  }
  if (reference.size() < 2) {
    throw io::DataError(fmt::format("'{}' has {} to compare with, and it takes two; give more", input.string(),
                                    count_text(reference.size(), "normal clip")));
  }
  return reference;
}

}  // namespace evenflow::experiments
