// Scores over the epochs of one training: does what a score tells grow with training, or fade?
//
// FOLDER/run is the training, which goes on from one stop to the next; FOLDER/scores_N.csv are the scores of all clips
// by the model as it was after N epochs (not the best one so far), written last.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "experiments/study/study.h"

namespace evenflow::experiments {

struct CurveOptions {
  System system;                ///< with a constant learning rate: a stop then changes nothing
  std::vector<int64_t> epochs;  ///< where to stop and score, ascending
  std::filesystem::path folder;
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const std::string& line)> log;
  std::function<void(const std::string& what, double fraction)> progress;
};

/// AUC by one score, from 0 to 1; NaN where a clip has no finite score.
struct CurvePoint {
  int64_t epochs = 0;
  std::string score;
  double all = 0, seen = 0, unseen = 0;
};

struct ScoreCurve {
  System system;
  std::vector<CurvePoint> points;  ///< by epochs, then as the model's scores
  bool interrupted = false;        ///< then with the stops that are done
};

/// Trains seed 1 on the study's features and scores on the way. io::UsageError: a schedule that is not constant; else
/// as train_cell's.
ScoreCurve score_curve(const Study& study, const CurveOptions& options);

/// system,epochs,score,all,seen,unseen
std::string to_csv(const std::vector<ScoreCurve>& curves);

}  // namespace evenflow::experiments
