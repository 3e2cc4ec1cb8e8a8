// Whole clips through the model: the one path by which training (for its threshold) and Detector score sound.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "train/detect/engine.h"
#include "train/detect/score.h"

namespace evenflow::train {

struct ClipScoring {
  Engine& engine;
  const std::vector<std::string>& parameters;  ///< that the model is conditioned on
  io::WindowSettings window;
  io::ScoreSettings score;
  std::string score_name;                        ///< one of the scores' names, not "auto"
  const io::ThresholdData* threshold = nullptr;  ///< none: decision -1
};

/// Clips collected for one batch: their frames end to end and their windows.
struct ClipGroup {
  std::vector<io::Clip> clips;
  std::vector<float> frames;   ///< [frames, bands] in dB
  std::vector<int64_t> start;  ///< of every window, in frames
  std::vector<int64_t> first;  ///< clips + 1 entries: clip i owns windows [first[i], first[i + 1])
  std::vector<double> v;       ///< [windows, parameters]
  std::vector<bool> silent;    ///< of every clip: its frames say nothing
  std::vector<bool> finite;    ///< are all frames of the clip?
  void clear();
  WindowBatch batch() const { return {frames, start, v}; }
};

/// Adds a clip; `v` per conditioned parameter, NaN = unknown. io::DataError names a clip shorter than a window.
void add_clip(ClipGroup& group, const io::Clip& clip, std::span<const float> frames, std::span<const double> v,
              const io::WindowSettings& window, const io::FrontendSettings& frontend);

/// Scores from the windows' scores. A clip's `nll_given_v` is NaN where v is unknown.
std::vector<ClipScore> aggregate(const ClipScoring& scoring, const ClipGroup& group,
                                 std::span<const flow::WindowScores> windows);

/// The listed clips of a shard, in order. Memory is bounded by a few clips.
std::vector<ClipScore> score_clips(const ClipScoring& scoring, const io::Shard& shard, std::span<const int32_t> clips,
                                   const std::function<void(int64_t done, int64_t total)>& progress = {});

/// Reads clips of a shard in groups of at least `windows` windows (the last has fewer) and hands each group on.
void for_each_group(const io::Shard& shard, std::span<const int32_t> clips, const std::vector<std::string>& parameters,
                    const io::WindowSettings& window, int64_t windows, const std::function<void(ClipGroup&)>& visit);

/// The clip's value of each named parameter, NaN where it has none.
std::vector<double> values_of(const io::Clip& clip, const std::vector<std::string>& clip_names,
                              const std::vector<std::string>& names);

}  // namespace evenflow::train
