// What a Detector holds (internal to train: score.cpp, encode.cpp and sample.cpp share it).
#pragma once

#include <memory>
#include <mutex>
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

 private:
  std::unique_ptr<frontend::LogMel> take();
  io::FrontendSettings settings_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<frontend::LogMel>> idle_;  // guarded by mutex_
};

struct Detector::State {
  State(io::ModelData model, const std::string& device, int threads);
  ClipScoring scoring();

  io::ModelData model;
  std::unique_ptr<flow::Model> network;
  std::string score_name;
  ScoreSet scores;
  std::unique_ptr<Engine> engine;
  Transforms transforms;
};

}  // namespace evenflow::train
