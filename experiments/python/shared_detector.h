// A Detector that several Python threads may use, and that a fork does not break.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "io/manifest.h"
#include "train/detect/score.h"

namespace evenflow::python {

/// Features are computed side by side, however many threads ask; scoring and encoding take turns. No call needs the
/// GIL. Every call throws io::UsageError in a child that was forked after the detector was made: its threads are not
/// there.
class SharedDetector {
 public:
  SharedDetector(const std::filesystem::path& model, const std::string& device, int threads);
  ~SharedDetector();
  SharedDetector(const SharedDetector&) = delete;
  SharedDetector& operator=(const SharedDetector&) = delete;

  /// For what does not compute, and for features.
  train::Detector& get() const;

  train::ClipScore score(const io::Clip& clip, std::span<const float> logmel_db,
                         const std::vector<std::string>& parameter_names);
  train::ClipLatents encode(const io::Clip& clip, std::span<const float> logmel_db,
                            const std::vector<std::string>& parameter_names);
  train::Explanation explain(const io::Clip& clip, std::span<const float> logmel_db,
                             const train::ExplainOptions& options);

  /// experiments::require_own_machines, which prints nothing here of those that are allowed.
  void require_own_machines(const std::vector<io::Clip>& clips, bool other_machines) const;
  /// The same of recordings, by what their folders and names tell.
  void require_own_recordings(const std::vector<std::filesystem::path>& files, bool other_machines) const;
  /// experiments::read_normals; `heard` as below.
  train::NormalReference read_normals(const std::filesystem::path& input, const std::function<void()>& heard);

  /// Files of clips that are named `clips[i].path`, several decoded side by side. `heard` is called now and then, and
  /// may throw. io::DataError: the first file that cannot be scored.
  std::vector<train::ClipScore> score_files(const std::vector<io::Clip>& clips,
                                            const std::vector<std::string>& parameter_names,
                                            const std::function<void()>& heard);
  /// The clips of a shard that are of the split: "train", "test" or "all". io::UsageError: they are of machines that
  /// the model was not trained on, unless `other_machines`.
  std::vector<train::ClipScore> score_shard(const io::Shard& shard, const std::string& split, bool other_machines,
                                            const std::function<void()>& heard);

 private:
  std::unique_ptr<train::Detector> detector_;
  int threads_;
  int maker_;         // process
  std::mutex turns_;  // of its engine
};

}  // namespace evenflow::python
