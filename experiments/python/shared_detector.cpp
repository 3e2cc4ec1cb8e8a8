#include "experiments/python/shared_detector.h"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <span>

#include "experiments/normal_reference.h"
#include "experiments/recordings.h"
#include "io/error.h"
#include "io/sound_format.h"
#include "kernels/parallel.h"

namespace evenflow::python {

SharedDetector::SharedDetector(const std::filesystem::path& model, const std::string& device, int threads)
    : detector_(std::make_unique<train::Detector>(model, device, threads)), threads_(threads), maker_(::getpid()) {}

SharedDetector::~SharedDetector() {
  if (::getpid() != maker_) {
    // It would wait for threads that the fork left behind.
    static_cast<void>(detector_.release());
  }
}

train::Detector& SharedDetector::get() const {
  if (::getpid() != maker_) {
    throw io::UsageError(
        "the Detector was made before the process forked, and its threads are not in the child; make it in the child, "
        "hand it over pickled, or start processes by \"spawn\"");
  }
  return *detector_;
}

train::ClipScore SharedDetector::score(const io::Clip& clip, std::span<const float> logmel_db,
                                       const std::vector<std::string>& parameter_names) {
  train::Detector& detector = get();
  const std::lock_guard turn(turns_);
  return detector.score(clip, logmel_db, parameter_names);
}

train::ClipLatents SharedDetector::encode(const io::Clip& clip, std::span<const float> logmel_db,
                                          const std::vector<std::string>& parameter_names) {
  train::Detector& detector = get();
  const std::lock_guard turn(turns_);
  return detector.encode(clip, logmel_db, parameter_names);
}

train::Explanation SharedDetector::explain(const io::Clip& clip, std::span<const float> logmel_db,
                                           const train::ExplainOptions& options) {
  train::Detector& detector = get();
  const std::lock_guard turn(turns_);
  return detector.explain(clip, logmel_db, options);
}

void SharedDetector::require_own_machines(const std::vector<io::Clip>& clips, bool other_machines) const {
  if (!other_machines) {
    experiments::require_own_machines(experiments::count_machines(clips), get().model().provenance.machines, false);
  }
}

void SharedDetector::require_own_recordings(const std::vector<std::filesystem::path>& files,
                                            bool other_machines) const {
  if (other_machines) {
    return;
  }
  std::vector<io::Clip> clips;
  for (const std::filesystem::path& file : files) {
    if (io::is_recording(file)) {
      const io::Manifest manifest = experiments::read_clips(file);
      clips.insert(clips.end(), manifest.clips.begin(), manifest.clips.end());
    }
  }
  require_own_machines(clips, false);
}

train::NormalReference SharedDetector::read_normals(const std::filesystem::path& input,
                                                    const std::function<void()>& heard) {
  train::Detector& detector = get();
  const std::lock_guard turn(turns_);
  return experiments::read_normals(input, detector, [&](int64_t, int64_t) { heard(); });
}

std::vector<train::ClipScore> SharedDetector::score_files(const std::vector<io::Clip>& clips,
                                                          const std::vector<std::string>& parameter_names,
                                                          const std::function<void()>& heard) {
  train::Detector& detector = get();
  kernels::ThreadPool pool(threads_);
  std::vector<train::ClipScore> scores;
  // So many are decoded side by side, then scored in turn (a clip's windows side by side), as by `evenflow score`.
  const size_t group = 8 * static_cast<size_t>(pool.threads());
  for (size_t first = 0; first < clips.size(); first += group) {
    const size_t count = std::min(group, clips.size() - first);
    std::vector<std::vector<float>> features(count);
    pool.run(static_cast<int64_t>(count), [&](int64_t item, int) {
      const auto i = static_cast<size_t>(item);
      features[i] = detector.features(clips[first + i].path).logmel_db;
    });
    for (size_t i = 0; i < count; ++i) {
      heard();
      scores.push_back(score(clips[first + i], features[i], parameter_names));
    }
  }
  return scores;
}

std::vector<train::ClipScore> SharedDetector::score_shard(const io::Shard& shard, const std::string& split,
                                                          bool other_machines, const std::function<void()>& heard) {
  train::Detector& detector = get();
  const auto kept = [&](const io::Clip& clip) {
    return split == "all" || (clip.split == io::Split::train) == (split == "train");
  };
  std::vector<io::Clip> clips;
  std::copy_if(shard.clips().begin(), shard.clips().end(), std::back_inserter(clips), kept);
  require_own_machines(clips, other_machines);
  const std::lock_guard turn(turns_);
  return detector.score(shard, kept, [&](int64_t, int64_t) { heard(); });
}

}  // namespace evenflow::python
