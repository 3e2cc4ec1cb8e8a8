// What normal clips score at each operating point, learnt anew from normal recordings (--refit).
#pragma once

#include <string>

#include "io/model_file.h"
#include "train/detect/score.h"

namespace evenflow::experiments {

/// io::UsageError unless `score` is a calibrated one of a score that the detector has, and its model has estimates.
void require_refit(const train::Detector& detector, const std::string& score);

/// Learns the calibration from every second of the table's clips or, of many, from 300 that are spread over them. These
/// leave the table, so that a threshold on the others holds as if the calibration had always been the model's; the
/// others get their calibrated scores, `score` as ClipScore::score, and stay if that is finite. io::DataError: too few
/// clips.
io::CalibrationData refit_calibration(const train::Detector& detector, const std::string& score,
                                      train::ScoreTable& table);

}  // namespace evenflow::experiments
