// What a Detector holds (internal to train: score.cpp, encode.cpp and sample.cpp share it).
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "train/detect/score.h"
#include "train/detect/score_clips.h"
#include "train/detect/score_set.h"

namespace evenflow::train {

/// Log-mel transforms, which serve one thread at a time, for any number of threads.
class Transforms {
 public:
  explicit Transforms(const io::FrontendSettings& settings) : settings_(settings) {}
  frontend::FileFeatures of(const std::filesystem::path& recording);
  std::vector<float> of(const std::string& name, const frontend::Samples& samples);

 private:
  std::unique_ptr<frontend::LogMel> take();
  void give_back(std::unique_ptr<frontend::LogMel> transform);
  io::FrontendSettings settings_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<frontend::LogMel>> idle_;  // guarded by mutex_
};

struct Detector::State {
  State(io::ModelData model, const std::string& device, int threads);
  ClipScoring scoring();
  /// The clip by itself; parameters as Detector::score has them.
  ClipGroup group_of(const io::Clip& clip, std::span<const float> logmel_db,
                     const std::vector<std::string>& parameter_names, const io::Categories& categories) const;
  ModelValues values(const io::Clip& clip, const std::vector<std::string>& parameter_names,
                     const io::Categories& categories) const;

  io::ModelData model;
  std::unique_ptr<flow::Model> network;
  std::string score_name;
  ScoreSet scores;
  std::unique_ptr<Engine> engine;
  Transforms transforms;
};

}  // namespace evenflow::train
