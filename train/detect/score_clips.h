// Whole clips through the model: the one path by which training (for its threshold) and Detector score sound.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/shard.h"
#include "train/detect/engine.h"
#include "train/detect/score_set.h"

namespace evenflow::train {

struct ClipScoring {
  Engine& engine;
  const flow::Model& model;
  const io::ConditionData& condition;  ///< of the model: the parameters that it is tied to
  io::WindowSettings window;
  io::ScoreSettings score;
  const ScoreSet& scores;                        ///< that clips get
  std::string score_name;                        ///< the one that decides, not "auto"; NaN where `scores` lacks it
  const io::ThresholdData* threshold = nullptr;  ///< none: decision -1
  std::span<const double> normal = {};           ///< that score of normal clips, ascending, for p-values; empty: none
  bool keep_descriptors = false;                 ///< and how clips sound, in their scores
};

/// Clips collected for one batch: their frames end to end and their windows.
struct ClipGroup {
  std::vector<io::Clip> clips;
  std::vector<float> frames;                   ///< [frames, bands] in dB
  std::vector<int64_t> start;                  ///< of every window, in frames
  std::vector<int64_t> first;                  ///< clips + 1 entries: clip i owns windows [first[i], first[i + 1])
  std::vector<double> v;                       ///< [windows, parameters]
  std::vector<kernels::WindowChange> changes;  ///< of every window, or empty: none is changed
  double mels_per_band = 0;
  kernels::BandMoves moves{};        ///< that changes name
  std::vector<bool> silent;          ///< of every clip: its frames say nothing
  std::vector<bool> finite;          ///< are all frames of the clip?
  std::vector<bool> untrained;       ///< of every clip: it is said to have a name that the model was never trained on
  std::vector<int64_t> length;       ///< of every clip, in frames
  std::vector<uint64_t> frames_sum;  ///< of every clip (io/shard.h)
  void clear();
  WindowBatch batch() const { return {frames, start, v, changes, mels_per_band, moves}; }
};

/// What the values of clips are of: names of parameters and, of those that are names, what their codes stand for.
struct ParameterColumns {
  const std::vector<std::string>& names;
  const io::Categories& categories;
};
/// A clip's value of each parameter of a model.
struct ModelValues {
  std::vector<double> v;   ///< the model's codes of names; NaN: unknown, or a name that it was never trained on
  bool untrained = false;  ///< there is such a name
};
/// Parameters are found by name, and so are the categories of those that are names.
ModelValues values_of(const io::Clip& clip, const ParameterColumns& columns, const io::ConditionData& model);

/// Adds a clip. io::DataError names one shorter than a window.
void add_clip(ClipGroup& group, const io::Clip& clip, std::span<const float> frames, const ModelValues& values,
              const io::WindowSettings& window, const io::FrontendSettings& frontend);

/// Scores of the clips from their windows'. A score that needs the parameters is NaN where one is unknown.
std::vector<ClipScore> aggregate(const ClipScoring& scoring, const ClipGroup& group, const flow::WindowScores& windows);

/// The listed clips of a shard, in order. Memory is bounded by a few clips.
std::vector<ClipScore> score_clips(const ClipScoring& scoring, const io::Shard& shard, std::span<const int32_t> clips,
                                   const std::function<void(int64_t done, int64_t total)>& progress = {});

/// The speeds that clips are to sound as recorded at.
struct OtherSpeeds {
  std::string parameter;           ///< the speed, by its name in the shard
  std::span<const double> speeds;  ///< one per listed clip; NaN: the clip's own
  /// How each listed clip is changed to sound so, and the moves that these name; empty: by change_to_speed.
  std::span<const kernels::WindowChange> changes{};
  kernels::BandMoves moves{};
};
/// score_clips of the clips as they would sound at other speeds, each with its other speed for its own. io::UsageError:
/// the shard lacks the parameter. io::DataError: a speed too far from the clip's own.
std::vector<ClipScore> score_clips_at(const OtherSpeeds& other, const ClipScoring& scoring, const io::Shard& shard,
                                      std::span<const int32_t> clips);

/// Reads clips of a shard in groups of at least `windows` windows (the last has fewer) and hands each group on.
void for_each_group(const io::Shard& shard, std::span<const int32_t> clips, const io::ConditionData& model,
                    const io::WindowSettings& window, int64_t windows, const std::function<void(ClipGroup&)>& visit);

}  // namespace evenflow::train
