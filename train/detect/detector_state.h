// What a Detector holds (internal to train: score.cpp, encode.cpp and sample.cpp share it).
#pragma once

#include <memory>
#include <string>

#include "train/detect/score.h"
#include "train/detect/score_clips.h"
#include "train/detect/score_set.h"

namespace evenflow::train {

struct Detector::State {
  State(io::ModelData model, const std::string& device, int threads);
  ClipScoring scoring();

  io::ModelData model;
  std::unique_ptr<flow::Model> network;
  std::string score_name;
  ScoreSet scores;
  std::unique_ptr<Engine> engine;
};

}  // namespace evenflow::train
